//! What happens to a connection, counted for its workload and edge.

use std::sync::Arc;

use super::Aggregator;
use super::connections::{Entry, Read};
use super::figures::Place;
use crate::event::{
    BootTime, Busy, Connection, Counters, Event, RetransmitPhase, Sample, Stalled, Stalls, Standstill, Tcp,
    TcpClose, TcpConnectFailure, TcpRetransmit, TcpState, TcpSummary, Workload,
};

impl Aggregator {
    pub(super) fn open(
        &mut self,
        event: &Event,
        workload: &Arc<Workload>,
        tcp: &Tcp,
        latency_ns: Option<u64>,
    ) {
        let place = self.figures.place(workload, tcp);
        self.figures.opened(place);
        self.figures.named(place, tcp);
        if let Some(latency) = latency_ns {
            self.figures.tcp(place, |tcp| tcp.handshake_latency.record(latency));
        }
        let before_ns = if tcp.outgoing { latency_ns.unwrap_or(0) } else { 0 };
        let connection = Connection {
            tcp: tcp.clone(),
            workload: Arc::clone(workload),
            process: event.process.clone(),
            start: BootTime(event.boot_time.0.saturating_sub(before_ns)),
            adopted: false,
            handshake_latency_ns: latency_ns,
            state: TcpState::ESTABLISHED,
            counters: Counters { retransmitted_segments: self.handshakes.take(tcp), ..Counters::default() },
            flow: None,
            half_closed: None,
            stalls: Stalls::default(),
            peer_end: None,
        };
        self.insert(connection, place, false);
    }

    /// A live connection that no event told of, as it is now. What it did before the daemon was there
    /// belongs to no window; one whose event was lost is counted from its beginning.
    pub(crate) fn know(&mut self, connection: Connection, sample: &Sample, now: BootTime) {
        if self.connections.has(connection.tcp.id) {
            return;
        }
        let place = self.figures.place(&connection.workload, &connection.tcp);
        let counters = if connection.adopted { sample.counters } else { Counters::default() };
        self.insert(Connection { counters, ..connection }, place, true);
        self.read(sample, now);
    }

    /// Takes a reading of a connection; `false` where it is not in the table.
    pub(super) fn read(&mut self, sample: &Sample, now: BootTime) -> bool {
        let Some(read) = self.connections.read(*sample, now) else { return false };
        let Read { place, before, stalled: [stalled, stalls], standstill, backoff } = read;
        self.count(place, &before, &sample.counters);
        if stalled != stalls {
            self.figures.stalled(place, &stalled, &stalls);
        }
        if standstill != Standstill::default() || backoff > 0 {
            self.figures.tcp(place, |tcp| {
                tcp.longest.merge(&standstill);
                tcp.deepest_backoff = tcp.deepest_backoff.max(backoff);
            });
        }
        true
    }

    /// A connection has left the table.
    pub(super) fn leave(&mut self, entry: &Entry) {
        self.figures.live(entry.place, false);
        if !entry.stalled.is_none() {
            self.figures.stalled(entry.place, &entry.stalled, &Stalled::default());
        }
    }

    fn insert(&mut self, mut connection: Connection, place: Place, found: bool) {
        let (id, start) = (connection.tcp.id, connection.start);
        let counted = connection.counters.retransmitted_segments;
        if let Some(replaced) = self.connections.remove(id) {
            self.leave(&replaced);
            if replaced.found {
                // Its event comes after it was found: what is counted is counted.
                connection.counters = replaced.connection.counters;
            }
        }
        if self.connections.insert(connection, place, found) {
            self.figures.live(place, true);
        } else {
            self.no_room_connections += 1;
            if counted > 0 && !self.handshakes.note_owed(id, counted, start) {
                self.no_room_handshakes += 1;
            }
        }
    }

    pub(super) fn fail(&mut self, workload: &Arc<Workload>, failure: &TcpConnectFailure) {
        let TcpConnectFailure { tcp, errno: _, sent: _, duration_ns: _, syn_retransmits } = failure;
        let left = u64::from(*syn_retransmits).saturating_sub(self.handshakes.take(tcp));
        let place = self.figures.place(workload, tcp);
        self.figures.named(place, tcp);
        self.figures.tcp(place, |tcp| {
            tcp.failed += 1;
            *tcp.failures.entry(failure.error()).or_default() += 1;
            tcp.retransmitted_segments += left;
        });
    }

    pub(super) fn retransmit(&mut self, now: BootTime, workload: &Arc<Workload>, retransmit: &TcpRetransmit) {
        let TcpRetransmit { tcp, phase, cause, timeouts: _, backoff, segments, state: _ } = retransmit;
        let segments = u64::from(*segments);
        let place = self.place(workload, tcp);
        self.figures.tcp(place, |tcp| {
            *tcp.retransmits.entry((*phase, *cause)).or_default() += segments;
            tcp.deepest_backoff = tcp.deepest_backoff.max(*backoff);
        });
        match phase {
            RetransmitPhase::Data | RetransmitPhase::Fin => return,
            // With TCP Fast Open the socket is there before the handshake's end and counts by itself.
            RetransmitPhase::SynAck if self.connections.has(tcp.id) => return,
            RetransmitPhase::Syn | RetransmitPhase::SynAck => {}
        }
        if self.handshakes.note(tcp, segments, now) {
            self.figures.tcp(place, |tcp| tcp.retransmitted_segments += segments);
        } else {
            self.no_room_handshakes += segments;
            self.lost_events += segments;
        }
    }

