//! Summaries: one window's figures of each workload and each edge.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashMap;

use super::{
    Backend, BootTime, Ending, Peer, PeerKind, RetransmitCause, RetransmitPhase, Stalled, Standstill,
    Workload, WorkloadId,
};
use crate::aggregate::Histogram;

/// The other side of a workload's connections, as far as they are told together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Edge {
    /// Whose edge it is.
    pub(crate) workload: WorkloadId,
    /// What the peer is.
    pub(crate) kind: PeerKind,
    /// The peer, where it is a workload, a service or a node that is known.
    pub(crate) peer: Option<WorkloadId>,
    /// The peer's address, where it is no workload.
    pub(crate) address: Option<IpAddr>,
    /// The index of the interface where that address is valid; 0 for everywhere.
    pub(crate) interface: u32,
    /// The listening side's port.
    pub(crate) port: u16,
    /// The workload asks (true) or is asked (false).
    pub(crate) outgoing: bool,
    /// Who answers for the peer, whose address is translated; `None` where it is not, or that is not known.
    pub(crate) backend: Option<EdgeBackend>,
}

/// Who answers on an edge in the peer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EdgeBackend {
    /// What it is.
    pub(crate) kind: PeerKind,
    /// Who it is, where that is known.
    pub(crate) peer: Option<WorkloadId>,
    /// Its address, where it is no workload.
    pub(crate) address: Option<IpAddr>,
    /// The port that it is asked on.
    pub(crate) port: u16,
}

/// The connections of one window.
#[derive(Clone, Debug, Default)]
pub(crate) struct TcpSummary {
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    pub(crate) closed: u64,
    /// Alive at the window's end: not a sum, the last figure counts when windows are merged.
    pub(crate) live: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_segments: u64,
    pub(crate) received_segments: u64,
    pub(crate) retransmitted_segments: u64,
    pub(crate) resets_sent: u64,
    pub(crate) resets_received: u64,
    /// What the workload's listeners dropped; of an edge nobody can tell.
    pub(crate) listen_drops: u64,
    /// Of that, what found the queue full, as far as it is known.
    pub(crate) listen_overflows: u64,
    /// Failed attempts by what the error is called.
    pub(crate) failures: BTreeMap<&'static str, u64>,
    /// Segments sent again as events told them, by what and why. The counter above is read from the
    /// sockets, so the two agree once all that was open is closed.
    pub(crate) retransmits: BTreeMap<(RetransmitPhase, RetransmitCause), u64>,
    /// Segments that the other side had already when they came again.
    pub(crate) spurious_retransmits: u64,
    /// How often segments overtook each other on their way to the other side.
    pub(crate) reorderings: u64,
    /// Nanoseconds.
    pub(crate) handshake_latency: Histogram,
    /// Nanoseconds.
    pub(crate) rtt: Histogram,
    /// How long the connections lived that ended, in nanoseconds.
    pub(crate) duration: Histogram,
    /// The shortest round-trip time that any of the connections had of late, in nanoseconds.
    pub(crate) min_rtt_ns: Option<u64>,
    /// Attempts of which it was told in the window that nobody has answered yet.
    pub(crate) pending: u64,
    /// The most often that a timeout was doubled.
    pub(crate) deepest_backoff: u32,
    /// How long there was something to send or unacknowledged, summed over connections.
    pub(crate) busy_ns: u64,
    /// Of that, how long the other side's window was the limit.
    pub(crate) peer_window_limited_ns: u64,
    /// Of that, how long our send buffer was the limit.
    pub(crate) send_buffer_limited_ns: u64,
    /// The longest of each in the window.
    pub(crate) longest: Standstill,
    /// What stands still at the window's end: not a sum, as `live`.
    pub(crate) stalled: Stalled,
    /// Events of these figures that were only counted: beyond the workload's budget.
    pub(crate) folded: u64,
}

/// The processes of one window.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessSummary {
    pub(crate) execs: u64,
    pub(crate) exits: BTreeMap<Ending, u64>,
    /// Exits of which it is not known how.
    pub(crate) other_exits: u64,
    pub(crate) oom_kills: u64,
    pub(crate) container_starts: u64,
    pub(crate) container_stops: u64,
    /// Events of these figures that were only counted: beyond the workload's budget.
    pub(crate) folded: u64,
}

/// One workload in one window.
#[derive(Clone, Debug)]
pub(crate) struct WorkloadSummary {
    pub(crate) workload: Arc<Workload>,
    pub(crate) tcp: TcpSummary,
    pub(crate) processes: ProcessSummary,
}

/// One edge in one window.
#[derive(Clone, Debug)]
pub(crate) struct EdgeSummary {
    pub(crate) workload: Arc<Workload>,
    pub(crate) peer: Peer,
    /// One of the addresses of who answers for the peer, and whose it is.
    pub(crate) backend: Option<Arc<Backend>>,
    pub(crate) tcp: TcpSummary,
}

impl EdgeSummary {
    /// Who really answers.
    pub(crate) fn answerer(&self) -> &Peer {
        self.backend.as_ref().map_or(&self.peer, |backend| &backend.peer)
    }
}

/// One window of the whole node. Windows that follow one another can be merged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    pub(crate) start: BootTime,
    pub(crate) length_ns: u64,
    /// Events known to be lost in it, on the whole node.
    pub(crate) lost_events: u64,
    pub(crate) workloads: HashMap<WorkloadId, WorkloadSummary>,
    pub(crate) edges: HashMap<Edge, EdgeSummary>,
    /// Listeners with a queue, or that dropped something, by owner and port.
    pub(crate) listeners: HashMap<(WorkloadId, u16), ListenerSummary>,
    /// What is connected at its end, whether or not anything happened to it in the window.
    pub(crate) live: Arc<Live>,
}

/// The queue of a listener in one window.
#[derive(Clone, Debug)]
pub(crate) struct ListenerSummary {
    pub(crate) workload: Arc<Workload>,
    /// The longest queue that was read.
    pub(crate) most_waiting: u32,
    pub(crate) limit: u32,
    /// What was dropped.
    pub(crate) dropped: u64,
    /// Of that, what found the queue full, as far as it is known.
    pub(crate) overflowed: u64,
}

/// The workloads and edges that have live connections. Windows share one as long as it does not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    pub(crate) workloads: Vec<LiveWorkload>,
    pub(crate) edges: Vec<LiveEdge>,
}

/// A workload with live connections.
#[derive(Clone, Debug)]
pub(crate) struct LiveWorkload {
    pub(crate) workload: Arc<Workload>,
    pub(crate) live: u64,
    pub(crate) stalled: Stalled,
}

/// An edge with live connections.
#[derive(Clone, Debug)]
pub(crate) struct LiveEdge {
    pub(crate) edge: Edge,
    pub(crate) workload: Arc<Workload>,
    pub(crate) peer: Peer,
    pub(crate) backend: Option<Arc<Backend>>,
    pub(crate) live: u64,
    pub(crate) stalled: Stalled,
}
