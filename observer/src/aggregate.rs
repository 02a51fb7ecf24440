//! Windows: events become the figures of workloads and edges. Pure and bounded.
//!
//! Bytes, segments and retransmits are the differences between two readings of a connection's own
//! counters and belong to the window in which they are read, so they add up to what the connection
//! tells at its end, whether or not it was ever in the table.
//!
//! Segments sent again are counted by this rule, each once:
//! - A socket's counter (`total_retrans`) holds them all: a client's SYNs, data, FINs, and, once a
//!   request has become a socket, its SYN-ACKs (`tcp_create_openreq_child` copies `num_retrans`).
//!   So retransmits of established connections are not counted as events but by that counter.
//! - A handshake may last minutes or never end, so its SYNs and SYN-ACKs are counted as they happen,
//!   and noted. What was noted is taken off what the counter (at the connection's first reading) or
//!   the failure's `syn_retransmits` tells again. A request that never becomes a socket needs no more.

mod connections;
mod ends;
mod figures;
mod folds;
mod handshakes;
mod histogram;
mod listeners;
mod merge;
mod queues;
mod slots;
mod tcp;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use self::connections::Connections;
pub(crate) use self::connections::first_of;
use self::figures::Figures;
pub(crate) use self::figures::Totals;
use self::handshakes::Handshakes;
pub(crate) use self::histogram::Histogram;
use self::listeners::Listeners;
use crate::event::{
    BootTime, Connection, ConnectionId, ConnectionOrder, Detail, Event, Loss, LossSource, ResetDirection,
    Sample, Window, Workload, WorkloadId,
};
use crate::room::Room;
use crate::status::Table;

/// After so many windows without a call the machine has slept: the time between is left out.
const LONGEST_GAP: u64 = 60;

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The length of a base window; longer ones are merged from these.
    pub(crate) window_ns: u64,
    /// Live connections in the table. One costs about 300 bytes.
    pub(crate) max_connections: usize,
    /// Workloads with something live, or with something that happened in the window.
    pub(crate) max_workloads: usize,
    /// Edges with something live, or with something that happened in the window.
    pub(crate) max_edges: usize,
    /// Handshakes under way with retransmits.
    pub(crate) max_handshakes: usize,
    /// Listening sockets.
    pub(crate) max_listeners: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window_ns: 1_000_000_000,
            max_connections: 65_536,
            max_workloads: 4_096,
            max_edges: 16_384,
            max_handshakes: 4_096,
            max_listeners: 4_096,
        }
    }
}

/// Makes windows and holds the table of live connections.
#[derive(Debug)]
pub(crate) struct Aggregator {
    settings: Settings,
    window_start: BootTime,
    lost_events: u64,
    figures: Figures,
    connections: Connections,
    handshakes: Handshakes,
    listeners: Listeners,
    no_room_connections: u64,
    no_room_handshakes: u64,
    /// Connections that no reading found any more.
    gone: u64,
    losses_since: BootTime,
    sampled: BootTime,
}

impl Aggregator {
    /// The first window starts now.
    pub(crate) fn new(settings: Settings, now: BootTime) -> Self {
        Self {
            settings,
            window_start: now,
            lost_events: 0,
            figures: Figures::new(settings.max_workloads, settings.max_edges),
            connections: Connections::new(settings.max_connections),
            handshakes: Handshakes::new(settings.max_handshakes),
            listeners: Listeners::new(settings.max_listeners),
            no_room_connections: 0,
            no_room_handshakes: 0,
            gone: 0,
            losses_since: now,
            sampled: now,
        }
    }

    /// Has the tables grow no further than memory allows.
    pub(crate) fn share(&mut self, room: &Room) {
        self.figures.share(room);
        self.connections.share(room);
    }

    /// Counts an event in the open window. One that no owner is known of belongs to no summary.
    pub(crate) fn record(&mut self, event: &Event) {
        let Some(workload) = &event.workload else { return };
        match &event.detail {
            Detail::ProcessExec(_) => self.figures.processes(workload, |processes| processes.execs += 1),
            Detail::ProcessExit(exit) => self.figures.processes(workload, |processes| {
                *processes.exits.entry(exit.ending).or_default() += 1;
            }),
            Detail::OomKill(_) => self.figures.processes(workload, |processes| processes.oom_kills += 1),
            Detail::ContainerStart(_) => {
                self.figures.processes(workload, |processes| processes.container_starts += 1);
            }
            Detail::ContainerStop(_) => {
                self.figures.processes(workload, |processes| processes.container_stops += 1);
            }
            // Both are told of ends and sockets that are counted themselves.
            // And the others are seen while somebody looks closely: figures of windows are to be comparable.
            Detail::ContainerReady(_)
            | Detail::ContainerCrashLoop(_)
            | Detail::TcpResponse(_)
            | Detail::PacketDrop(_)
            | Detail::Signal(_)
            | Detail::OpenFailure(_) => {}
            Detail::TcpConnect(connect) => {
                self.open(event, workload, &connect.tcp, Some(connect.handshake_latency_ns));
            }
            Detail::TcpAccept(accept) => self.open(event, workload, &accept.tcp, accept.handshake_latency_ns),
            Detail::TcpConnectFailure(failure) => self.fail(workload, failure),
            Detail::TcpRetransmit(retransmit) => self.retransmit(event.boot_time, workload, retransmit),
            Detail::TcpReset(reset) => {
                let place = self.place(workload, &reset.tcp);
                self.figures.tcp(place, |tcp| match reset.direction {
                    ResetDirection::Sent => tcp.resets_sent += 1,
                    ResetDirection::Received => tcp.resets_received += 1,
                });
            }
            Detail::TcpClose(close) => self.close(workload, close),
            // That it failed is counted when it ends.
            Detail::TcpConnectPending(pending) => {
                let place = self.place(workload, &pending.tcp);
                self.figures.tcp(place, |tcp| tcp.pending += 1);
            }
        }
    }

