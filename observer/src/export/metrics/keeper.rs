//! Keeps the series up to date: takes windows, incidents and the list of workloads as they come.

use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;

use super::own::{Incidents, Own};
use super::series::{Point, Series};
use super::settings::Settings;
use super::table::{Figure, Metric, Out, Value};
use crate::event::{BootTime, WallTime};
use crate::export::feed::{Link, Told, Wanted};
use crate::export::state::State;
use crate::filter::Filters;
use crate::inventory::host;
use crate::serve::{Request, WorkloadList};
use crate::status::Status;

/// Windows and incidents that are taken in at a time.
const BATCH: usize = 64;
/// The workloads that there are are asked for so often.
const LIST_EACH_NS: u64 = 10_000_000_000;
/// How long the event loop may take for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// A status is asked for no more often than this.
const STATUS_EACH_NS: u64 = 500_000_000;

/// The series of one exporter, or of several that tell the same; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Kept(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Mutex<All>,
    /// What was answered last, also that nothing was, and when that was known.
    status: Mutex<Option<(Option<Status>, BootTime)>>,
    link: Link,
    /// When it was begun to wait for windows.
    begun: Instant,
    /// When the newest window came. A machine that sleeps does not count.
    turned: Lock<Option<Instant>>,
}

/// What windows and incidents told.
#[derive(Debug)]
pub(crate) struct All {
    series: Series,
    incidents: Incidents,
    /// When the workloads were asked for last.
    listed: BootTime,
}

impl Kept {
    /// Empty ones, which `keep` fills.
    pub(crate) fn new(settings: &Settings, link: &Link) -> Self {
        let all = All {
            series: Series::new(settings),
            incidents: Incidents::default(),
            listed: BootTime::default(),
        };
        Self(Arc::new(Inner {
            all: Mutex::new(all),
            status: Mutex::new(None),
            link: link.clone(),
            begun: now(),
            turned: Lock::new(None),
        }))
    }

    /// Takes in what happens, until the daemon stops.
    pub(crate) async fn keep(self, state: State) {
        let wanted = Wanted { events: None, windows: true, incidents: true };
        let Some(mut feed) = self.0.link.subscribe(&wanted, &state).await else { return };
        state.running();
        let mut told = Vec::new();
        while feed.batch(&mut told, BATCH).await {
            let mut due = false;
            for one in told.drain(..) {
                // Between two of them a scrape may read.
                let mut all = self.0.all.lock().await;
                self.take(&mut all, &one);
                due = host::now().boot.since_ns(all.listed) >= LIST_EACH_NS;
            }
            if due && let Some(WorkloadList { workloads, now }) = self.workloads().await {
                let mut all = self.0.all.lock().await;
                all.listed = now.boot;
                all.series.list(&workloads, now);
            }
        }
    }

    fn take(&self, all: &mut All, told: &Told) {
        match told {
            Told::Window(window, at) => {
                all.series.add(window, *at);
                *self.0.turned.lock().unwrap_or_else(PoisonError::into_inner) = Some(now());
            }
            Told::Incident(incident) => {
                all.incidents.put(incident);
                all.series.incident(incident);
            }
            Told::Deleted(incident) => all.incidents.delete(&incident.id),
            Told::Missed(known) => all.incidents.missed(known),
            // What was lost is in the status, and in the exporter's own state.
            Told::Event(_) | Told::Folded(..) | Told::Lost(..) => {}
        }
    }

