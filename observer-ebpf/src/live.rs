//! What the iterators write of live sockets.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::tcp::{Counters, Socket, Track};

/// How a live socket stands at one moment.
#[derive(Clone, Copy, Debug, Default, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flow {
    /// The rate at which segments are paced, in bytes a second.
    pub pacing_rate: u64,
    /// Received in order and not read by the process; 1 for a FIN included.
    pub unread: u32,
    /// Up to where the process has read (`copied_seq`): unchanged, it reads nothing.
    pub read_seq: u32,
    /// Sent and not acknowledged.
    pub unacked: u32,
    /// Written by the process and not sent.
    pub unsent: u32,
    /// The other side's window; 0 is closed.
    pub peer_window: u32,
    /// The window that we offer; 0 is closed.
    pub own_window: u32,
    /// The congestion window, in segments.
    pub congestion_window: u32,
    /// The largest payload of a segment.
    pub mss: u32,
    /// The latest measurement of delivery: segments.
    pub rate_delivered: u32,
    /// The latest measurement of delivery: in how many microseconds.
    pub rate_interval_us: u32,
    /// Jiffies since the first of the probes that the other side's closed window is asked with; 0 for
    /// none.
    pub probing: u32,
    /// Connections that wait for accept(), of a listener.
    pub queue: u32,
    /// How many may wait.
    pub queue_limit: u32,
    /// Segments that a listener dropped, SYNs and ends of handshakes most of all (`sk_drops`). Wraps.
    pub queue_drops: u32,
    /// Timeouts in a row (`icsk_retransmits`).
    pub retransmits: u8,
    /// How often the timeout was doubled.
    pub backoff: u8,
    /// 1 where the process has got it from connect() or accept() (`sk_socket`).
    pub accepted: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

/// The jiffies, beside the boot clock.
#[derive(Clone, Copy, Debug, Default, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ticks {
    /// Jiffies (`jiffies_64`).
    pub jiffies: u64,
    /// The boot clock at that moment, in nanoseconds.
    pub time_ns: u64,
}

/// What is known of a live socket beside its counters, written by the iterator.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Known {
    /// The id of the cgroup that made it.
    pub cgroup_id: u64,
    /// The socket.
    pub socket: Socket,
    /// What the probes keep on it.
    pub track: Track,
}

/// One reading of a live socket, written by the iterator.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sample {
    /// The socket's cookie.
    pub cookie: u64,
    /// When the other side closed its half while ours stayed open; 0 before.
    pub half_closed_ns: u64,
    /// The counters.
    pub counters: Counters,
    /// How it stands.
    pub flow: Flow,
    /// The socket's state.
    pub state: u32,
    /// A [`crate::tcp::role`].
    pub role: u32,
}

const _: () = assert!(size_of::<Flow>() == 72);
const _: () = assert!(size_of::<Ticks>() == 16);
const _: () = assert!(size_of::<Known>() == 144);
const _: () = assert!(size_of::<Sample>() == 176);
