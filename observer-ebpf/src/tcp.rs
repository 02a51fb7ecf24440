//! Records of TCP sockets, and what the probes keep on each socket.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::event::Header;
use crate::process::Task;

/// Which side of a connection a socket is.
pub mod role {
    /// It asked for the connection.
    pub const CLIENT: u32 = 1;
    /// It came from a listener.
    pub const SERVER: u32 = 2;
    /// It listens.
    pub const LISTENER: u32 = 3;
}

/// What the probes keep on each socket (`BPF_MAP_TYPE_SK_STORAGE`, freed by the kernel with it).
///
/// A listener's is copied to each child that it makes (`BPF_F_CLONE`), which is how a child, made in
/// an interrupt, knows the process that listens.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Track {
    /// When the first SYN was sent, listen() was called, (server) the child was made, or an older
    /// socket was adopted; boot clock, nanoseconds.
    pub start_ns: u64,
    /// When it was established, or (older than the daemon) adopted; 0 before.
    pub established_ns: u64,
    /// When the other side closed its half while ours stayed open (CLOSE_WAIT); 0 before.
    pub half_closed_ns: u64,
    /// The process that called connect() or listen(); its pid is 0 where it is not known.
    pub task: Task,
    /// A [`role`].
    pub role: u32,
    /// The state (include/net/tcp_states.h) whose beginning was treated last.
    pub treated: u32,
    /// 1 where the socket is older than the daemon, and its start was not seen.
    pub adopted: u32,
    /// What a listener had dropped (`sk_drops`) when it was adopted.
    pub drops: u32,
    /// 1 where its opening was folded ([`crate::budget`]), and its end is to be.
    pub folded: u32,
    /// Segments of the handshake that were sent again, as far as they are counted already.
    pub handshake_retrans: u32,
}

/// Which socket, and its two ends.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Socket {
    /// The socket's cookie, unique until the machine reboots; 0 where there was no full socket.
    pub cookie: u64,
    /// This end's address; an IPv4 address in the first four bytes.
    pub local_address: [u8; 16],
    /// The other end's address; an IPv4 address in the first four bytes.
    pub remote_address: [u8; 16],
    /// This end's port, in the machine's byte order.
    pub local_port: u16,
    /// The other end's port, in network byte order.
    pub remote_port_be: u16,
    /// 2 for IPv4, 10 for IPv6 (`AF_INET`, `AF_INET6`).
    pub family: u16,
    /// The socket's state (include/net/tcp_states.h).
    pub state: u8,
    /// A [`role`]; 0 where the socket is not tracked.
    pub role: u8,
    /// The inode of its network namespace.
    pub netns: u32,
    /// The index of the interface that it is bound to, as it is where the other end's address is valid
    /// on one link only; else 0.
    pub interface: u32,
}

/// The counters of a socket, as `tcp_sock` has them.
#[derive(Clone, Copy, Debug, Default, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Counters {
    /// Payload sent, sent again included.
    pub bytes_sent: u64,
    /// Payload sent again.
    pub bytes_retrans: u64,
    /// Sequence space received in order: payload, and 1 for a FIN.
    pub bytes_received: u64,
    /// Segments sent, sent again included. Wraps.
    pub segs_out: u32,
    /// Segments received. Wraps.
    pub segs_in: u32,
    /// Segments sent again.
    pub total_retrans: u32,
    /// Eight times the smoothed round-trip time, in microseconds; 0 before the first measurement.
    pub srtt_us: u32,
    /// Four times the mean deviation of the round-trip time, in microseconds.
    pub mdev_us: u32,
    /// The windowed minimum of the round-trip time, in microseconds; all ones before the first.
    pub min_rtt_us: u32,
    /// 1 where a FIN was received (`SOCK_DONE`).
    pub fin_received: u32,
    /// Segments that the other side acknowledged, those sent again included.
    pub delivered: u32,
    /// Of these, how many met congestion on their way (ECN's CE).
    pub delivered_ce: u32,
    /// Segments that the other side reported to have got twice (DSACK): sent again without need.
    pub dsack_dups: u32,
    /// How often the other side got segments in another order.
    pub reord_seen: u32,
    /// Jiffies with something to send or unacknowledged, of these those in which the other side's
    /// window was the limit, and those in which our send buffer was.
    pub busy: [u32; 3],
}

