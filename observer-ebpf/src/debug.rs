//! Records of debugging sessions, what the probes keep for them, and what the daemon tells them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::event::Header;
use crate::process::Task;
use crate::tcp::Socket;

/// What is watched of a cgroup: the low bits of a value of the map `WATCHED`. Those above them are a number that is another
/// one each time that a cgroup begins to be watched.
pub mod watch {
    /// How many bits there are.
    pub const BITS: u32 = 8;
    /// How long processes take to answer.
    pub const RESPONSES: u32 = 1;
    /// Packets that the kernel drops.
    pub const DROPS: u32 = 2;
    /// Signals that its processes are sent.
    pub const SIGNALS: u32 = 4;
    /// Files that its processes fail to open.
    pub const OPENS: u32 = 8;

    /// The bit of a cgroup in the map `WATCHED_BITS`.
    #[must_use]
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it is a part of a probe")]
    pub const fn bit(cgroup_id: u64) -> u64 {
        1 << (cgroup_id & 63)
    }
}

/// Cgroups that are watched at once, and network namespaces.
pub const WATCHED_MAX: u32 = 256;

/// The longest path that an [`OpenFailure`] carries, its end mark included; a power of two.
pub const OPEN_PATH_MAX: usize = 256;

/// What is kept on a watched socket (`BPF_MAP_TYPE_SK_STORAGE`): an answer that is owed.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exchange {
    /// When the first data came that is not answered yet; 0 where nothing is owed.
    pub ready_ns: u64,
    /// When the last data came.
    pub last_ready_ns: u64,
    /// When the process read first since then; 0 before.
    pub read_ns: u64,
    /// When it read last.
    pub last_read_ns: u64,
    /// Where the process had read to when that data came (`copied_seq`).
    pub read_seq: u32,
    /// How often it has read since then.
    pub reads: u32,
    /// 1 where the data had come before the last answer was given.
    pub waited: u32,
    /// Since when the cgroup is watched: what is older is not to be trusted. See [`watch::BITS`].
    pub since: u32,
}

/// A process began to answer what had come on a connection. The header's time is that of the first byte of the answer.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Response {
    /// The header; its cgroup is the socket's.
    pub header: Header,
    /// The socket.
    pub socket: Socket,
    /// The process that answers.
    pub task: Task,
    /// What it answers.
    pub exchange: Exchange,
    /// Bytes that it has read since the data came.
    pub read_bytes: u32,
    /// 1 where the time of the answer is that at which the call which sent it ended.
    pub at_end: u32,
}

/// How a packet was found to be a watched cgroup's.
pub mod found {
    /// By its socket.
    pub const SOCKET: u32 = 1;
    /// By the network namespace that it was in.
    pub const NETNS: u32 = 2;
}

/// The kernel dropped a packet.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PacketDrop {
    /// The header; its cgroup is that of the socket, else the one that the network namespace is watched for.
    pub header: Header,
    /// The source's address, as in [`Socket`]; zeros where the packet shows none.
    pub source: [u8; 16],
    /// The destination's address.
    pub destination: [u8; 16],
    /// The ports, in network byte order.
    pub ports_be: [u16; 2],
    /// 2 for IPv4, 10 for IPv6, 0 for neither.
    pub family: u16,
    /// The protocol above that (`IPPROTO_*`).
    pub protocol: u8,
    /// The segment's flags, of TCP.
    pub tcp_flags: u8,
    /// The kernel's `enum skb_drop_reason`.
    pub reason: u32,
    /// Bytes that it still had (`skb->len`).
    pub len: u32,
    /// The inode of the network namespace; 0 where that is not known.
    pub netns: u32,
    /// The interface that it came in by; 0 for one that this namespace sends.
    pub incoming: u32,
    /// A [`found`].
    pub found: u32,
    /// What the device says the packet is (`ETH_P_*`), in network byte order.
    pub ethertype_be: u16,
    /// Zero.
    pub reserved: u16,
}

/// A process was sent a signal.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SignalSent {
    /// The header; its cgroup is the receiver's.
    pub header: Header,
    /// The receiving process, with the name of the thread that got it; its user is not told.
    pub receiver: Task,
    /// The task that was running: the sender, or the one that the kernel sent it for.
    pub sender: Task,
    /// The sender's cgroup.
    pub sender_cgroup_id: u64,
    /// The signal's number.
    pub signal: u32,
    /// What became of it (`TRACE_SIGNAL_*`, include/trace/events/signal.h).
    pub result: u32,
    /// `si_code`; [`SignalSent::PRIVILEGED`] where the kernel gave none.
    pub code: i32,
    /// 1 where it was sent to the whole process, 0 to one thread.
    pub whole: u32,
}

impl SignalSent {
    /// The kernel sent it, and says nothing more of it (`SEND_SIG_PRIV`).
    pub const PRIVILEGED: i32 = i32::MAX;
}

/// A process failed to open a file.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OpenFailure {
    /// The header; its cgroup is the task's.
    pub header: Header,
    /// The process.
    pub task: Task,
    /// The error.
    pub errno: u32,
    /// Bytes of the path, its end mark included; 0 where it could not be read. [`OPEN_PATH_MAX`] means that it may be cut.
    pub path_len: u32,
    /// The path, as the process gave it.
    pub path: [u8; OPEN_PATH_MAX],
}

/// What the sessions' programs took, of one processor; the value of the map `SPENT`.
#[derive(Clone, Copy, Debug, Default, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Spent {
    /// Nanoseconds for what is watched.
    pub watched_ns: u64,
    /// How often that was.
    pub watched: u64,
    /// How often they ran for others, and ended at once.
    pub others: u64,
}

const _: () = assert!(size_of::<Exchange>() == 48);
const _: () = assert!(size_of::<Response>() == 168);
const _: () = assert!(size_of::<PacketDrop>() == 88);
const _: () = assert!(size_of::<SignalSent>() == 112);
const _: () = assert!(size_of::<OpenFailure>() == 320);
const _: () = assert!(size_of::<Spent>() == 24);
