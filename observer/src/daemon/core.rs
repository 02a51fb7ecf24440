//! The event loop: the one owner of attribution, aggregation and subscribers.

mod answer;
mod deliver;
mod folds;
mod incidents;
mod lookups;
mod recording;
mod round;
mod sessions;
mod sockets;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::io::unix::AsyncFd;

use self::folds::Folds;
use self::sessions::Sessions;
use self::sockets::Sampling;
use super::DaemonError;
use super::adopt::Adoption;
use super::input::{Found, Input, Inputs};
use super::keeper::Keeper;
use super::memory::Memory;
use crate::aggregate::{self, Aggregator};
use crate::attribute::{self, Attributor, CrashLoop, Output};
use crate::config::Config;
use crate::decode::{self, Record, Tick};
use crate::event::{BootTime, EventType, Now};
use crate::export::Board;
use crate::inventory::{self, cgroups::Cgroups, host, processes};
use crate::loss::Losses;
use crate::probe::{self, Features, Loaded, Ring};
use crate::record::Recorder;
use crate::room::Room;
use crate::serve::{Book, Limits, Standing, Subscribers};
use crate::status::{Capability, IdentitySource};
use crate::trigger::{Incidents, Triggers};

/// Records taken from a ring at a time: between two batches clients and facts get their turn.
const BATCH: usize = 2048;
/// Batches taken from the processes' ring before the network's batch is treated.
const PROCESS_ROUNDS: usize = 8;
/// The length of a base window.
const BASE_WINDOW_NS: u64 = 1_000_000_000;
/// Processes that are known at once.
const MAX_PROCESSES: usize = 65_536;
/// Events that wait for names at once.
const MAX_HELD: usize = 65_536;
/// A difference between the clocks that is a step, not the time between two readings.
const CLOCK_STEP_NS: u64 = 1_000_000;
/// Handshakes with retransmits under way at once.
const MAX_HANDSHAKES: usize = 16_384;
/// Listening sockets in the table.
const MAX_LISTENERS: usize = 16_384;

/// What the event loop is made of.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) features: &'a Features,
    pub(super) loaded: Loaded,
    /// What privileges serve, beside loading.
    pub(super) privileges: Vec<Capability>,
    pub(super) inventory: inventory::Handle,
    pub(super) book: Book,
    pub(super) started: Now,
    pub(super) attach_duration_ns: u64,
}

/// The event loop's state.
pub(super) struct Core<'a> {
    config: &'a Config,
    started: Now,
    /// The reading that the wall clock's times are worked out from.
    clock: Now,
    attach_duration_ns: u64,
    capabilities: Vec<Capability>,
    process_ring: AsyncFd<Ring>,
    network_ring: AsyncFd<Ring>,
    probes: probe::Attached,
    inventory: inventory::Handle,
    pub(super) cgroups: Option<Cgroups>,
    pub(super) sources: Vec<IdentitySource>,
    /// The health of those that are asked again and again, by what it is kept under.
    asked_sources: BTreeMap<&'static str, Vec<IdentitySource>>,
    pub(super) attributor: Attributor,
    pub(super) out: Output,
    aggregator: Aggregator,
    subscribers: Subscribers,
    triggers: Triggers,
    incidents: Incidents,
    /// How all stands that is of no one incident, and when it was gathered.
    standing: Option<(BootTime, Arc<Standing>)>,
    book: Book,
    pub(super) exporters: Board,
    losses: Losses,
    counts: [u64; EventType::ALL.len()],
    /// Records that could not be understood since the last tick.
    undecodable: u64,
    /// Containers that could not be asked for since the last tick: too many are being asked for.
    refused_lookups: u64,
    /// The same of connections whose backend might have been asked for.
    refused_translations: u64,
    sampling: Sampling,
    folds: Folds,
    sessions: Sessions,
    tick: Tick,
    adoption: Adoption,
    pub(super) memory: Memory,
    process_batch: Vec<Record>,
    network_batch: Vec<Record>,
    recorder: Option<Recorder>,
    keeper: Option<Keeper>,
}

