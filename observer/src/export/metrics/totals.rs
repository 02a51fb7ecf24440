//! What was told of one set of labels so far: the figures of all windows, added up.

mod newest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub(crate) use self::newest::{Generation, Newest};
use super::distribution::Distribution;
use crate::event::{
    BootTime, Ending, ListenerSummary, ProcessSummary, RetransmitCause, RetransmitPhase, Stalled, Standstill,
    TcpSummary, WallTime,
};

/// Connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct TcpTotals {
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    pub(crate) closed: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_segments: u64,
    pub(crate) received_segments: u64,
    pub(crate) retransmitted_segments: u64,
    pub(crate) resets_sent: u64,
    pub(crate) resets_received: u64,
    pub(crate) listen_drops: u64,
    pub(crate) listen_overflows: u64,
    pub(crate) failures: BTreeMap<&'static str, u64>,
    pub(crate) retransmits: BTreeMap<(RetransmitPhase, RetransmitCause), u64>,
    pub(crate) spurious_retransmits: u64,
    pub(crate) reorderings: u64,
    pub(crate) handshake: Distribution,
    pub(crate) rtt: Distribution,
    pub(crate) duration: Distribution,
    pub(crate) pending: u64,
    pub(crate) busy_ns: u64,
    pub(crate) peer_window_limited_ns: u64,
    pub(crate) send_buffer_limited_ns: u64,
    pub(crate) folded: u64,
    /// Of the newest window alone.
    pub(crate) newest: Newest<NewestTcp>,
    /// As the newest window ended.
    pub(crate) live: Newest<LiveTcp>,
    /// What ever stood still, and what ever lasted, in the order of `stalls` and `lengths`: the rest has no series.
    pub(crate) ever: ([bool; 6], [bool; 5]),
}

/// What a window tells that is no sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewestTcp {
    pub(crate) min_rtt_ns: Option<u64>,
    pub(crate) deepest_backoff: u32,
    pub(crate) longest: Standstill,
}

/// What is connected, and what of that stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LiveTcp {
    pub(crate) connections: u64,
    pub(crate) stalled: Stalled,
}

/// Processes and containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessTotals {
    pub(crate) execs: u64,
    pub(crate) exits: BTreeMap<Ending, u64>,
    pub(crate) other_exits: u64,
    pub(crate) oom_kills: u64,
    pub(crate) container_starts: u64,
    pub(crate) container_stops: u64,
    pub(crate) folded: u64,
}

/// A listener's queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListenerTotals {
    pub(crate) dropped: u64,
    pub(crate) overflowed: u64,
    pub(crate) limit: u64,
    /// When its series began.
    pub(crate) start: WallTime,
    /// When it was last told of.
    pub(crate) seen: BootTime,
    /// The longest queue of the newest window; 0 where it tells of none.
    pub(crate) waiting: Newest<u64>,
}

/// What the list of workloads says of containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) restarts: u64,
    pub(crate) crash_loops: u64,
}

impl TcpTotals {
    /// The same without the buckets of its distributions.
    pub(crate) fn outline(&self) -> Self {
        let Self { failures, retransmits, handshake, rtt, duration, .. } = self;
        let [handshake, rtt, duration] = [handshake, rtt, duration].map(Distribution::without_buckets);
        let (failures, retransmits) = (failures.clone(), retransmits.clone());
        Self { failures, retransmits, handshake, rtt, duration, ..*self }
    }

    /// Adds a window's figures, or what another workload with the same labels did in it.
    pub(crate) fn add(&mut self, window: &TcpSummary, generation: Generation) {
        let TcpSummary {
            opened,
            failed,
            closed,
            // These two are told of all that is connected, not only where something happened.
            live: _,
            stalled: _,
            sent_bytes,
            received_bytes,
            sent_segments,
            received_segments,
            retransmitted_segments,
            resets_sent,
            resets_received,
            listen_drops,
            listen_overflows,
            failures,
            retransmits,
            spurious_retransmits,
            reorderings,
            handshake_latency,
            rtt,
            duration,
            min_rtt_ns,
            pending,
            deepest_backoff,
            busy_ns,
            peer_window_limited_ns,
            send_buffer_limited_ns,
            longest,
            folded,
        } = window;
        self.opened += opened;
        self.failed += failed;
        self.closed += closed;
        self.sent_bytes += sent_bytes;
        self.received_bytes += received_bytes;
        self.sent_segments += sent_segments;
        self.received_segments += received_segments;
        self.retransmitted_segments += retransmitted_segments;
        self.resets_sent += resets_sent;
        self.resets_received += resets_received;
        self.listen_drops += listen_drops;
        self.listen_overflows += listen_overflows;
        for (error, count) in failures {
            *self.failures.entry(error).or_default() += count;
        }
        for (kind, count) in retransmits {
            *self.retransmits.entry(*kind).or_default() += count;
        }
        self.spurious_retransmits += spurious_retransmits;
        self.reorderings += reorderings;
        self.handshake.add(handshake_latency);
        self.rtt.add(rtt);
        self.duration.add(duration);
        self.pending += pending;
        self.busy_ns += busy_ns;
        self.peer_window_limited_ns += peer_window_limited_ns;
        self.send_buffer_limited_ns += send_buffer_limited_ns;
        self.folded += folded;
        let newest = self.newest.of(generation);
        newest.min_rtt_ns = [newest.min_rtt_ns, *min_rtt_ns].into_iter().flatten().min();
        newest.deepest_backoff = newest.deepest_backoff.max(*deepest_backoff);
        newest.longest.merge(longest);
        for (ever, (_, length_ns)) in self.ever.1.iter_mut().zip(lengths(longest)) {
            *ever |= length_ns > 0;
        }
    }