    /// Takes readings of live sockets. Gives those that are not in the table: their starts were not
    /// seen, or they found no room.
    pub(crate) fn sample(&mut self, now: BootTime, samples: &[Sample]) -> HashMap<ConnectionId, Sample> {
        self.sampled = now;
        let mut unknown = HashMap::new();
        for sample in samples {
            if !self.read(sample, now) {
                unknown.insert(sample.id, *sample);
            }
        }
        unknown
    }

    /// How many more live connections the table has room for.
    pub(crate) fn room(&self) -> usize {
        self.connections.left()
    }

    /// So many events are known to be lost, on the whole node.
    pub(crate) fn lost(&mut self, count: u64) {
        self.lost_events += count;
    }

    /// More became known of a workload: the summaries and the connections to come tell it.
    pub(crate) fn renew(&mut self, workload: &Arc<Workload>) {
        if self.figures.renew(workload) {
            self.connections.renew(workload);
        }
        self.listeners.renew(workload);
    }

    /// A workload is no more; its totals are forgotten with it.
    pub(crate) fn forget(&mut self, id: WorkloadId) {
        self.figures.forget(id);
    }

    /// The open window's time has passed: the next call of `advance` ends it.
    pub(crate) fn is_over(&self, now: BootTime) -> bool {
        now.since_ns(self.window_start) >= self.settings.window_ns
    }

    /// The windows that have ended by now, oldest first. An event that happened just before a window's
    /// end and arrives after this call belongs to the next window.
    pub(crate) fn advance(&mut self, now: BootTime) -> Vec<Arc<Window>> {
        let mut finished = Vec::new();
        let length = self.settings.window_ns;
        let mut ended = now.since_ns(self.window_start) / length;
        while ended > 0 {
            let lost = std::mem::take(&mut self.lost_events);
            finished.push(Arc::new(self.figures.finish(self.window_start, length, lost)));
            let passed = if ended > LONGEST_GAP { ended } else { 1 };
            self.window_start.0 += passed * length;
            ended -= passed;
            self.handshakes.expire(now);
        }
        finished
    }

    /// What found no room since the last call. Lost connections are complete in the summaries, which
    /// count them at their end, and lost backends of edges on those of their Services; what the other tables had no room for is missing there.
    pub(crate) fn losses(&mut self, now: BootTime) -> Vec<Loss> {
        let no_room = std::mem::take(&mut self.figures.no_room);
        let since = std::mem::replace(&mut self.losses_since, now);
        let counts = [
            ("connections", std::mem::take(&mut self.no_room_connections)),
            ("workloads", no_room.workloads),
            ("edges", no_room.edges),
            ("backends of edges", no_room.backends),
            ("handshakes", std::mem::take(&mut self.no_room_handshakes)),
            ("listeners", std::mem::take(&mut self.listeners.no_room)),
        ];
        let lost = counts.into_iter().filter(|(_, count)| *count > 0);
        lost.map(|(kind, count)| Loss {
            source: LossSource::Table,
            kind,
            cpu: None,
            count,
            since,
            until: now,
        })
        .collect()
    }

    /// The live connections that `matches` lets pass, in order, `limit` at most, and how many passed in
    /// all.
    pub(crate) fn connections(
        &self,
        matches: impl Fn(&Connection) -> bool,
        order: ConnectionOrder,
        limit: usize,
    ) -> (Vec<Connection>, u64) {
        let (mut listed, total) = self.connections.list(matches, order, limit, self.sampled);
        ends::join(&mut listed, self.connections.all());
        (listed, total)
    }

    /// When the counters of the live connections were last read.
    pub(crate) const fn sampled(&self) -> BootTime {
        self.sampled
    }

    /// What a workload did since the daemon started (or, where the table had to be swept, since then).
    pub(crate) fn totals(&self, id: WorkloadId) -> Totals {
        self.figures.totals(id)
    }

    /// The tables and how full they are.
    pub(crate) fn tables(&self) -> [Table; 5] {
        let [workloads, edges] = self.figures.sizes();
        let connections = (self.connections.len(), self.settings.max_connections);
        let handshakes = (self.handshakes.len(), self.handshakes.capacity());
        let listeners = (self.listeners.len(), self.settings.max_listeners);
        [
            ("connections", connections),
            ("workloads", workloads),
            ("edges", edges),
            ("handshakes", handshakes),
            ("listeners", listeners),
        ]
        .map(|(name, (entries, capacity))| Table {
            name,
            entries: entries as u64,
            capacity: capacity as u64,
        })
    }
}
