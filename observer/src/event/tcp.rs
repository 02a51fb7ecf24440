//! TCP: connections, what happens to them, and their counters.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Peer, Workload};

/// The kernel's socket cookie: unique until the machine reboots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// One end of a connection, seen from this end.
#[derive(Clone, Debug)]
pub(crate) struct Tcp {
    /// Which socket; 0 where there was none.
    pub(crate) id: ConnectionId,
    /// This end.
    pub(crate) local: SocketAddr,
    /// The other end.
    pub(crate) remote: SocketAddr,
    /// This end asked for the connection.
    pub(crate) outgoing: bool,
    /// Whose the other end is.
    pub(crate) peer: Peer,
    /// The inode of this end's network namespace.
    pub(crate) netns: u32,
    /// Where its packets really go, where that is not where they are sent: the other end's address is a Service's, or
    /// another one that is translated on this node.
    pub(crate) backend: Option<Arc<Backend>>,
}

impl Tcp {
    /// Who really answers, where that is known.
    pub(crate) fn answerer(&self) -> Option<&Workload> {
        let peer = self.backend.as_ref().map_or(&self.peer, |backend| &backend.peer);
        peer.workload.as_deref()
    }

    /// The address of who really answers.
    pub(crate) fn answering(&self) -> SocketAddr {
        self.backend.as_ref().map_or(self.remote, |backend| backend.address)
    }
}

/// Who answers in another's name.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    /// The translated address.
    pub(crate) address: SocketAddr,
    /// Whose it was when the connection was made.
    pub(crate) peer: Peer,
}

/// The kernel's states of a TCP socket (include/net/tcp_states.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TcpState(pub(crate) u8);

impl TcpState {
    /// The established state.
    pub(crate) const ESTABLISHED: Self = Self(1);
    /// The other side has closed its half, ours is open.
    pub(crate) const CLOSE_WAIT: Self = Self(8);

    /// The state's name, as `ss` and the RFC write it.
    pub(crate) const fn name(self) -> &'static str {
        match self.0 {
            1 => "ESTABLISHED",
            2 => "SYN_SENT",
            3 | 12 => "SYN_RECV",
            4 => "FIN_WAIT1",
            5 => "FIN_WAIT2",
            6 => "TIME_WAIT",
            7 => "CLOSE",
            8 => "CLOSE_WAIT",
            9 => "LAST_ACK",
            10 => "LISTEN",
            11 => "CLOSING",
            _ => "UNKNOWN",
        }
    }
}

/// The counters that a socket has kept since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Payload bytes that the other side acknowledged.
    pub(crate) sent_bytes: u64,
    /// Payload bytes received in order.
    pub(crate) received_bytes: u64,
    /// Segments sent, those sent again included.
    pub(crate) sent_segments: u64,
    /// Segments received.
    pub(crate) received_segments: u64,
    /// Segments sent again.
    pub(crate) retransmitted_segments: u64,
    /// The smoothed round-trip time in nanoseconds; `None` before the first measurement.
    pub(crate) rtt_ns: Option<u64>,
    /// The kernel's windowed minimum of the round-trip time in nanoseconds.
    pub(crate) min_rtt_ns: Option<u64>,
    /// The mean deviation of the round-trip time in nanoseconds.
    pub(crate) rtt_variation_ns: Option<u64>,
    /// Segments that the other side acknowledged.
    pub(crate) delivered_segments: u64,
    /// Of these, those that met congestion on their way (ECN).
    pub(crate) congested_segments: u64,
    /// Segments that the other side had already when they came again (DSACK).
    pub(crate) spurious_retransmits: u64,
    /// How often segments overtook each other on their way to the other side.
    pub(crate) reorderings: u64,
    /// How long there was something to send or to be acknowledged, and what limited it.
    pub(crate) busy: Option<Busy>,
}

/// How long a connection had something to send or unacknowledged, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "the unit belongs to each of them")]
pub(crate) struct Busy {
    /// In all.
    pub(crate) total_ns: u64,
    /// The other side's window was the limit.
    pub(crate) peer_window_limited_ns: u64,
    /// Our send buffer was the limit.
    pub(crate) send_buffer_limited_ns: u64,
}

/// A connection was established, on the asking side.
#[derive(Clone, Debug)]
pub(crate) struct TcpConnect {
    pub(crate) tcp: Tcp,
    /// From the first SYN to the established state, in nanoseconds.
    pub(crate) handshake_latency_ns: u64,
}

/// A connection was established, on the listening side.
#[derive(Clone, Debug)]
pub(crate) struct TcpAccept {
    pub(crate) tcp: Tcp,
    /// From the SYN-ACK to its acknowledgement in nanoseconds, where the kernel measured it.
    pub(crate) handshake_latency_ns: Option<u64>,
}

