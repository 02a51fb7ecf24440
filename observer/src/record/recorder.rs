//! The recorder's ends: where the event loop hands over, and where others read. Between them is a thread of its own.

mod thread;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::{Semaphore, oneshot};

use super::shared::{Counts, Disk, Settings, Shared, Standing};
use super::store::{Figures, Limits, Store};
use crate::event::{Now, WallTime, Window, Workload};
use crate::status::{self, RecorderState};
use crate::wire::Published;

/// So many roundfuls may wait for the thread.
const ROUNDS_QUEUED: usize = 1_024;
/// And so many bytes of events.
const BYTES_QUEUED: usize = 16 << 20;

/// What a workload or an edge of a window takes.
const ENTRY_BYTES: usize = 500;

/// So many clients read at a time: each has a block in memory, and a thread.
const READERS: usize = 4;

/// What the thread is handed.
enum Order {
    Events(Vec<Arc<Published>>),
    /// So many are missing, behind that number, between these times.
    Behind(u64, u64, [WallTime; 2]),
    Amend(Arc<Published>),
    /// Events up to that number were told with less.
    Complete(Arc<Workload>, u64),
    Window(Arc<Window>, Now),
    /// Somebody wants to read what there is.
    Commit(oneshot::Sender<()>),
    Stop,
}

/// The event loop's end. It never waits: what finds no room is missing in the recording, which says so.
#[derive(Debug)]
pub(crate) struct Recorder {
    shared: Arc<Shared>,
    orders: SyncSender<Order>,
    thread: Option<JoinHandle<()>>,
    /// The highest number that was handed over, or found no room.
    newest: u64,
    behind: Option<Behind>,
    /// Since somebody asked last.
    missed: u64,
    /// That something else found no room was said.
    said: bool,
}

/// What found no room.
#[derive(Clone, Copy, Debug)]
struct Behind {
    count: u64,
    after: u64,
    since: WallTime,
    until: WallTime,
}

/// The readers' end.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
    orders: SyncSender<Order>,
    /// How many may read at a time.
    turns: Arc<Semaphore>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an order")
    }
}

impl Recorder {
    /// Starts the thread.
    pub(crate) fn start(settings: Settings) -> std::io::Result<Self> {
        let (orders, received) = sync_channel(ROUNDS_QUEUED);
        let shared = Arc::new(Shared::new(settings));
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            let ran = catch_unwind(AssertUnwindSafe(|| thread::run(&theirs, &received)));
            if ran.is_err() {
                log::error!("recording has ended: its thread failed; all else goes on");
                theirs.stand(Standing::Refused("the recorder failed; the log says why".to_owned()));
            }
        })?;
        Ok(Self { shared, orders, thread: Some(thread), newest: 0, behind: None, missed: 0, said: false })
    }

    /// For those who read.
    pub(crate) fn reader(&self) -> Reader {
        let turns = Arc::new(Semaphore::new(READERS));
        Reader { shared: Arc::clone(&self.shared), orders: self.orders.clone(), turns }
    }

    /// Hands events over, in order.
    pub(crate) fn publish(&mut self, events: Vec<Arc<Published>>) {
        let Some([since, until]) = ends(&events) else { return };
        let count = events.len() as u64;
        let bytes = bytes(&events);
        let after = self.newest;
        self.newest = events.last().map_or(after, |event| event.event.sequence);
        let told = self.tell_behind() && self.hand(Order::Events(events), bytes);
        if !told {
            self.missed += count;
            self.shared.missed(count);
            let before = self.behind.unwrap_or(Behind { count: 0, after, since, until });
            self.behind = Some(Behind { count: before.count + count, until, ..before });
        }
    }

    /// Tells what found no room before; `false` where that finds none either.
    fn tell_behind(&mut self) -> bool {
        let Some(Behind { count, after, since, until }) = self.behind else { return true };
        let told = self.hand(Order::Behind(count, after, [since, until]), 0);
        if told {
            self.behind = None;
        }
        told
    }

    /// More became known of an event.
    pub(crate) fn amend(&mut self, event: Arc<Published>) {
        let bytes = event.bytes;
        let told = self.hand(Order::Amend(event), bytes);
        self.say(told, "what became known later of an event");
    }

    /// More became known of a workload after events of it were published.
    pub(crate) fn complete(&mut self, workload: &Arc<Workload>) {
        let told = self.hand(Order::Complete(Arc::clone(workload), self.newest), 0);
        self.say(told, "what became known later of a workload");
    }

    /// Hands a base window over.
    pub(crate) fn window(&mut self, window: &Arc<Window>, now: Now) {
        let told = self.hand(Order::Window(Arc::clone(window), now), window_bytes(window));
        self.say(told, "a window");
        self.tell_behind();
    }

    /// Says that something found no room, once until something does.
    fn say(&mut self, told: bool, what: &str) {
        if !told && !self.said {
            log::warn!("{what} is missing in the recording: too much waits to be recorded");
        }
        self.said = !told;
    }

    /// So many events found no room since this was asked last.
    pub(crate) const fn take_missed(&mut self) -> u64 {
        std::mem::replace(&mut self.missed, 0)
    }

    fn hand(&self, order: Order, bytes: usize) -> bool {
        if self.shared.waiting.load(Ordering::Relaxed) + bytes > BYTES_QUEUED {
            return false;
        }
        self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        match self.orders.try_send(order) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
                false
            }
        }
    }

    /// So many bytes wait for the thread.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// What is said of it.
    pub(crate) fn status(&self, now: Now) -> status::Recorder {
        let figures = self.shared.store().map_or_else(Figures::default, |store| store.figures());
        let Counts { commits, errors, missed } = self.shared.counts();
        let Settings { folder, limits, .. } = &self.shared.settings;
        let (state, reason) = match self.shared.standing() {
            Standing::Opening => (RecorderState::Opening, String::new()),
            Standing::Recording => (RecorderState::Recording, String::new()),
            Standing::Paused(reason) => (RecorderState::Paused, reason),
            Standing::Refused(reason) => (RecorderState::Refused, reason),
        };
        let reach_ns = figures.complete_since.map_or(0, |since| now.wall.0.saturating_sub(since.0));
        status::Recorder {
            state,
            reason,
            path: Store::path_in(folder).display().to_string(),
            reach_seconds: reach_ns / 1_000_000_000,
            oldest_event: figures.oldest,
            events: figures.events,
            bytes: figures.file_bytes,
            most_bytes: limits.bytes,
            most_seconds: limits.age_ns / 1_000_000_000,
            commits,
            errors,
            missed_events: missed,
        }
    }

    /// Has all that was handed over written, and waits for that.
    pub(crate) fn stop(&mut self) {
        // Others may still be handing over; this one waits for its place.
        let _thread_is_there = self.orders.send(Order::Stop).is_ok();
        if let Some(thread) = self.thread.take() {
            let _it_said_why = thread.join().is_err();
        }
    }
}