    pub(super) fn close(&mut self, workload: &Arc<Workload>, close: &TcpClose) {
        let TcpClose { tcp, duration_ns, counters, errno: _ } = close;
        let (place, before) = if let Some(entry) = self.connections.remove(tcp.id) {
            self.leave(&entry);
            (entry.place, entry.connection.counters)
        } else {
            let counted = self.handshakes.take_owed(tcp.id);
            // Nobody knows how much of an older connection's life was before the daemon.
            let before = if duration_ns.is_none() { *counters } else { Counters::default() };
            let before =
                Counters { retransmitted_segments: before.retransmitted_segments.max(counted), ..before };
            (self.figures.place(workload, tcp), before)
        };
        self.figures.tcp(place, |tcp| {
            tcp.closed += 1;
            if let Some(duration_ns) = duration_ns {
                tcp.duration.record(*duration_ns);
            }
        });
        self.count(place, &before, counters);
    }

    /// The place of a connection: its own while it lives, else by its ends.
    pub(super) fn place(&mut self, workload: &Arc<Workload>, tcp: &Tcp) -> Place {
        self.connections.place(tcp.id).unwrap_or_else(|| self.figures.place(workload, tcp))
    }

    /// Counts what happened to a connection between two readings.
    pub(super) fn count(&mut self, place: Place, before: &Counters, after: &Counters) {
        let since = |select: fn(&Counters) -> u64| select(after).saturating_sub(select(before));
        let events = |select: fn(&Counters) -> u64| grown(select(before), select(after));
        let sent_bytes = since(|counters| counters.sent_bytes);
        let received_bytes = since(|counters| counters.received_bytes);
        let sent_segments = events(|counters| counters.sent_segments);
        let received_segments = events(|counters| counters.received_segments);
        let retransmitted_segments = events(|counters| counters.retransmitted_segments);
        let spurious_retransmits = events(|counters| counters.spurious_retransmits);
        let reorderings = events(|counters| counters.reorderings);
        let busy_since = |select: fn(&Busy) -> u64| {
            let of = |counters: &Counters| counters.busy.as_ref().map_or(0, select);
            of(after).saturating_sub(of(before))
        };
        let busy_ns = busy_since(|busy| busy.total_ns);
        let peer_window_limited_ns = busy_since(|busy| busy.peer_window_limited_ns);
        let send_buffer_limited_ns = busy_since(|busy| busy.send_buffer_limited_ns);
        self.figures.tcp(place, |tcp: &mut TcpSummary| {
            tcp.sent_bytes += sent_bytes;
            tcp.received_bytes += received_bytes;
            tcp.sent_segments += sent_segments;
            tcp.received_segments += received_segments;
            tcp.retransmitted_segments += retransmitted_segments;
            tcp.spurious_retransmits += spurious_retransmits;
            tcp.reorderings += reorderings;
            tcp.busy_ns += busy_ns;
            tcp.peer_window_limited_ns += peer_window_limited_ns;
            tcp.send_buffer_limited_ns += send_buffer_limited_ns;
            tcp.min_rtt_ns = [tcp.min_rtt_ns, after.min_rtt_ns].into_iter().flatten().min();
            // Of a connection at rest the kernel still has what it measured last, maybe long ago.
            if let Some(rtt) = after.rtt_ns.filter(|_| received_segments > 0) {
                tcp.rtt.record(rtt);
            }
        });
    }
}

/// How much a counter has grown that has 32 bits in the kernel and wraps: segments. 0 where it is behind what was
/// counted before, as a handshake's retransmits are that events told first.
pub(super) const fn grown(before: u64, after: u64) -> u64 {
    let grown = (after as u32).wrapping_sub(before as u32);
    // Between two readings no counter goes half its way round; in a life that nobody read it may.
    if before == 0 || grown <= i32::MAX as u32 { grown as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Settings;
    use crate::event::examples::{close, connect, event, pod, tcp};
    use crate::event::{ConnectionId, Flow};

    #[test]
    fn counters_of_32_bits_wrap() {
        let last = u64::from(u32::MAX);
        assert_eq!(grown(last - 1, 3), 5);
        assert_eq!(grown(last, last), 0);
        assert_eq!(grown(7, 5), 0, "behind is not nearly once round");
        assert_eq!(grown(0, last), last);
        assert_eq!(grown(2, last), 0, "behind across the wrap");
    }
    #[test]
    fn what_happens_around_a_wrap_is_counted_once() {
        let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
        let tcp = tcp(7, true, "10.0.0.2:80", Some(&b));
        let counters = |segments: u32| Counters {
            sent_segments: u64::from(segments),
            received_segments: u64::from(segments),
            retransmitted_segments: u64::from(segments),
            ..Counters::default()
        };
        let mut aggregator = Aggregator::new(Settings::default(), BootTime(0));
        aggregator.record(&event(&a, 1, connect(&tcp)));
        for (time, segments) in [(1, 1 << 31), (2, 3 << 30), (3, u32::MAX - 1), (4, 3), (5, 3)] {
            let counters = counters(segments);
            let (state, flow) = (TcpState::ESTABLISHED, Flow::default());
            let sample = Sample { id: ConnectionId(7), state, half_closed: None, counters, flow };
            aggregator.sample(BootTime(time), &[sample]);
        }
        aggregator.record(&event(&a, 6, close(&tcp, counters(10))));
        let windows = aggregator.advance(BootTime(1_000_000_000));
        let told = &windows[0].workloads[&a.id].tcp;
        let once_round_and_10 = (1 << 32) + 10;
        assert_eq!(
            [told.sent_segments, told.received_segments, told.retransmitted_segments],
            [once_round_and_10, once_round_and_10, once_round_and_10]
        );
    }
}
