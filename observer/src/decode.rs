//! Ring bytes become records of our own types. Pure: what cannot be understood is an error to count.

mod deeper;
mod dns;
mod fold;
mod live;
mod name;
mod process;
mod tcp;
mod tick;

use observer_ebpf::event::{Header, Kind};
use zerocopy::FromBytes;

use crate::event::{
    BootTime, Counters, Ending, ProcessKey, ResetDirection, RetransmitCause, RetransmitPhase, TcpState,
};

pub(crate) use deeper::{Answered, Dropped, Signalled};
pub(crate) use dns::Answer;
pub(crate) use fold::{Sum, SumOf, count_sum, sockets_sum};
pub(crate) use live::{Known, Reading};
use name::Name;
pub(crate) use process::{Executed, LimitHit};
pub(crate) use tcp::{known, sample};
pub(crate) use tick::Tick;

/// A record that nobody has been named for yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// When it happened.
    pub(crate) time: BootTime,
    /// The cgroup of the task or the socket; 0 where the kernel knew none.
    pub(crate) cgroup_id: u64,
    /// What happened.
    pub(crate) body: Body,
}

/// What a record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// A program was executed.
    Exec(Box<Executed>),
    /// A process ended.
    Exit {
        /// The process.
        task: Task,
        /// Its parent.
        parent_pid: u32,
        /// How.
        ending: Ending,
        /// The OOM killer had chosen it.
        oom_killed: bool,
        /// What its threads ran, in nanoseconds.
        cpu_time_ns: Option<u64>,
        /// The most pages that were resident at one time.
        peak_pages: u64,
    },
    /// The OOM killer chose a process.
    Oom {
        /// The victim; its start is 0 where the kernel gives only a pid.
        task: Task,
        /// Resident pages.
        resident_pages: Option<u64>,
        /// The cgroup that had reached its limit; `None` where the machine's memory had run out.
        limit: Option<LimitHit>,
        /// That was looked at, so that the above is known.
        looked: bool,
    },
    /// A signal that ends processes was sent.
    Signal {
        /// The process that it was sent to.
        receiver: ProcessKey,
        /// The signal's number.
        signal: u8,
        /// The process would not have it: it ignores it, or is the first of its namespace and has no handler.
        ignored: bool,
        /// The process that sent it, or that the kernel sent it for.
        sender: Task,
        /// The sender's cgroup.
        sender_cgroup: u64,
    },
    /// A cgroup was made.
    CgroupMade {
        /// Its path in the hierarchy.
        path: String,
    },
    /// A cgroup was removed.
    CgroupRemoved,
    /// A name server answered; `None` where that is not understood.
    Answer(Option<Box<Answer>>),
    /// A socket began to listen.
    Listening {
        /// The socket.
        socket: Socket,
        /// The process that listens.
        task: Option<Task>,
    },
    /// A connection was established.
    Established {
        /// The socket.
        socket: Socket,
        /// The process that asked or listened.
        task: Option<Task>,
        /// When the handshake began, on this side.
        start: BootTime,
        /// The smoothed round-trip time so far, in nanoseconds.
        rtt_ns: Option<u64>,
    },
    /// A connection ended, or was not established.
    Ended {
        /// The socket.
        socket: Socket,
        /// The process that asked or listened.
        task: Option<Task>,
        /// When it began; `None` where that was not seen.
        start: Option<BootTime>,
        /// It had been established.
        established: bool,
        /// The whole life's counters.
        counters: Counters,
        /// The error, 0 for none.
        errno: u32,
    },
    /// Segments were sent again.
    Retransmit {
        /// The socket.
        socket: Socket,
        /// The process that asked or listened.
        task: Option<Task>,
        /// What was sent again.
        phase: RetransmitPhase,
        /// Why.
        cause: RetransmitCause,
        /// Timeouts in a row, this one included.
        timeouts: u32,
        /// How often the timeout was doubled before.
        backoff: u32,
        /// How many.
        segments: u32,
        /// When the connection began; `None` where that was not seen.
        start: Option<BootTime>,
    },
    /// A reset was sent or received.
    Reset {
        /// The socket.
        socket: Socket,
        /// The process that asked or listened.
        task: Option<Task>,
        /// Which way.
        direction: ResetDirection,
        /// The kernel's reason.
        reason: Option<u32>,
        /// How it was around the socket.
        situation: Situation,
    },
    /// A process began to answer what had come on a connection.
    Answered(Box<Answered>),
    /// A packet was dropped.
    Dropped(Box<Dropped>),
    /// A process was sent a signal, told by a debugging session.
    Signalled(Box<Signalled>),
    /// A process failed to open a file.
    OpenFailed {
        /// The process.
        task: Task,
        /// The path, any bytes.
        path: Vec<u8>,
        /// It was longer.
        path_truncated: bool,
        /// The error.
        errno: u32,
    },
}

