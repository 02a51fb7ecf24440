//! Live sockets: connections as they stand, and listeners.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{BootTime, ConnectionId, Counters, Process, Stalls, Tcp, TcpState, Workload};

/// How a live connection stands at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Received and not read by the process, in bytes.
    pub(crate) unread_bytes: u64,
    /// Up to where the process has read, in sequence numbers.
    pub(crate) read_sequence: u32,
    /// Sent and not acknowledged, in bytes.
    pub(crate) unacknowledged_bytes: u64,
    /// Written by the process and not sent, in bytes.
    pub(crate) unsent_bytes: u64,
    /// The window that the other side offers, in bytes.
    pub(crate) peer_window_bytes: u64,
    /// The window that we offer, in bytes.
    pub(crate) own_window_bytes: u64,
    /// In segments.
    pub(crate) congestion_window: u32,
    /// The largest payload of a segment, in bytes.
    pub(crate) mss: u32,
    /// In bytes a second.
    pub(crate) pacing_rate: u64,
    /// The latest measurement of delivery, in bytes a second.
    pub(crate) delivery_rate: Option<u64>,
    /// Since when the other side's closed window is asked for, in nanoseconds.
    pub(crate) window_closed_ns: Option<u64>,
    /// Timeouts in a row.
    pub(crate) timeouts: u32,
    /// How often the timeout was doubled.
    pub(crate) backoff: u32,
    /// The process has got the connection from connect() or accept().
    pub(crate) accepted: bool,
}

/// One reading of a live socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) id: ConnectionId,
    pub(crate) state: TcpState,
    /// When the other side closed its half while ours stayed open.
    pub(crate) half_closed: Option<BootTime>,
    pub(crate) counters: Counters,
    pub(crate) flow: Flow,
}

/// A live connection, as the daemon's table holds it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) tcp: Tcp,
    pub(crate) workload: Arc<Workload>,
    pub(crate) process: Option<Arc<Process>>,
    /// When it was asked for, or (listening side) established; when it was found, if it is older than
    /// the daemon.
    pub(crate) start: BootTime,
    /// It is older than the daemon, and its start was not seen.
    pub(crate) adopted: bool,
    pub(crate) handshake_latency_ns: Option<u64>,
    /// As of the last sample.
    pub(crate) state: TcpState,
    /// As of the last sample.
    pub(crate) counters: Counters,
    /// As of the last sample; `None` before the first.
    pub(crate) flow: Option<Flow>,
    /// When the other side closed its half while ours stayed open.
    pub(crate) half_closed: Option<BootTime>,
    /// What stands still.
    pub(crate) stalls: Stalls,
    /// What is known of the other end, where that is on this node as well; only in lists.
    pub(crate) peer_end: Option<Box<PeerEnd>>,
}

/// The order of a list of connections, from large to small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ConnectionOrder {
    /// What stands still, then segments sent again, then the round-trip time.
    #[default]
    Worst,
    Retransmits,
    Rtt,
    Handshake,
    Bytes,
    Unread,
    Unsent,
    Age,
}

/// The other end of a connection, as far as it tells whose fault something is.
#[derive(Clone, Debug)]
pub(crate) struct PeerEnd {
    pub(crate) id: ConnectionId,
    /// Whose it is.
    pub(crate) workload: Arc<Workload>,
    pub(crate) process: Option<Arc<Process>>,
    pub(crate) state: TcpState,
    pub(crate) start: BootTime,
    pub(crate) handshake_latency_ns: Option<u64>,
    /// As of the last sample; `None` before the first.
    pub(crate) flow: Option<Flow>,
    pub(crate) stalls: Stalls,
}

/// How long the queue of a listener is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Connections that wait for accept().
    pub(crate) waiting: u32,
    /// The listener's limit (`listen`'s backlog, as far as the system allows): one more may wait.
    pub(crate) limit: u32,
    /// Segments of handshakes that were dropped, most often for a full queue. Wraps.
    pub(crate) dropped: u32,
}

/// One reading of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueSample {
    pub(crate) id: ConnectionId,
    pub(crate) queue: Queue,
}

/// A listening socket.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) id: ConnectionId,
    pub(crate) workload: Arc<Workload>,
    /// The process that called listen(), or holds it.
    pub(crate) process: Option<Arc<Process>>,
    pub(crate) local: SocketAddr,
    /// The inode of its network namespace.
    pub(crate) netns: u32,
    /// When it began to listen, or was found.
    pub(crate) start: BootTime,
    /// It is older than the daemon.
    pub(crate) adopted: bool,
    /// As of the last reading.
    pub(crate) queue: Queue,
    /// The longest queue that was read.
    pub(crate) most_waiting: u32,
    /// What was dropped since it began, or was found.
    pub(crate) dropped: u64,
    /// Of that, what found the queue full; `None` once nobody can tell any more.
    pub(crate) overflowed: Option<u64>,
    /// Since when the connection waits for accept() that has waited longest.
    pub(crate) oldest_waiting: Option<BootTime>,
}