/// A connection was established ([`crate::event::Kind::Connect`], [`crate::event::Kind::Accept`]).
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Opened {
    /// The header.
    pub header: Header,
    /// The socket.
    pub socket: Socket,
    /// The process that called connect() or listen().
    pub task: Task,
    /// When the first SYN was sent, or (server) the child was made; boot clock, nanoseconds.
    pub start_ns: u64,
    /// Eight times the smoothed round-trip time, in microseconds: on the server's side that of the
    /// SYN-ACK alone; 0 where it was not measured.
    pub srtt_us: u32,
    /// Zero.
    pub reserved: u32,
}

/// A socket began to listen.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Listening {
    /// The header.
    pub header: Header,
    /// The socket; its local port is 0 where listen() itself is to choose one.
    pub socket: Socket,
    /// The process that called listen().
    pub task: Task,
}

/// A connection ended, or was not established ([`crate::event::Kind::Close`],
/// [`crate::event::Kind::ConnectFailure`]).
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Closed {
    /// The header.
    pub header: Header,
    /// The socket; its state is the one that it had before.
    pub socket: Socket,
    /// The process that called connect() or listen().
    pub task: Task,
    /// When the first SYN was sent, or (server) the child was made; boot clock, nanoseconds.
    pub start_ns: u64,
    /// The whole life's counters.
    pub counters: Counters,
    /// `sk_err`: the error that ended it, 0 for none.
    pub error: u32,
    /// 1 where the socket is older than the daemon, and its start was not seen.
    pub adopted: u32,
}

/// Segments were sent again.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Retransmit {
    /// The header.
    pub header: Header,
    /// The socket; for a SYN-ACK the listener's cookie with the request's ends.
    pub socket: Socket,
    /// The process that called connect() or listen().
    pub task: Task,
    /// How many segments (`tcp_skb_pcount`).
    pub segments: u32,
    /// Bytes of payload.
    pub payload_len: u32,
    /// The segment's flags, as in the TCP header's 13th byte.
    pub tcp_flags: u32,
    /// A [`cause`].
    pub cause: u32,
    /// Timeouts in a row, this one included (`icsk_retransmits`).
    pub timeouts: u32,
    /// How often the timeout was doubled before (`icsk_backoff`).
    pub backoff: u32,
    /// When the first SYN was sent, or (server) the child was made; 0 where it was not seen.
    pub start_ns: u64,
}

/// Why a segment was sent again.
pub mod cause {
    /// The kernel does not say.
    pub const UNKNOWN: u32 = 0;
    /// Nothing came back in time.
    pub const TIMEOUT: u32 = 1;
    /// Later segments were acknowledged.
    pub const FAST: u32 = 2;
    /// The last segment, sent again early to find out.
    pub const TAIL_LOSS_PROBE: u32 = 3;
}

/// The directions of a reset.
pub mod direction {
    /// This node sent it.
    pub const SENT: u32 = 1;
    /// This node received it.
    pub const RECEIVED: u32 = 2;
}

/// A reset was sent or received.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reset {
    /// The header.
    pub header: Header,
    /// The socket; its state is 0 where there was none.
    pub socket: Socket,
    /// The process that called connect() or listen().
    pub task: Task,
    /// A [`direction`].
    pub direction: u32,
    /// The kernel's `enum sk_rst_reason`; [`u32::MAX`] where the kernel gives none.
    pub reason: u32,
    /// What the process has not read, in bytes, a FIN included.
    pub unread: u32,
    /// Timeouts and probes in a row without an answer.
    pub timeouts: u32,
    /// The TCP flags of the segment that is answered; 0 where none is.
    pub answered: u32,
    /// 1 where the process has asked for a reset at close() (`SO_LINGER` with a time of 0).
    pub linger_zero: u32,
    /// 1 where a FIN was received.
    pub fin_received: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Track>() == 80);
const _: () = assert!(size_of::<Socket>() == 56);
const _: () = assert!(size_of::<Counters>() == 80);
const _: () = assert!(size_of::<Opened>() == 128);
const _: () = assert!(size_of::<Listening>() == 112);
const _: () = assert!(size_of::<Closed>() == 208);
const _: () = assert!(size_of::<Retransmit>() == 144);
const _: () = assert!(size_of::<Reset>() == 144);