impl Reader {
    /// Of a store that nobody writes to, as of that run.
    pub(crate) fn of(store: Store, start: WallTime) -> Self {
        let (orders, _nobody) = sync_channel(1);
        let settings =
            Settings { folder: PathBuf::new(), limits: Limits::default(), start, disk: Disk::Real };
        let shared = Shared::new(settings);
        shared.opened(store);
        // Nothing new comes that could be missing.
        shared.stand(Standing::Recording);
        Self { shared: Arc::new(shared), orders, turns: Arc::new(Semaphore::new(READERS)) }
    }

    /// What is recorded, where it is open.
    pub(crate) fn store(&self) -> Option<Store> {
        self.shared.store()
    }

    /// Nothing new is missing: where it does not record, memory has what is newer.
    pub(crate) fn records(&self) -> bool {
        self.shared.standing() == Standing::Recording
    }

    /// The start of this run, which names it.
    pub(crate) fn start(&self) -> WallTime {
        self.shared.settings.start
    }

    /// Does something that reads, on a thread that may wait, when it is its turn.
    pub(crate) async fn turn<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> T {
        // Nobody closes it.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read()
        });
        match reading.await {
            Ok(read) => read,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The daemon stops, and nobody waits for this any more.
                Err(_cancelled) => std::future::pending().await,
            },
        }
    }

    /// Waits until it is known what is recorded: just after the start the file is still being opened.
    pub(crate) async fn opened(&self) {
        if self.shared.standing() == Standing::Opening {
            self.commit().await;
        }
    }

    /// Has all that was handed over written, as far as that is possible now.
    pub(crate) async fn commit(&self) {
        let (done, told) = oneshot::channel();
        // With a full queue there is a lot to write, and that is read in time.
        if self.orders.try_send(Order::Commit(done)).is_ok() {
            let _written_or_gone = told.await.is_ok();
        }
    }
}

/// The first and the last time.
fn ends(events: &[Arc<Published>]) -> Option<[WallTime; 2]> {
    Some([events.first()?.event.time, events.last()?.event.time])
}

/// About so many bytes a window takes in memory.
fn window_bytes(window: &Window) -> usize {
    let Window { workloads, edges, listeners, live, .. } = window;
    let entries = workloads.len() + edges.len() + listeners.len();
    (entries + live.workloads.len() + live.edges.len()) * ENTRY_BYTES
}

fn bytes(events: &[Arc<Published>]) -> usize {
    events.iter().map(|event| event.bytes).sum()
}