    /// The workloads that there are.
    async fn workloads(&self) -> Option<WorkloadList> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Workloads { filters: Filters::default(), reply };
        let asked = async {
            self.0.link.requests.send(request).await.ok()?;
            answer.await.ok()
        };
        timeout(PATIENCE, asked).await.ok().flatten()
    }

    /// The daemon's status, at most half a second old; `None` where the event loop does not answer in time.
    pub(crate) async fn status(&self) -> Option<Status> {
        let mut kept = self.0.status.lock().await;
        let now = host::now().boot;
        if let Some((status, _)) = kept.as_ref().filter(|(_, read)| now.since_ns(*read) < STATUS_EACH_NS) {
            return status.clone();
        }
        let answer = timeout(PATIENCE, self.0.link.status()).await.ok().flatten();
        let status = answer.map(|(status, _)| status);
        // Whoever has waited meanwhile does not wait for another answer that does not come.
        *kept = Some((status.clone(), host::now().boot));
        status
    }

    /// For how long the event loop has finished no window; `None` before the first one.
    pub(crate) fn stands_ns(&self) -> Option<u64> {
        let turned = *self.0.turned.lock().unwrap_or_else(PoisonError::into_inner);
        turned.map(|turned| now().duration_since(turned).as_nanos() as u64)
    }

    /// For how long windows have been waited for.
    pub(crate) fn age_ns(&self) -> u64 {
        now().duration_since(self.0.begun).as_nanos() as u64
    }

    /// How many windows were taken in, and how many series there are.
    #[cfg(test)]
    pub(crate) async fn figures(&self) -> super::series::Figures {
        self.0.all.lock().await.series.figures()
    }

    /// Keeps everybody else from the series.
    #[cfg(test)]
    pub(crate) async fn hold(&self) -> tokio::sync::MutexGuard<'_, All> {
        self.0.all.lock().await
    }

    /// All that is told now.
    pub(crate) async fn picture(&self) -> Picture {
        let status = self.status().await;
        let node_name = self.0.link.node_name.to_string();
        Picture { kept: self.clone(), status, node_name, start: self.0.link.start_time }
    }
}

#[allow(clippy::disallowed_methods, reason = "it tells how long nothing came")]
fn now() -> Instant {
    Instant::now()
}

/// What there is to be told at a moment. Series are read when they are told, so that they are not copied.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    kept: Kept,
    status: Option<Status>,
    node_name: String,
    start: WallTime,
}

impl Picture {
    /// Has all of it told. Waits for whoever changes the series: not to be called by what may not wait.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Reading<'_>) -> T) -> T {
        let all = self.kept.0.all.blocking_lock();
        let own = Own {
            status: self.status.clone(),
            node_name: self.node_name.clone(),
            incidents: all.incidents.clone(),
            series: all.series.figures(),
        };
        read(&Reading { series: &all.series, own: &own, start: self.start })
    }
}

/// The series and the daemon's own figures.
pub(crate) struct Reading<'a> {
    pub(super) series: &'a Series,
    pub(super) own: &'a Own,
    /// The daemon's start.
    pub(super) start: WallTime,
}

impl Reading<'_> {
    /// Tells each figure of a metric.
    pub(crate) fn each(&self, metric: &'static Metric, take: &mut dyn FnMut(&Point<'_>)) {
        let Figure::Own(tell) = metric.figure else { return self.series.each(metric, take) };
        let mut put = |by: &[&str], value: Value<'_>, _: Option<WallTime>| {
            let by_trigger = by.first().filter(|_| !metric.exemplars.is_empty());
            let exemplar = by_trigger.and_then(|trigger| self.own.incidents.exemplar(trigger));
            let start = self.start;
            take(&Point { labels: &[], key: "", overflow: false, by, value, start, exemplar });
        };
        tell(self.own, &mut Out::to(&mut put));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::serve::Book;

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_meanwhile_waits_no_longer_than_the_first() {
        let (requests, _never_answered) = mpsc::channel(16);
        let link = Link {
            requests,
            book: Book::default(),
            node_name: "n1".into(),
            start_time: WallTime(0),
            window: Duration::from_secs(10),
            queue: (16, 1 << 20),
            streams: Arc::default(),
            room: crate::room::Room::default(),
            stopping: CancellationToken::new(),
        };
        let kept = Kept::new(&Settings::default(), &link);
        let all = async { tokio::join!(kept.status(), kept.status(), kept.status(), kept.picture()) };
        let (one, .., picture) = timeout(PATIENCE + Duration::from_secs(1), all).await.unwrap();
        assert!(one.is_none() && picture.status.is_none());
    }
}
