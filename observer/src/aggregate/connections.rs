//! The table of live connections.

use std::cmp::Reverse;
use std::sync::Arc;

use super::Aggregator;
use super::figures::{Place, renew, renew_backend};
use super::slots::Slots;
use super::tcp::grown;
use crate::event::{
    Backend, BootTime, Connection, ConnectionId, ConnectionOrder, Counters, Sample, Stalled, Standstill,
    Workload, waits_for_accept,
};
use crate::room::Room;

/// A socket that no pass has shown for so long is gone, and the record of its end was lost. That is longer than any
/// record is on its way; one pass may miss a socket, as the kernel's list changes under it.
const GONE_NS: u64 = 30_000_000_000;
/// A longer time between two passes was sleep, or trouble, and counts as so long.
const LONGEST_PAUSE_NS: u64 = GONE_NS / 3;
/// How often what is gone is looked for.
const SWEEP_NS: u64 = GONE_NS / 3;

/// A live connection and where its figures go.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) connection: Connection,
    pub(super) place: Place,
    /// It was found among the live sockets, and its event may still come.
    pub(super) found: bool,
    /// What of it is counted as standing still.
    pub(super) stalled: Stalled,
    /// The time of the pass that it was there at last, as [`Passes`] has it.
    seen_ns: u64,
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

/// Time as it passes between passes over the live sockets.
#[derive(Clone, Copy, Debug, Default)]
struct Passes {
    /// When the last one began.
    last: Option<BootTime>,
    /// Nanoseconds up to it, long pauses cut.
    time_ns: u64,
    /// As of that time what is gone was looked for last.
    swept_ns: u64,
}

/// Live connections by their sockets; bounded.
#[derive(Debug)]
pub(super) struct Connections {
    /// Not in a hash map: one that grows needs thrice its memory meanwhile.
    entries: Slots<ConnectionId, Entry>,
    passes: Passes,
}

impl Aggregator {
    /// A pass over the live sockets begins; [`Self::sample`] is given its readings.
    pub(crate) fn begin_pass(&mut self, now: BootTime) {
        let passes = &mut self.connections.passes;
        let pause = passes.last.replace(now).map_or(0, |last| now.since_ns(last));
        passes.time_ns += pause.min(LONGEST_PAUSE_NS);
    }

    /// It has shown all that live. What is still in the table long after its end is taken out; its end was
    /// lost.
    pub(crate) fn end_pass(&mut self) {
        for gone in self.connections.take_gone() {
            self.gone += 1;
            self.leave(&gone);
            self.figures.tcp(gone.place, |tcp| tcp.closed += 1);
        }
    }

    /// Where a live connection goes has become known. What was counted of it stays on the edge without that; what it
    /// does from now on is counted on the edge of who answers.
    pub(crate) fn translated(&mut self, id: ConnectionId, backend: &Arc<Backend>) {
        let Some(entry) = self.connections.entries.of_mut(&id) else { return };
        entry.connection.tcp.backend = Some(Arc::clone(backend));
        let place = self.figures.place(&entry.connection.workload, &entry.connection.tcp);
        let before = std::mem::replace(&mut entry.place, place);
        if before != place {
            self.figures.live(before, false);
            self.figures.stalled(before, &entry.stalled, &Stalled::default());
            self.figures.live(place, true);
            self.figures.stalled(place, &Stalled::default(), &entry.stalled);
        }
    }

    /// How many were taken out like that since the last call.
    pub(crate) fn take_gone(&mut self) -> u64 {
        std::mem::take(&mut self.gone)
    }
}