impl<'a> Core<'a> {
    /// Puts the parts together. Needs to be called within the runtime.
    pub(super) fn new(parts: Parts<'a>) -> Result<Self, DaemonError> {
        let Parts { config, features, loaded, privileges, inventory, book, started, attach_duration_ns } =
            parts;
        let now = host::now();
        let mut capabilities = probe::capabilities(&loaded.refused, config.dns);
        capabilities.push(probe::reset_reason(features));
        capabilities.extend(privileges);
        let (process_ring, network_ring, mut probes) = loaded.into_parts()?;
        let asks_cluster = inventory.asks_cluster();
        let hold = config.attribution_hold;
        let adoption = Adoption::start(probes.sockets.adopter(), config.enter_namespaces, asks_cluster, hold);
        let mut sources = Vec::new();
        let cgroups = lookups::find_cgroups(&mut sources);
        let attribution = attribute::Settings {
            hold_ns: hold.as_nanos() as u64,
            max_held: MAX_HELD,
            max_workloads: config.max_workloads,
            max_cluster_objects: config.max_cluster_objects,
            max_processes: MAX_PROCESSES,
            crash_loop: CrashLoop {
                ends: config.crash_loop_ends,
                window_ns: config.crash_loop_window.as_nanos() as u64,
            },
            page_size: rustix::param::page_size() as u64,
            host_namespaces: processes::host_namespaces(),
            translations: config.conntrack,
            dns: config.dns,
        };
        let aggregation = aggregate::Settings {
            window_ns: BASE_WINDOW_NS,
            max_connections: config.max_connections,
            max_workloads: config.max_workloads,
            max_edges: config.max_edges,
            max_handshakes: MAX_HANDSHAKES,
            max_listeners: MAX_LISTENERS,
        };
        let limits = Limits { history_bytes: config.history_bytes, ..Limits::default() };
        let room = Room::default();
        let mut attributor = Attributor::new(attribution, &features.reset_reasons);
        let mut aggregator = Aggregator::new(aggregation, now.boot);
        let mut subscribers = Subscribers::new(&config.node_name, limits, started);
        attributor.name_drops(&features.drop_reasons);
        attributor.share(&room);
        aggregator.share(&room);
        subscribers.share(&room);
        Ok(Self {
            config,
            started,
            clock: started,
            attach_duration_ns,
            capabilities,
            process_ring: process_ring.watch().map_err(DaemonError::Runtime)?,
            network_ring: network_ring.watch().map_err(DaemonError::Runtime)?,
            probes,
            inventory,
            cgroups,
            sources,
            asked_sources: BTreeMap::new(),
            attributor,
            out: Output::default(),
            aggregator,
            subscribers,
            triggers: Triggers::new(config.triggers),
            incidents: Incidents::new(config.incidents),
            standing: None,
            book,
            exporters: Board::default(),
            losses: Losses::new(now.boot),
            counts: [0; EventType::ALL.len()],
            undecodable: 0,
            refused_lookups: 0,
            refused_translations: 0,
            sampling: Sampling::default(),
            folds: Folds::default(),
            sessions: Sessions::new(config.incidents.after_ns),
            tick: Tick::default(),
            adoption,
            memory: Memory::new(config.max_memory, room),
            process_batch: Vec::with_capacity(BATCH),
            network_batch: Vec::with_capacity(BATCH),
            recorder: None,
            keeper: None,
        })
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(&mut self, inputs: &mut Inputs) {
        self.adoption.begin();
        loop {
            match inputs.next([&self.process_ring, &self.network_ring]).await {
                Input::Records => self.read(inputs),
                Input::Request(request) => self.answer(request),
                Input::Fact(fact) => self.fact(fact),
                Input::Tick => {
                    self.read(inputs);
                    self.tick();
                }
                Input::Stop => break,
            }
        }
        self.finish();
    }

    /// Reads the rings, and has the probes wake the daemon if it may sleep then.
    fn read(&mut self, inputs: &mut Inputs) {
        // Whose the other side of a connection is, is looked up once.
        let found = if self.adoption.is_early() { Found::All } else { self.drain() };
        if inputs.found(found)
            && let Err(error) = self.probes.set_alarm()
        {
            log::error!("{error}: records are read four times a second only");
        }
    }

    /// Both clocks. The offset between them is kept until the wall clock steps, so that the same
    /// moment of the boot clock is always told in the same way.
    pub(super) fn now(&mut self) -> Now {
        let read = host::now();
        let kept = self.clock.wall_of(read.boot);
        if kept.0.abs_diff(read.wall.0) > CLOCK_STEP_NS {
            self.clock = read;
            return read;
        }
        Now { boot: read.boot, wall: kept }
    }

    /// Takes a batch from the network's ring and then all from the processes' ring, which it treats
    /// first: whatever a process did before it connected is known before its connection.
    fn drain(&mut self) -> Found {
        let now = self.now();
        let (mut undecodable, tick) = (0, self.tick);
        let mut take = |into: &mut Vec<Record>, bytes: &[u8]| match decode::decode(bytes, tick) {
            Ok(record) => into.push(record),
            Err(error) => {
                log::debug!("{error}");
                undecodable += 1;
            }
        };
        let mut network_batch = std::mem::take(&mut self.network_batch);
        let mut process_batch = std::mem::take(&mut self.process_batch);
        let taken = self.network_ring.get_mut().drain(BATCH, |bytes| take(&mut network_batch, bytes));
        let mut remain = taken == BATCH;
        for round in 1..=PROCESS_ROUNDS {
            let taken = self.process_ring.get_mut().drain(BATCH, |bytes| take(&mut process_batch, bytes));
            if taken < BATCH {
                break;
            }
            remain |= round == PROCESS_ROUNDS;
        }
        self.undecodable += undecodable;
        let found = match (remain, process_batch.is_empty() && network_batch.is_empty() && undecodable == 0) {
            (true, _) => Found::More,
            (false, true) => Found::Nothing,
            (false, false) => Found::All,
        };
        for record in process_batch.drain(..).chain(network_batch.drain(..)) {
            self.attribute(record, now);
        }
        self.network_batch = network_batch;
        self.process_batch = process_batch;
        self.deliver(now);
        if !remain {
            self.adoption.caught_up();
        }
        found
    }

    /// The last round: what is in the rings is told, then the streams end.
    fn finish(&mut self) {
        while self.drain() == Found::More {}
        let now = self.now();
        self.end_sessions(now);
        self.attributor.flush(&mut self.out);
        self.deliver(now);
        self.count_folds(now, true);
        self.count_losses(now);
        self.subscribers.stop();
        self.book.stop();
        self.stop_recording();
    }
}
