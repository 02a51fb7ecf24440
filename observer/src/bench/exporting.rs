//! Exporters as the daemon runs them, with an event loop that does nothing but hand on what it is given.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use toml::de::DeTable;

use super::{Events, Second};
use crate::config::exporters::Exporters;
use crate::daemon::memory::{self, Memory};
use crate::event::{EventType, Now, WorkloadEntry};
use crate::export::{self, Board, Bound, Link, Running};
use crate::inventory::host;
use crate::room::Room;
use crate::serve::{Book, Limits, Request, Subscribers, WorkloadList};
use crate::status::{Recorder, Status};

/// As many as the daemon has for its clients.
const THREADS: usize = 2;
const NODE: &str = "node-1";
/// What the daemon may have unless it is told otherwise.
const MOST_BYTES: u64 = 128 << 20;
/// Exporters are waited for this long, in milliseconds.
const PATIENCE: u32 = 10_000;

/// Exporters that run.
pub struct Exporting {
    runtime: Runtime,
    node: Arc<Node>,
    running: Running,
    address: Option<SocketAddr>,
    /// The bound of the daemon's memory, and what of it is left.
    memory: Mutex<Memory>,
    pub(super) room: Room,
}

/// How far all exporters together are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What was sent.
    pub sent: u64,
    /// What waits.
    pub queued: u64,
    /// What will never be sent.
    pub lost: u64,
    /// How often something was tried again.
    pub retries: u64,
}

/// What the event loop has.
struct Node {
    subscribers: Mutex<Subscribers>,
    workloads: Mutex<Vec<WorkloadEntry>>,
    board: Board,
    started: Now,
}

impl Exporting {
    /// Starts those that the configuration names and, where that is wanted, the HTTP server with the metrics. To be called before
    /// any thread is made: the allocator is set as the daemon's.
    pub fn start(configuration: &str, with_metrics: bool) -> io::Result<Self> {
        memory::limit();
        let tables = DeTable::parse(configuration).map_err(io::Error::other)?.into_inner();
        let exporters = Exporters::read(tables).map_err(|refused| io::Error::other(refused.message))?;
        let at = SocketAddr::from(([127, 0, 0, 1], 0));
        let bound = with_metrics.then(|| Bound::new(at, &exporters.http)).transpose();
        let bound = bound.map_err(io::Error::other)?;
        let address = bound.as_ref().and_then(|bound| {
            let url = bound.url();
            url.strip_prefix("http://")?.strip_suffix("/metrics")?.parse().ok()
        });
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
        let started = host::now();
        let room = Room::default();
        let mut subscribers = Subscribers::new(NODE, Limits::default(), started);
        subscribers.share(&room);
        let node = Arc::new(Node {
            subscribers: Mutex::new(subscribers),
            workloads: Mutex::default(),
            board: Board::default(),
            started,
        });
        let (sender, requests) = mpsc::channel(16);
        let link = Link {
            requests: sender,
            book: Book::default(),
            node_name: NODE.into(),
            start_time: started.wall,
            window: Duration::from_secs(10),
            queue: (8_192, 16 << 20),
            room: room.clone(),
            streams: Arc::default(),
            stopping: CancellationToken::new(),
        };
        runtime.spawn(answer(requests, Arc::clone(&node)));
        let running = {
            let _within = runtime.enter();
            export::start(&exporters, bound, &link, &node.board)
        };
        // They have subscribed before anything happens.
        let wanted = node.board.status().len();
        let memory = Mutex::new(Memory::new(MOST_BYTES, room.clone()));
        let exporting = Self { runtime, node, running, address, memory, room };
        for _ in 0..PATIENCE {
            if exporting.node.subscribers().count() >= wanted {
                return Ok(exporting);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(io::Error::other("not all exporters have subscribed"))
    }

    /// Where the metrics are.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Hands events on, as the event loop does with those of a round.
    pub fn publish(&self, events: &Events) {
        self.node.subscribers().publish(&events.0);
    }

    /// Hands a window on, as the event loop does at the end of a second.
    pub fn publish_second(&self, second: Second) {
        let give_way = || self.node.subscribers().give_way();
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).measure(host::now().boot, give_way);
        *self.node.workloads.lock().unwrap_or_else(PoisonError::into_inner) = second.workloads;
        self.node.subscribers().publish_window(&second.window, second.now);
    }

    /// How far they are.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let mut all = Progress::default();
        for one in self.node.board.status() {
            all.sent += one.sent;
            all.queued += one.queued;
            all.lost += one.lost.iter().map(|(_, count)| count).sum::<u64>();
            all.retries += one.retries;
        }
        all
    }

    /// Ends them, as the daemon's end does.
    pub fn stop(self) {
        self.node.subscribers().stop();
        self.runtime.block_on(self.running.finish());
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

impl Node {
    fn subscribers(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self, now: Now) -> Status {
        let usage = host::usage().ok();
        let subscribers = self.subscribers();
        Status {
            start_time: self.started.wall,
            uptime_ns: now.boot.since_ns(self.started.boot),
            kernel_release: host::kernel_release(),
            capabilities: Vec::new(),
            probes: Vec::new(),
            identity_sources: Vec::new(),
            events: EventType::ALL.into_iter().map(|kind| (kind, 0)).collect(),
            losses: Vec::new(),
            subscribers: subscribers.count() as u32,
            events_stored: 0,
            oldest_event: None,
            tables: subscribers.tables().into(),
            attach_duration_ns: 0,
            resident_bytes: usage.map_or(0, |usage| usage.resident_bytes),
            cpu_time_ns: usage.map_or(0, |usage| usage.cpu_time_ns),
            rings: Vec::new(),
            folded: Vec::new(),
            most_resident_bytes: MOST_BYTES,
            open_incidents: 0,
            queued_updates: subscribers.waiting(),
            kernel_bytes: 0,
            kernel_maps: Vec::new(),
            debug_sessions: Vec::new(),
            recorder: Recorder::off(),
            exporters: self.board.status(),
        }
    }
}

/// The event loop, as far as exporters ask it.
#[allow(clippy::wildcard_enum_match_arm, reason = "clients ask the rest")]
async fn answer(mut requests: mpsc::Receiver<Request>, node: Arc<Node>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Events(request) => node.subscribers().add_events(request),
            Request::Summaries(request) => node.subscribers().add_summaries(request),
            Request::Workloads { reply, .. } => {
                let workloads = node.workloads.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let _gone = reply.send(WorkloadList { workloads, now: host::now() }).is_err();
            }
            Request::Status { reply } => {
                let now = host::now();
                let _gone = reply.send((node.status(now), now)).is_err();
            }
            _ => {}
        }
    }
}