impl Body {
    /// The process that did it, of those that may not be known yet; an exec tells of itself, and one that ended is gone.
    pub(crate) fn actor(&self) -> Option<&Task> {
        match self {
            Self::Oom { task, .. } | Self::Signal { sender: task, .. } | Self::OpenFailed { task, .. } => {
                Some(task)
            }
            Self::Answered(answered) => Some(&answered.task),
            Self::Signalled(signalled) => Some(&signalled.receiver),
            Self::Listening { task, .. }
            | Self::Established { task, .. }
            | Self::Ended { task, .. }
            | Self::Retransmit { task, .. }
            | Self::Reset { task, .. } => task.as_ref(),
            Self::Exec(_)
            | Self::Exit { .. }
            | Self::CgroupMade { .. }
            | Self::CgroupRemoved
            | Self::Dropped(_)
            | Self::Answer(_) => None,
        }
    }
}

/// What a reset's cause follows from where the kernel's reason does not say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Situation {
    /// There was something that the process has not read.
    pub(crate) unread: bool,
    /// The process has asked for a reset at close().
    pub(crate) linger_zero: bool,
    /// The other side has not answered for a while.
    pub(crate) unanswered: bool,
    /// It answers a segment: true for a SYN that asks for a connection.
    pub(crate) answers: Option<bool>,
}

/// A task as the probes give it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) key: ProcessKey,
    pub(crate) uid: u32,
    pub(crate) comm: Name,
}

/// A socket as the probes give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    /// The cookie; 0 where there was no socket.
    pub(crate) cookie: u64,
    pub(crate) local: std::net::SocketAddr,
    pub(crate) remote: std::net::SocketAddr,
    pub(crate) netns: u32,
    /// `None` where there was no socket.
    pub(crate) state: Option<TcpState>,
    /// Whether it asked for the connection; `None` where the socket is not tracked.
    pub(crate) outgoing: Option<bool>,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// It is shorter than its kind is, or says so of a part.
    #[error("a record of {0} bytes is cut short")]
    Truncated(usize),
    /// No kind has that number.
    #[error("a record is of the unknown kind {0}")]
    UnknownKind(u32),
    /// A field has a value that it cannot have.
    #[error("a record of kind {0} holds an impossible value")]
    Impossible(&'static str),
}

/// Understands one record; `tick` is as long as is known.
pub(crate) fn decode(bytes: &[u8], tick: Tick) -> Result<Record, DecodeError> {
    let (header, _) =
        Header::read_from_prefix(bytes).map_err(|_short| DecodeError::Truncated(bytes.len()))?;
    let kind = Kind::from_number(header.kind).ok_or(DecodeError::UnknownKind(header.kind))?;
    let body = match kind {
        Kind::Exec => process::exec(bytes),
        Kind::Exit => process::exit(bytes),
        Kind::Oom => process::oom(bytes),
        Kind::CgroupMade => process::cgroup_made(bytes),
        Kind::CgroupRemoved => Ok(Body::CgroupRemoved),
        Kind::Connect | Kind::Accept => tcp::established(bytes),
        Kind::ConnectFailure | Kind::Close => tcp::ended(bytes, kind == Kind::Close, tick),
        Kind::Retransmit => tcp::retransmit(bytes),
        Kind::Reset => tcp::reset(bytes),
        Kind::Listening => tcp::listening(bytes),
        Kind::Signal => process::signal(bytes),
        Kind::DnsAnswer => dns::answer(bytes),
        Kind::Response => deeper::response(bytes),
        Kind::PacketDrop => deeper::packet_drop(bytes),
        Kind::SignalSent => deeper::signal(bytes),
        Kind::OpenFailure => deeper::open_failure(bytes),
        Kind::Untracked => Err(DecodeError::UnknownKind(header.kind)),
    }?;
    Ok(Record { time: BootTime(header.time_ns), cgroup_id: header.cgroup_id, body })
}

/// A fixed part at the beginning of a record, and what follows it.
fn fixed<T: FromBytes>(bytes: &[u8]) -> Result<(T, &[u8]), DecodeError> {
    T::read_from_prefix(bytes).map_err(|_short| DecodeError::Truncated(bytes.len()))
}

fn task(task: &observer_ebpf::process::Task) -> Task {
    let key = ProcessKey { pid: task.tgid, start: BootTime(task.start_ns) };
    Task { key, uid: task.uid, comm: task.comm.into() }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