/// A connection was not established.
#[derive(Clone, Debug)]
pub(crate) struct TcpConnectFailure {
    pub(crate) tcp: Tcp,
    /// The kernel's error number; 0 where the process gave up.
    pub(crate) errno: u32,
    /// A SYN was sent.
    pub(crate) sent: bool,
    /// From the first SYN to the failure, in nanoseconds; `None` where the first SYN was not seen.
    pub(crate) duration_ns: Option<u64>,
    /// SYNs sent again.
    pub(crate) syn_retransmits: u32,
}

/// Nothing has answered for a while; the connection still waits.
#[derive(Clone, Debug)]
pub(crate) struct TcpConnectPending {
    pub(crate) tcp: Tcp,
    /// From the first SYN, in nanoseconds.
    pub(crate) waited_ns: u64,
    /// SYNs sent again.
    pub(crate) syn_retransmits: u32,
}

/// The index of the interface on whose link that address is valid, in this end's network namespace; 0 for everywhere.
pub(crate) const fn interface(of: SocketAddr) -> u32 {
    match of {
        SocketAddr::V6(of) => of.scope_id(),
        SocketAddr::V4(_) => 0,
    }
}

/// What was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum RetransmitPhase {
    Syn,
    SynAck,
    Data,
    Fin,
}

/// Why it was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum RetransmitCause {
    Unknown,
    Timeout,
    Fast,
    TailLossProbe,
}

/// Segments were sent again.
#[derive(Clone, Debug)]
pub(crate) struct TcpRetransmit {
    pub(crate) tcp: Tcp,
    pub(crate) phase: RetransmitPhase,
    /// Why.
    pub(crate) cause: RetransmitCause,
    /// Timeouts in a row, this one included.
    pub(crate) timeouts: u32,
    /// How often the timeout was doubled before.
    pub(crate) backoff: u32,
    /// How many, as RetransSegs counts them.
    pub(crate) segments: u32,
    pub(crate) state: TcpState,
}

/// Which way a reset went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ResetDirection {
    Sent,
    Received,
}

/// Why this node sent a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ResetCause {
    /// Nobody listens there.
    NoListener,
    /// The connection that the segment belongs to is not there, or not any more.
    NoConnection,
    /// The process closed the socket with data in it that it had not read.
    UnreadData,
    /// The process had asked for a reset at close (`SO_LINGER` with a time of 0).
    LingerZero,
    /// Data came after the process had closed the socket.
    DataAfterClose,
    /// The other side did not answer for too long.
    Timeout,
    /// The kernel is short of memory for sockets.
    OutOfMemory,
    /// The process, or somebody else, aborted the connection.
    Aborted,
    /// The segment that it answers does not fit the connection.
    Unexpected,
}

/// A reset was sent or received.
#[derive(Clone, Debug)]
pub(crate) struct TcpReset {
    pub(crate) tcp: Tcp,
    pub(crate) direction: ResetDirection,
    /// The socket's state; `None` where there was no socket.
    pub(crate) state: Option<TcpState>,
    /// The name of the kernel's reason, where it gives one.
    pub(crate) reason: Option<Arc<str>>,
    /// Why; `None` for one that was received.
    pub(crate) cause: Option<ResetCause>,
}

/// A connection ended.
#[derive(Clone, Debug)]
pub(crate) struct TcpClose {
    pub(crate) tcp: Tcp,
    /// From its start to its end, in nanoseconds; `None` where its start was not seen.
    pub(crate) duration_ns: Option<u64>,
    pub(crate) counters: Counters,
    /// The error that ended it; 0 for an orderly end.
    pub(crate) errno: u32,
}

impl TcpConnectFailure {
    /// The word for the error. Without one the process gave up; or, if nothing was ever sent, connect()
    /// failed on this node and only its caller was told why.
    pub(crate) fn error(&self) -> &'static str {
        match (self.errno, self.sent) {
            (0, true) => "cancelled",
            (0, false) => "not_sent",
            (errno, _) => error_name(errno),
        }
    }
}

/// The same word as one of those that errors are told by; `other` where it is none.
pub(crate) fn error_known_as(word: &str) -> &'static str {
    let words = ["cancelled", "not_sent"].into_iter().chain((0..=113).map(error_name));
    words.into_iter().find(|known| *known == word).unwrap_or("other")
}

/// The word for an error number at the end of a connection: OpenTelemetry's where it has one, else
/// the kernel's name.
pub(crate) fn error_name(errno: u32) -> &'static str {
    match errno {
        0 => "",
        1 => "EPERM",
        13 => "EACCES",
        22 => "EINVAL",
        32 => "EPIPE",
        71 => "EPROTO",
        99 => "EADDRNOTAVAIL",
        100 => "ENETDOWN",
        101 => "net_unreachable",
        103 => "ECONNABORTED",
        104 => "reset",
        105 => "ENOBUFS",
        110 => "timed_out",
        111 => "refused",
        112 => "EHOSTDOWN",
        113 => "host_unreachable",
        _ => "other",
    }
}
