//! How an exporter stands: what it has sent and lost, and what keeps it from sending. Told in the status and in metrics.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::backoff::WELL;
use crate::client::escape;
use crate::event::WallTime;
use crate::inventory::host;
use crate::serve::Gauge;
use crate::status::{Exporter, ExporterState};

/// The longest error that is told, in characters.
const LONGEST: usize = 300;

/// Why something was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It found no room in the exporter's queue.
    Queue,
    /// The other side does not take it, and will not.
    Refused,
    /// It is larger than the other side takes.
    TooLarge,
    /// The other side did not take it for so long that it is given up.
    Expired,
    /// The daemon ended before it was sent.
    Stopped,
}

impl Reason {
    const ALL: [Self; 5] = [Self::Queue, Self::Refused, Self::TooLarge, Self::Expired, Self::Stopped];

    const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::Expired => "expired",
            Self::Stopped => "stopped",
        }
    }
}

/// One exporter's state; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    kind: &'static str,
    endpoint: String,
    sent: AtomicU64,
    retries: AtomicU64,
    /// What waits in queues of its own.
    held: AtomicU64,
    lost: [AtomicU64; Reason::ALL.len()],
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    state: ExporterState,
    last_error: String,
    last_error_time: Option<WallTime>,
    last_success: Option<WallTime>,
    /// The log says that it is troubled.
    said: bool,
    /// Since when nothing has gone wrong; `None` where the last thing did.
    well: Option<Instant>,
    /// The queues of its feed.
    queues: Vec<Gauge>,
}

