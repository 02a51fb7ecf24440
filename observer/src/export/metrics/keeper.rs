//! Keeps the series up to date: takes windows, incidents and the list of workloads as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;

use super::own::{Incidents, Own};
use super::series::{Point, Series};
use super::settings::Settings;
use super::table::{Figure, Metric, Out, Value};
use crate::event::{BootTime, Now, WallTime};
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
    status: Mutex<Option<(Status, BootTime)>>,
    link: Link,
    /// When the newest window ended, by the boot clock; 0 before the first.
    turned: AtomicU64,
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
            turned: AtomicU64::new(0),
        }))
    }

    /// Takes in what happens, until the daemon stops.
    pub(crate) async fn keep(self, state: State) {
        let wanted = Wanted { events: None, windows: true, incidents: true };
        let Some(mut feed) = self.0.link.subscribe(&wanted, &state).await else { return };
        state.running();
        let mut told = Vec::new();
        while feed.batch(&mut told, BATCH).await {
            let due = {
                let mut all = self.0.all.lock().await;
                told.drain(..).for_each(|one| self.take(&mut all, &one));
                host::now().boot.since_ns(all.listed) >= LIST_EACH_NS
            };
            if due && let Some(WorkloadList { workloads, now }) = self.workloads().await {
                let mut all = self.0.all.lock().await;
                all.listed = now.boot;
                all.series.list(&workloads, now);
            }
        }
    }

    fn take(&self, all: &mut All, told: &Told) {
        match told {
            Told::Window(window, now) => {
                all.series.add(window, *now);
                self.0.turned.store(window.end().0, Ordering::Relaxed);
            }
            Told::Incident(incident) => {
                all.incidents.put(incident);
                all.series.incident(incident);
            }
            Told::Deleted(incident) => all.incidents.delete(&incident.id),
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
            return Some(status.clone());
        }
        let (status, Now { boot, .. }) = timeout(PATIENCE, self.0.link.status()).await.ok().flatten()?;
        *kept = Some((status.clone(), boot));
        Some(status)
    }

    /// For how long the event loop has finished no window; `None` before the first one.
    pub(crate) fn stands_ns(&self) -> Option<u64> {
        let turned = self.0.turned.load(Ordering::Relaxed);
        (turned > 0).then(|| host::now().boot.since_ns(BootTime(turned)))
    }

    /// All that is told now.
    pub(crate) async fn picture(&self) -> Picture {
        let status = self.status().await;
        let node_name = self.0.link.node_name.to_string();
        Picture { kept: self.clone(), status, node_name, start: self.0.link.start_time }
    }
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
        let mut put = |by: &[&str], value: Value<'_>| {
            let by_trigger = by.first().filter(|_| !metric.exemplars.is_empty());
            let exemplar = by_trigger.and_then(|trigger| self.own.incidents.exemplar(trigger));
            let start = self.start;
            take(&Point { labels: &[], key: "", overflow: false, by, value, start, exemplar });
        };
        tell(self.own, &mut Out::to(&mut put));
    }
}
