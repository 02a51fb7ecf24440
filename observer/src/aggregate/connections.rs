//! The table of live connections.

use std::cmp::Reverse;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::figures::{Place, renew};
use super::tcp::grown;
use crate::event::{
    BootTime, Connection, ConnectionId, ConnectionOrder, Counters, Sample, Stalled, Standstill, Workload,
    waits_for_accept,
};

/// A connection that no reading finds for so long is gone. Longer than its end may wait in the ring.
const GONE_NS: u64 = 30_000_000_000;

/// A live connection and where its figures go.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) connection: Connection,
    pub(super) place: Place,
    /// It was found among the live sockets, and its event may still come.
    pub(super) found: bool,
    /// What of it is counted as standing still.
    pub(super) stalled: Stalled,
    /// When a reading found it last, or when it began.
    seen: BootTime,
}

/// What a reading says beside the counters.
pub(super) struct Read {
    pub(super) place: Place,
    /// The counters of the reading before.
    pub(super) before: Counters,
    /// What stood still before, and does now.
    pub(super) stalled: [Stalled; 2],
    pub(super) standstill: Standstill,
    pub(super) backoff: u32,
}

/// Live connections by their sockets; bounded.
#[derive(Debug)]
pub(super) struct Connections {
    entries: HashMap<ConnectionId, Entry>,
    capacity: usize,
}

impl Connections {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity }
    }

    /// Adds a connection that is not there yet; `false` where there is no room.
    pub(super) fn insert(&mut self, connection: Connection, place: Place, found: bool) -> bool {
        let room = self.entries.len() < self.capacity;
        if room {
            let (stalled, seen) = (Stalled::default(), connection.start);
            self.entries.insert(connection.tcp.id, Entry { connection, place, found, stalled, seen });
        }
        room
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Entry> {
        self.entries.remove(&id)
    }

    pub(super) fn has(&self, id: ConnectionId) -> bool {
        self.entries.contains_key(&id)
    }

    pub(super) fn place(&self, id: ConnectionId) -> Option<Place> {
        self.entries.get(&id).map(|entry| entry.place)
    }

    /// Takes a new reading. Counters never go back, so one that is behind (of segments that were counted
    /// before the socket told them) leaves the one that is ahead.
    pub(super) fn read(
        &mut self,
        Sample { id, state, half_closed, counters, flow }: Sample,
        now: BootTime,
    ) -> Option<Read> {
        let Entry { connection, place, stalled, seen, .. } = self.entries.get_mut(&id)?;
        *seen = now;
        let before = connection.counters;
        let waits = waits_for_accept(connection.tcp.outgoing, state, Some(&flow));
        connection.stalls.read(connection.flow.as_ref(), &flow, waits, now);
        connection.state = state;
        connection.half_closed = half_closed;
        connection.flow = Some(flow);
        let ahead = grown(counters.retransmitted_segments, before.retransmitted_segments) > 0;
        let retransmitted_segments =
            if ahead { before.retransmitted_segments } else { counters.retransmitted_segments };
        connection.counters = Counters { retransmitted_segments, ..counters };
        let standstill = connection.standstill(now);
        let after = connection.stalled(now);
        let stalled = [std::mem::replace(stalled, after), after];
        Some(Read { place: *place, before, stalled, standstill, backoff: flow.backoff })
    }

    /// Takes those out that no reading has found for so long: their ends were lost.
    pub(super) fn sweep(&mut self, now: BootTime) -> Vec<Entry> {
        let gone = |_: &ConnectionId, entry: &mut Entry| now.since_ns(entry.seen) >= GONE_NS;
        self.entries.extract_if(gone).map(|(_, entry)| entry).collect()
    }

    /// Takes a newer description of a workload over, on either side.
    pub(super) fn renew(&mut self, workload: &Arc<Workload>) {
        for Entry { connection, .. } in self.entries.values_mut() {
            if connection.workload.id == workload.id {
                connection.workload = Arc::clone(workload);
            }
            renew(&mut connection.tcp.peer, workload);
        }
    }

    /// Those that match, in order, `limit` at most, and how many match.
    pub(super) fn list(
        &self,
        matches: impl Fn(&Connection) -> bool,
        order: ConnectionOrder,
        limit: usize,
        now: BootTime,
    ) -> (Vec<Connection>, u64) {
        let connections = self.entries.values().map(|entry| &entry.connection);
        let mut found: Vec<_> = connections.filter(|connection| matches(connection)).collect();
        let total = found.len() as u64;
        found.sort_by_cached_key(|connection| (Reverse(weight(connection, order, now)), connection.tcp.id));
        (found.into_iter().take(limit).cloned().collect(), total)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Connection> {
        self.entries.values().map(|entry| &entry.connection)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// What a connection is sorted by, the first figure before the next.
fn weight(connection: &Connection, order: ConnectionOrder, now: BootTime) -> [u64; 3] {
    let Connection { counters, flow, handshake_latency_ns, start, .. } = connection;
    let flow = flow.unwrap_or_default();
    let first = match order {
        ConnectionOrder::Worst => {
            let stands_still = u64::from(!connection.stalled(now).is_none());
            return [stands_still, counters.retransmitted_segments, counters.rtt_ns.unwrap_or(0)];
        }
        ConnectionOrder::Retransmits => counters.retransmitted_segments,
        ConnectionOrder::Rtt => counters.rtt_ns.unwrap_or(0),
        ConnectionOrder::Handshake => handshake_latency_ns.unwrap_or(0),
        ConnectionOrder::Bytes => counters.sent_bytes + counters.received_bytes,
        ConnectionOrder::Unread => flow.unread_bytes,
        ConnectionOrder::Unsent => flow.unsent_bytes + flow.unacknowledged_bytes,
        ConnectionOrder::Age => now.since_ns(*start),
    };
    [first, 0, 0]
}