impl State {
    /// One that starts. The endpoint is told as it is: it may hold no secret.
    pub(crate) fn new(name: impl Into<String>, kind: &'static str, endpoint: impl Into<String>) -> Self {
        let changing = Changing {
            state: ExporterState::Starting,
            last_error: String::new(),
            last_error_time: None,
            last_success: None,
            said: false,
            well: None,
            queues: Vec::new(),
        };
        Self(Arc::new(Inner {
            name: name.into(),
            kind,
            endpoint: endpoint.into(),
            sent: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            held: AtomicU64::new(0),
            lost: [const { AtomicU64::new(0) }; Reason::ALL.len()],
            changing: Mutex::new(changing),
        }))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// It gets what it tells from these queues from now on.
    pub(crate) fn watch(&self, queues: Vec<Gauge>) {
        let before = std::mem::replace(&mut self.lock().queues, queues);
        self.lose(Reason::Queue, before.iter().map(Gauge::lost).sum());
    }

    /// Nothing keeps it from sending. The log says so once that has lasted: one that works now and then would fill it.
    pub(crate) fn running(&self) {
        let mut changing = self.lock();
        changing.state = ExporterState::Running;
        let lasts = changing.well.get_or_insert_with(Instant::now).elapsed() >= WELL;
        let is_news = lasts && std::mem::take(&mut changing.said);
        drop(changing);
        if is_news {
            log::warn!("exporter {} goes on; {} are lost to it", self.0.name, self.lost());
        }
    }

    /// So many were taken from it.
    pub(crate) fn sent(&self, count: u64) {
        self.taken(count, false);
    }

    /// The same; where it is troubled, something else keeps it from sending all the same.
    pub(crate) fn taken(&self, count: u64, troubled: bool) {
        self.0.sent.fetch_add(count, Ordering::Relaxed);
        if !troubled {
            self.running();
        }
        self.lock().last_success = Some(host::now().wall);
    }

    /// So many more wait in a queue of its own.
    pub(crate) fn hold(&self, count: u64) {
        self.0.held.fetch_add(count, Ordering::Relaxed);
    }

    /// So many of these wait no more.
    pub(crate) fn let_go(&self, count: u64) {
        self.0.held.fetch_sub(count, Ordering::Relaxed);
    }

    /// So many will never be sent.
    pub(crate) fn lose(&self, reason: Reason, count: u64) {
        self.0.lost[reason as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// Something was not taken, and is tried again. The error is one that may be shown.
    pub(crate) fn retrying(&self, error: &dyn Error) {
        self.0.retries.fetch_add(1, Ordering::Relaxed);
        let words = self.failed(error);
        let mut changing = self.lock();
        changing.state = ExporterState::Retrying;
        changing.well = None;
        let is_news = !std::mem::replace(&mut changing.said, true);
        drop(changing);
        if is_news {
            log::error!("exporter {}: {words}; it is tried again, and all else goes on", self.0.name);
        }
    }

    /// Something went wrong that is not tried again. The error is one that may be shown.
    pub(crate) fn failed(&self, error: &dyn Error) -> String {
        let words = told(error);
        let mut changing = self.lock();
        changing.last_error.clone_from(&words);
        changing.last_error_time = Some(host::now().wall);
        words
    }

    /// How it stands.
    pub(crate) fn status(&self) -> Exporter {
        let Inner { name, kind, endpoint, sent, retries, held, lost, changing: _ } = &*self.0;
        let changing = self.lock();
        let of_queues: u64 = changing.queues.iter().map(Gauge::lost).sum();
        let count = |reason: Reason| {
            let of_queues = if reason == Reason::Queue { of_queues } else { 0 };
            (reason.name(), lost[reason as usize].load(Ordering::Relaxed) + of_queues)
        };
        Exporter {
            name: name.clone(),
            kind,
            endpoint: endpoint.clone(),
            state: changing.state,
            queued: changing.queues.iter().map(Gauge::waiting).sum::<u64>() + held.load(Ordering::Relaxed),
            sent: sent.load(Ordering::Relaxed),
            lost: Reason::ALL.map(count).to_vec(),
            retries: retries.load(Ordering::Relaxed),
            last_error: changing.last_error.clone(),
            last_error_time: changing.last_error_time,
            last_success: changing.last_success,
        }
    }

    fn lost(&self) -> u64 {
        self.status().lost.iter().map(|(_, count)| count).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Changing> {
        // Nothing panics while it is locked; if something did, what is in there is whole all the same.
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error that may be shown, with what caused it.
fn told(error: &dyn Error) -> String {
    escape(&chain(error)).chars().take(LONGEST).collect()
}

/// An error with what caused it, in one line. A server may have written parts of it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

/// The states of all exporters; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Mutex<Vec<State>>>);

impl Board {
    /// Adds one, and gives it back.
    pub(crate) fn add(&self, state: State) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(state.clone());
        state
    }

    /// How all of them stand.
    pub(crate) fn status(&self) -> Vec<Exporter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(State::status).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write")]
    struct Outer(#[source] io::Error);

    #[test]
    fn it_says_what_was_sent_and_lost_and_why() {
        let board = Board::default();
        let state = board.add(State::new("json.a", "json", "/a"));
        assert_eq!(board.status()[0].state, ExporterState::Starting);
        state.retrying(&Outer(io::Error::other("no\u{1b}[31m space")));
        let told = state.status();
        assert_eq!((told.state, told.retries, told.last_success), (ExporterState::Retrying, 1, None));
        assert!(told.last_error.starts_with("cannot write: no") && !told.last_error.contains('\u{1b}'));
        assert!(told.last_error_time.is_some());
        state.lose(Reason::Refused, 3);
        state.sent(7);
        let told = &board.status()[0];
        assert_eq!((told.state, told.sent), (ExporterState::Running, 7));
        assert_eq!(
            told.lost,
            [("queue", 0), ("refused", 3), ("too_large", 0), ("expired", 0), ("stopped", 0)]
        );
        assert!(told.last_success.is_some() && !told.last_error.is_empty());
        state.retrying(&io::Error::other("x".repeat(1_000)));
        assert_eq!(state.status().last_error.len(), LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_says_it_once_for_all_that_comes_and_goes() {
        let state = State::new("syslog.a", "syslog", "udp://a");
        let said = || state.lock().said;
        for _ in 0..100 {
            state.retrying(&io::Error::other("refused"));
            assert!(said());
            tokio::time::advance(2 * WELL).await;
            // Another trouble ends that at once.
            state.sent(1);
            assert_eq!((state.status().state, said()), (ExporterState::Running, true));
        }
        tokio::time::advance(WELL).await;
        state.sent(1);
        assert!(!said());
    }
}
