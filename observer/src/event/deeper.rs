//! What is seen while a debugging session is open: answers, packets that are dropped, signals, files that cannot be opened.

use std::ffi::OsString;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Origin, Process, Tcp, Workload};

/// A process began to answer what had come on a connection.
#[derive(Clone, Debug)]
pub(crate) struct TcpResponse {
    /// The connection.
    pub(crate) tcp: Tcp,
    /// From the first data that had not been answered to the first byte of the answer.
    pub(crate) latency_ns: u64,
    /// Of that, until the process read first; `None` where it answered without reading.
    pub(crate) wait_ns: Option<u64>,
    /// Of that, from its last read on.
    pub(crate) work_ns: Option<u64>,
    /// What it had read.
    pub(crate) read_bytes: u64,
    /// How often it had read.
    pub(crate) reads: u32,
    /// The data had come before the answer to what was before it was given.
    pub(crate) queued: bool,
    /// The time of the answer is that at which the call ended which sent it.
    pub(crate) at_end: bool,
}

/// The kernel dropped a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PacketDrop {
    /// The kernel's reason.
    pub(crate) reason: Arc<str>,
    /// What kind of packet it was: `tcp`, `udp`, `arp`, or a number.
    pub(crate) protocol: String,
    /// Its addresses, where it shows some.
    pub(crate) ends: Option<[IpAddr; 2]>,
    /// Its ports, where it has some.
    pub(crate) ports: Option<[u16; 2]>,
    /// The flags, of TCP.
    pub(crate) tcp_flags: Option<u8>,
    /// Bytes that it still had.
    pub(crate) length: u32,
    /// It came in, rather than being sent.
    pub(crate) incoming: bool,
    /// The network namespace.
    pub(crate) netns: u32,
    /// There was a socket that it belongs to; else it was in the workload's network namespace.
    pub(crate) has_socket: bool,
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalEffect {
    /// The process gets it.
    Delivered,
    /// The process would not have it.
    Ignored,
    /// It waited already.
    Pending,
    /// There was no room for it.
    Lost,
    /// The process gets it without what was to be told with it.
    Bare,
}

/// A process was sent a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signal {
    /// Its number.
    pub(crate) number: u8,
    /// What became of it.
    pub(crate) effect: SignalEffect,
    /// It was sent to one thread.
    pub(crate) to_thread: bool,
    /// The kernel sent it.
    pub(crate) by_kernel: bool,
    /// Why, as the sender or the kernel has it (`si_code`).
    pub(crate) code: Option<i32>,
    /// Who sent it, or whom the kernel sent it for, where that is known.
    pub(crate) sender: Option<Sender>,
}

/// Who sent a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    /// The process.
    pub(crate) process: Arc<Process>,
    /// Whose it is; `None` where that is not to be seen.
    pub(crate) workload: Option<Arc<Workload>>,
    /// Where it is from, seen from the receiver.
    pub(crate) origin: Origin,
}

/// A process failed to open a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenFailure {
    /// The path, as the process gave it.
    pub(crate) path: OsString,
    /// It was longer.
    pub(crate) path_truncated: bool,
    /// The error.
    pub(crate) errno: u32,
}

/// The kernel's name of an error of open().
pub(crate) fn open_error(errno: u32) -> String {
    let name = match errno {
        1 => "EPERM",
        2 => "ENOENT",
        4 => "EINTR",
        5 => "EIO",
        6 => "ENXIO",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        17 => "EEXIST",
        19 => "ENODEV",
        20 => "ENOTDIR",
        21 => "EISDIR",
        22 => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        26 => "ETXTBSY",
        27 => "EFBIG",
        28 => "ENOSPC",
        30 => "EROFS",
        36 => "ENAMETOOLONG",
        40 => "ELOOP",
        75 => "EOVERFLOW",
        95 => "EOPNOTSUPP",
        116 => "ESTALE",
        122 => "EDQUOT",
        _ => return format!("errno {errno}"),
    };
    name.to_owned()
}