impl Connections {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: Slots::new(capacity), passes: Passes::default() }
    }

    /// Has it grow no further than memory allows.
    pub(super) fn share(&mut self, room: &Room) {
        self.entries.share(room);
    }

    /// Adds a connection that is not there yet; `false` where there is no room.
    pub(super) fn insert(&mut self, connection: Connection, place: Place, found: bool) -> bool {
        let (id, stalled, seen_ns) = (connection.tcp.id, Stalled::default(), self.passes.time_ns);
        self.entries.insert(id, Entry { connection, place, found, stalled, seen_ns }).is_some()
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Entry> {
        self.entries.find(&id).and_then(|at| self.entries.remove(at))
    }

    pub(super) fn has(&self, id: ConnectionId) -> bool {
        self.entries.find(&id).is_some()
    }

    pub(super) fn place(&self, id: ConnectionId) -> Option<Place> {
        self.entries.of(&id).map(|entry| entry.place)
    }

    /// Takes a new reading. Counters never go back, so one that is behind (of segments that were counted
    /// before the socket told them) leaves the one that is ahead.
    pub(super) fn read(
        &mut self,
        Sample { id, state, half_closed, counters, flow }: Sample,
        now: BootTime,
    ) -> Option<Read> {
        let Entry { connection, place, stalled, seen_ns, .. } = self.entries.of_mut(&id)?;
        *seen_ns = self.passes.time_ns;
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
        let after = connection.stalled_of(&standstill);
        let stalled = [std::mem::replace(stalled, after), after];
        Some(Read { place: *place, before, stalled, standstill, backoff: flow.backoff })
    }

    /// Removes what no pass has shown for long.
    fn take_gone(&mut self) -> Vec<Entry> {
        let Passes { time_ns, swept_ns, .. } = &mut self.passes;
        let now_ns = *time_ns;
        if now_ns - *swept_ns < SWEEP_NS {
            return Vec::new();
        }
        *swept_ns = now_ns;
        self.entries.extract(|entry| now_ns - entry.seen_ns >= GONE_NS)
    }

    /// Takes a newer description of a workload over, on either side.
    pub(super) fn renew(&mut self, workload: &Arc<Workload>) {
        for Entry { connection, .. } in self.entries.values_mut() {
            if connection.workload.id == workload.id {
                connection.workload = Arc::clone(workload);
            }
            renew(&mut connection.tcp.peer, workload);
            renew_backend(&mut connection.tcp.backend, workload);
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
        first_of(connections.filter(|connection| matches(connection)), order, limit, now)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Connection> {
        self.entries.values().map(|entry| &entry.connection)
    }

    /// How many more there is room for.
    pub(super) fn left(&self) -> usize {
        self.entries.left()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The first ones in order, `limit` at most, and how many there are.
pub(crate) fn first_of<'a>(
    connections: impl Iterator<Item = &'a Connection>,
    order: ConnectionOrder,
    limit: usize,
    now: BootTime,
) -> (Vec<Connection>, u64) {
    let mut found: Vec<&Connection> = connections.collect();
    let total = found.len() as u64;
    found.sort_by_cached_key(|connection| (Reverse(weight(connection, order, now)), connection.tcp.id));
    (found.into_iter().take(limit).cloned().collect(), total)
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

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::event::examples::{connect, counters, event, pod, tcp};
    use crate::event::{Flow, TcpState};

    const SECOND: u64 = 1_000_000_000;

    /// A pass at that second, which shows the sockets of those ids.
    fn pass(aggregator: &mut Aggregator, second: u64, ids: &[u64]) {
        let now = BootTime(second * SECOND);
        aggregator.begin_pass(now);
        let shown = |id: &u64| Sample {
            id: ConnectionId(*id),
            state: TcpState::ESTABLISHED,
            half_closed: None,
            counters: counters(1, 0),
            flow: Flow::default(),
        };
        aggregator.sample(now, &ids.iter().map(shown).collect::<Vec<_>>());
        aggregator.end_pass();
    }

    #[test]
    fn a_connection_whose_end_was_lost_leaves_the_table() {
        let mut aggregator = Aggregator::new(Settings::default(), BootTime(0));
        let shop = pod(1, "shop", "a");
        for id in [7, 8] {
            aggregator.record(&event(&shop, 1, connect(&tcp(id, true, "10.0.0.2:80", None))));
        }
        pass(&mut aggregator, 1, &[7, 8]);
        // The machine slept: that no pass was made tells nothing.
        pass(&mut aggregator, 10_000, &[8]);
        for second in 1..=15 {
            pass(&mut aggregator, 10_000 + second, &[8]);
        }
        assert_eq!((aggregator.connections.len(), aggregator.totals(shop.id).live), (2, 2));
        for second in 16..=30 {
            pass(&mut aggregator, 10_000 + second, &[8]);
        }
        assert_eq!((aggregator.connections.len(), aggregator.totals(shop.id).live), (1, 1));
        assert!(aggregator.connections.has(ConnectionId(8)));
        let windows = aggregator.advance(BootTime(20_000 * SECOND));
        assert_eq!(
            (windows[0].workloads[&shop.id].tcp.opened, windows[0].workloads[&shop.id].tcp.closed),
            (2, 1)
        );
    }
}
