//! What every record begins with, the kinds of records, and the count of those that found no room.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The kinds of records; also the index of a kind in the map `LOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// [`crate::process::Exec`], in the ring `PROCESS`.
    Exec = 0,
    /// [`crate::process::Exit`], in the ring `PROCESS`.
    Exit = 1,
    /// [`crate::process::Oom`], in the ring `PROCESS`.
    Oom = 2,
    /// [`crate::cgroup::Cgroup`], in the ring `PROCESS`.
    CgroupMade = 3,
    /// [`crate::cgroup::Cgroup`], in the ring `PROCESS`.
    CgroupRemoved = 4,
    /// [`crate::tcp::Opened`], in the ring `NETWORK`.
    Connect = 5,
    /// [`crate::tcp::Opened`], in the ring `NETWORK`.
    Accept = 6,
    /// [`crate::tcp::Closed`], in the ring `NETWORK`.
    ConnectFailure = 7,
    /// [`crate::tcp::Closed`], in the ring `NETWORK`.
    Close = 8,
    /// [`crate::tcp::Retransmit`], in the ring `NETWORK`.
    Retransmit = 9,
    /// [`crate::tcp::Reset`], in the ring `NETWORK`.
    Reset = 10,
    /// No record: a socket for which the kernel had no memory for storage, so that it is not tracked.
    Untracked = 11,
    /// [`crate::tcp::Listening`], in the ring `NETWORK`.
    Listening = 12,
    /// [`crate::process::Signal`], in the ring `PROCESS`.
    Signal = 13,
    /// [`crate::dns::Answer`], in the ring `NETWORK`: it stands before the connections that follow from it.
    DnsAnswer = 14,
    /// [`crate::debug::Response`], in the ring `NETWORK`.
    Response = 15,
    /// [`crate::debug::PacketDrop`], in the ring `NETWORK`.
    PacketDrop = 16,
    /// [`crate::debug::SignalSent`], in the ring `PROCESS`.
    SignalSent = 17,
    /// [`crate::debug::OpenFailure`], in the ring `PROCESS`.
    OpenFailure = 18,
}

/// Hooks with a second program for what the first one does not see; the numbers are places in the map `MADE_UP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Hook {
    /// `inet_sock_set_state`
    State = 0,
    /// `tcp_retransmit_skb`
    Retransmit = 1,
}

impl Hook {
    /// How many there are: the size of the map `MADE_UP`.
    pub const COUNT: u32 = 2;
}

impl Kind {
    /// How many kinds there are: the size of the map `LOST`.
    pub const COUNT: u32 = 19;

    /// All kinds, by their numbers.
    pub const ALL: [Self; Self::COUNT as usize] = [
        Self::Exec,
        Self::Exit,
        Self::Oom,
        Self::CgroupMade,
        Self::CgroupRemoved,
        Self::Connect,
        Self::Accept,
        Self::ConnectFailure,
        Self::Close,
        Self::Retransmit,
        Self::Reset,
        Self::Untracked,
        Self::Listening,
        Self::Signal,
        Self::DnsAnswer,
        Self::Response,
        Self::PacketDrop,
        Self::SignalSent,
        Self::OpenFailure,
    ];

    /// The kind of that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// The name that users know: that of the event which the record becomes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exec => "process_exec",
            Self::Exit => "process_exit",
            Self::Oom => "oom_kill",
            Self::CgroupMade => "cgroup_made",
            Self::CgroupRemoved => "cgroup_removed",
            Self::Connect => "tcp_connect",
            Self::Accept => "tcp_accept",
            Self::ConnectFailure => "tcp_connect_failure",
            Self::Close => "tcp_close",
            Self::Retransmit => "tcp_retransmit",
            Self::Reset => "tcp_reset",
            Self::Untracked => "untracked_socket",
            Self::Listening => "tcp_listen",
            Self::Signal => "ending_signal",
            Self::DnsAnswer => "dns_answer",
            Self::Response => "tcp_response",
            Self::PacketDrop => "packet_drop",
            Self::SignalSent => "signal",
            Self::OpenFailure => "open_failure",
        }
    }
}

/// The first bytes of every record.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// When, in nanoseconds of the boot clock (`bpf_ktime_get_boot_ns`).
    pub time_ns: u64,
    /// The cgroup (version 2) of the task or the socket; 0 where there is none.
    pub cgroup_id: u64,
    /// A [`Kind`].
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

/// A task's name in the kernel, padded with zeros.
pub type Comm = [u8; 16];

const _: () = assert!(size_of::<Header>() == 24);
