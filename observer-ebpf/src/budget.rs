//! What of one cgroup is told one by one in a period, and how the rest is added up: kinds that repeat are folded, each count
//! exact.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A period is 2 to the power of so many nanoseconds (1.07 s), which a probe finds without dividing.
pub const PERIOD_SHIFT: u32 = 30;

/// Different sockets' edges that one cgroup may have folded apart from each other in a period; the rest of them together.
pub const EDGES_MAX: u32 = 64;

/// Cgroups whose budgets are kept at a time; a power of two. Each has the place that the last bits of its id say, which
/// the kernel counts up: one that finds its place taken in a period is not limited in it.
pub const BUDGETS_MAX: u32 = 8192;
/// Entries of the map of sockets that are folded, of two generations.
pub const SOCKETS_MAX: u32 = 2048;
/// Entries of the map of other things that are folded, of two generations.
pub const COUNTS_MAX: u32 = 1024;
/// Processes that run whose exec was folded; of one that gives way the exit is told.
pub const EXECS_MAX: u32 = 16_384;

/// What shares a budget.
pub mod class {
    /// Connections: established, failed, ended.
    pub const CONNECTIONS: usize = 0;
    /// Segments that are sent again, and resets.
    pub const SEGMENTS: usize = 1;
    /// Programs executed and processes that ended.
    pub const PROCESSES: usize = 2;
    /// Signals sent to the cgroup's processes.
    pub const SIGNALS: usize = 3;
    /// Answers of name servers.
    pub const NAMES: usize = 4;
    /// What debugging sessions see.
    pub const SESSIONS: usize = 5;
    /// How many classes there are.
    pub const COUNT: usize = 6;
}

/// What a cgroup has used; an element of the map `BUDGETS`.
#[derive(Clone, Copy, Debug, Default, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Budget {
    /// The cgroup.
    pub cgroup_id: u64,
    /// The number of the period: the boot clock's nanoseconds, shifted. Wraps.
    pub period: u32,
    /// Records of each [`class`] in it.
    pub used: [u32; class::COUNT],
    /// Edges that were folded apart in it.
    pub edges: u32,
}

/// Which sockets are added up together; the key of the map `FOLDED_SOCKETS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SocketsKey {
    /// The sockets' cgroup; 0 where there was none.
    pub cgroup_id: u64,
    /// This end's address, as in [`crate::tcp::Socket`].
    pub local_address: [u8; 16],
    /// The other end's address; zeros for many.
    pub remote_address: [u8; 16],
    /// The inode of the network namespace.
    pub netns: u32,
    /// As in [`crate::tcp::Socket`].
    pub interface: u32,
    /// The listening side's port, in the machine's byte order; 0 for many.
    pub port: u16,
    /// 2 for IPv4, 10 for IPv6 (`AF_INET`, `AF_INET6`).
    pub family: u16,
    /// A [`crate::tcp::role`]; 0 where it is not known.
    pub role: u32,
    /// 1 where this is for all edges that are not kept apart.
    pub many: u32,
    /// The generation that was current: the daemon begins a new one before it takes an old one away.
    pub generation: u32,
}

/// How attempts to connect fail, as far as they are counted apart.
pub mod failure {
    /// `ECONNREFUSED`.
    pub const REFUSED: usize = 0;
    /// `ETIMEDOUT`.
    pub const TIMED_OUT: usize = 1;
    /// `EHOSTUNREACH`.
    pub const HOST_UNREACHABLE: usize = 2;
    /// `ENETUNREACH`.
    pub const NET_UNREACHABLE: usize = 3;
    /// `ECONNRESET`.
    pub const RESET: usize = 4;
    /// No error, and something was sent: the process gave up.
    pub const CANCELLED: usize = 5;
    /// No error, and nothing was sent.
    pub const NOT_SENT: usize = 6;
    /// Any other error.
    pub const OTHER: usize = 7;
    /// How many there are.
    pub const COUNT: usize = 8;

    /// Which one that error is.
    #[must_use]
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it is a part of a probe")]
    pub const fn of(errno: u32, sent: bool) -> usize {
        match errno {
            0 if sent => CANCELLED,
            0 => NOT_SENT,
            101 => NET_UNREACHABLE,
            104 => RESET,
            110 => TIMED_OUT,
            111 => REFUSED,
            113 => HOST_UNREACHABLE,
            _ => OTHER,
        }
    }
}

/// What sent segments again, as far as it is counted apart; beside a [`crate::tcp::cause`].
pub mod phase {
    /// A SYN.
    pub const SYN: usize = 0;
    /// A SYN-ACK.
    pub const SYN_ACK: usize = 1;
    /// Data.
    pub const DATA: usize = 2;
    /// A FIN by itself.
    pub const FIN: usize = 3;
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// The causes of [`crate::tcp::cause`].
pub const CAUSES: usize = 4;

/// What sockets did that was not told one by one; the value of the map `FOLDED_SOCKETS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sockets {
    /// Connections established.
    pub opened: u64,
    /// Connections of these that ended.
    pub closed: u64,
    /// Attempts that failed, by [`failure`].
    pub failed: [u64; failure::COUNT],
    /// Payload sent by those that ended, without what was sent again.
    pub sent_bytes: u64,
    /// Payload that they received.
    pub received_bytes: u64,
    /// Segments that they sent, sent again included.
    pub sent_segments: u64,
    /// Segments that they received.
    pub received_segments: u64,
    /// Segments that they sent again since they were established; and SYNs of attempts that failed that were not told.
    pub retransmitted_segments: u64,
    /// Segments of these that had arrived already.
    pub spurious_retransmits: u64,
    /// How often the other side got segments in another order.
    pub reorderings: u64,
    /// Resets sent and received.
    pub resets: [u64; 2],
    /// Segments sent again by sockets of any kind, by [`phase`] and [`crate::tcp::cause`].
    pub retransmits: [u64; phase::COUNT * CAUSES],
    /// Records that this stands for, less those of `opened`, `closed`, `failed` and `resets`: retransmissions.
    pub retransmissions: u64,
}

/// What else is counted and not told; the key of the map `FOLDED`, whose value is the count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CountKey {
    /// The cgroup.
    pub cgroup_id: u64,
    /// A [`crate::event::Kind`].
    pub kind: u32,
    /// Of an exit: the wait status, as in [`crate::process::Exit`]; [`u32::MAX`] for many.
    pub status: u32,
    /// As in [`SocketsKey`].
    pub generation: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Budget>() == 40);
const _: () = assert!(size_of::<SocketsKey>() == 64);
const _: () = assert!(size_of::<Sockets>() == 288);
const _: () = assert!(size_of::<CountKey>() == 24);