    /// So many are connected, beside those of other workloads with the same labels.
    pub(crate) fn add_live(&mut self, connections: u64, stalled: &Stalled, generation: Generation) {
        let live = self.live.of(generation);
        live.connections += connections;
        live.stalled.change(&Stalled::default(), stalled);
        for (ever, (_, count)) in self.ever.0.iter_mut().zip(stalls(stalled)) {
            *ever |= count > 0;
        }
    }
}

/// Nothing happened to connections.
pub(crate) fn is_empty(tcp: &TcpSummary) -> bool {
    let counts = [
        tcp.opened,
        tcp.failed,
        tcp.closed,
        tcp.sent_bytes,
        tcp.received_bytes,
        tcp.sent_segments,
        tcp.received_segments,
        tcp.retransmitted_segments,
        tcp.resets_sent,
        tcp.resets_received,
        tcp.listen_drops,
        tcp.spurious_retransmits,
        tcp.reorderings,
        tcp.pending,
        tcp.busy_ns,
        tcp.folded,
        tcp.handshake_latency.count(),
        tcp.rtt.count(),
        tcp.duration.count(),
    ];
    counts == [0; 19]
        && tcp.retransmits.is_empty()
        && tcp.deepest_backoff == 0
        && tcp.longest == Standstill::default()
}

/// Nothing happened to processes.
pub(crate) fn is_idle(of: &ProcessSummary) -> bool {
    let counts = [of.execs, of.other_exits, of.oom_kills, of.container_starts, of.container_stops, of.folded];
    counts == [0; 6] && of.exits.is_empty()
}

/// How many connections stand still, by how.
pub(crate) const fn stalls(stalled: &Stalled) -> [(&'static str, u32); 6] {
    let Stalled { unread, unaccepted, own_window_closed, peer_window_closed, half_closed, unanswered } =
        *stalled;
    [
        ("unread", unread),
        ("unaccepted", unaccepted),
        ("own_window_closed", own_window_closed),
        ("peer_window_closed", peer_window_closed),
        ("half_closed", half_closed),
        ("unanswered", unanswered),
    ]
}

/// For how many nanoseconds something stood still, by how.
pub(crate) const fn lengths(standstill: &Standstill) -> [(&'static str, u64); 5] {
    let Standstill { unread_ns, unaccepted_ns, own_window_closed_ns, peer_window_closed_ns, half_closed_ns } =
        *standstill;
    [
        ("unread", unread_ns),
        ("unaccepted", unaccepted_ns),
        ("own_window_closed", own_window_closed_ns),
        ("peer_window_closed", peer_window_closed_ns),
        ("half_closed", half_closed_ns),
    ]
}

impl ProcessTotals {
    /// Adds a window's figures.
    pub(crate) fn add(&mut self, window: &ProcessSummary) {
        let ProcessSummary {
            execs,
            exits,
            other_exits,
            oom_kills,
            container_starts,
            container_stops,
            folded,
        } = window;
        self.execs += execs;
        for (ending, count) in exits {
            // As the API tells them: with and without a core dump are one.
            let ending = match *ending {
                Ending::Signal { signal, .. } => Ending::Signal { signal, core_dumped: false },
                code @ Ending::Code(_) => code,
            };
            *self.exits.entry(ending).or_default() += count;
        }
        self.other_exits += other_exits;
        self.oom_kills += oom_kills;
        self.container_starts += container_starts;
        self.container_stops += container_stops;
        self.folded += folded;
    }
}

impl ListenerTotals {
    /// Adds a window's figures.
    pub(crate) fn add(&mut self, window: &ListenerSummary, generation: Generation) {
        let ListenerSummary { workload: _, most_waiting, limit, dropped, overflowed } = window;
        self.dropped += dropped;
        self.overflowed += overflowed;
        self.limit = u64::from(*limit);
        let waiting = self.waiting.of(generation);
        *waiting = u64::from(*most_waiting).max(*waiting);
    }
}
