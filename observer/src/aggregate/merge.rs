//! Windows that follow one another become one longer window.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::event::{
    BootTime, Edge, EdgeSummary, ListenerSummary, LiveEdge, LiveWorkload, ProcessSummary, TcpSummary, Window,
    WorkloadSummary,
};

impl Window {
    /// When it ended.
    pub(crate) const fn end(&self) -> BootTime {
        BootTime(self.start.0.saturating_add(self.length_ns))
    }

    /// Adds a later window. Time between the two, if any, belongs to the result.
    pub(crate) fn merge(&mut self, later: &Self) {
        let Self { start: _, length_ns: _, lost_events, workloads, edges, listeners, live } = later;
        self.length_ns = later.end().since_ns(self.start);
        self.lost_events += lost_events;
        for (id, summary) in workloads {
            match self.workloads.entry(*id) {
                Entry::Occupied(mut known) => known.get_mut().merge(summary),
                Entry::Vacant(room) => drop(room.insert(summary.clone())),
            }
        }
        for (edge, summary) in edges {
            match self.edges.entry(edge.clone()) {
                Entry::Occupied(mut known) => known.get_mut().merge(summary),
                Entry::Vacant(room) => drop(room.insert(summary.clone())),
            }
        }
        for (at, summary) in listeners {
            match self.listeners.entry(*at) {
                Entry::Occupied(mut known) => known.get_mut().merge(summary),
                Entry::Vacant(room) => drop(room.insert(summary.clone())),
            }
        }
        self.live = Arc::clone(live);
    }

    /// Adds what has live connections and nothing else to tell, so that idle connections are seen.
    pub(crate) fn show_idle(&mut self) {
        let alive = |live, stalled| TcpSummary { live, stalled, ..TcpSummary::default() };
        for LiveWorkload { workload, live, stalled } in &self.live.workloads {
            self.workloads.entry(workload.id).or_insert_with(|| WorkloadSummary {
                workload: Arc::clone(workload),
                tcp: alive(*live, *stalled),
                processes: ProcessSummary::default(),
            });
        }
        for LiveEdge { edge, workload, peer, backend, live, stalled } in &self.live.edges {
            self.edges.entry(Edge::clone(edge)).or_insert_with(|| EdgeSummary {
                workload: Arc::clone(workload),
                peer: peer.clone(),
                backend: backend.clone(),
                tcp: alive(*live, *stalled),
            });
        }
    }
}

impl WorkloadSummary {
    fn merge(&mut self, later: &Self) {
        let Self { workload, tcp, processes } = later;
        self.workload = Arc::clone(workload);
        self.tcp.merge(tcp);
        self.processes.merge(processes);
    }
}

impl ListenerSummary {
    /// Adds a later window's figures.
    pub(super) fn merge(&mut self, later: &Self) {
        let Self { workload, most_waiting, limit, dropped, overflowed } = later;
        self.workload = Arc::clone(workload);
        self.most_waiting = self.most_waiting.max(*most_waiting);
        self.limit = *limit;
        self.dropped += dropped;
        self.overflowed += overflowed;
    }
}

impl EdgeSummary {
    fn merge(&mut self, later: &Self) {
        let Self { workload, peer, backend, tcp } = later;
        self.workload = Arc::clone(workload);
        self.peer = peer.clone();
        self.backend.clone_from(backend);
        self.tcp.merge(tcp);
    }
}

impl TcpSummary {
    /// Adds a later window's figures, or what was only counted in the same one.
    pub(crate) fn merge(&mut self, later: &Self) {
        let Self {
            opened,
            failed,
            closed,
            live,
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
            stalled,
            folded,
        } = later;
        self.opened += opened;
        self.failed += failed;
        self.closed += closed;
        self.live = *live;
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
        self.handshake_latency.merge(handshake_latency);
        self.rtt.merge(rtt);
        self.duration.merge(duration);
        self.min_rtt_ns = [self.min_rtt_ns, *min_rtt_ns].into_iter().flatten().min();
        self.pending += pending;
        self.deepest_backoff = self.deepest_backoff.max(*deepest_backoff);
        self.busy_ns += busy_ns;
        self.peer_window_limited_ns += peer_window_limited_ns;
        self.send_buffer_limited_ns += send_buffer_limited_ns;
        self.longest.merge(longest);
        self.stalled = *stalled;
        self.folded += folded;
    }
}

impl ProcessSummary {
    /// The same of processes.
    pub(super) fn merge(&mut self, later: &Self) {
        let Self { execs, exits, other_exits, oom_kills, container_starts, container_stops, folded } = later;
        self.execs += execs;
        self.other_exits += other_exits;
        self.folded += folded;
        for (ending, count) in exits {
            *self.exits.entry(*ending).or_default() += count;
        }
        self.oom_kills += oom_kills;
        self.container_starts += container_starts;
        self.container_stops += container_stops;
    }
}
