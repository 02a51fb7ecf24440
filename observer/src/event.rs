//! The domain: what happened, to whom, in types of our own that no wire format and no kernel shapes.

mod bytes;
mod capability;
mod container;
mod entry;
#[cfg(test)]
pub(crate) mod examples;
mod fold;
mod identity;
mod live;
mod loss;
mod process;
mod stall;
mod summary;
mod tcp;
mod time;

use std::sync::Arc;

pub(crate) use capability::capabilities;
pub(crate) use container::{
    ContainerCrashLoop, ContainerEnd, ContainerReady, ContainerStart, ContainerStop, EndKind, Origin,
    RuntimeEnd, SIGKILL, SignalSent,
};
pub(crate) use entry::WorkloadEntry;
pub(crate) use fold::{FoldNotice, Folded, FoldedFigures};
pub(crate) use identity::{Memo, Owner, Peer, PeerKind, Place, Workload, WorkloadId, WorkloadKind};
pub(crate) use live::{Connection, ConnectionOrder, Flow, Listener, PeerEnd, Queue, QueueSample, Sample};
pub(crate) use loss::{Loss, LossSource};
pub(crate) use process::{
    Ancestor, Ending, ExecOrigin, Namespaces, OomKill, Process, ProcessExec, ProcessExit, ProcessKey,
    Shortage, signal_name,
};
pub(crate) use stall::{
    HELD_NS, STALL_NS, Stalled, Stalls, Standstill, peer_window_closed_ns, waits_for_accept,
};
pub(crate) use summary::{
    Edge, EdgeBackend, EdgeSummary, ListenerSummary, Live, LiveEdge, LiveWorkload, ProcessSummary,
    TcpSummary, Window, WorkloadSummary,
};
pub(crate) use tcp::{
    Backend, Busy, ConnectionId, Counters, ResetCause, ResetDirection, RetransmitCause, RetransmitPhase, Tcp,
    TcpAccept, TcpClose, TcpConnect, TcpConnectFailure, TcpConnectPending, TcpReset, TcpRetransmit, TcpState,
    error_known_as, error_name, interface,
};
pub(crate) use time::{BootTime, Now, WallTime};

/// Something that happened, with its owner.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Counts this run's events from 1, in the order in which they were attributed.
    pub(crate) sequence: u64,
    /// When it happened, by the kernel's boot clock.
    pub(crate) boot_time: BootTime,
    /// When it happened, by the wall clock.
    pub(crate) time: WallTime,
    /// Whose it is; `None` only where the kernel knew no owner.
    pub(crate) workload: Option<Arc<Workload>>,
    /// The process that did it, where it is known.
    pub(crate) process: Option<Arc<Process>>,
    /// What happened.
    pub(crate) detail: Detail,
}

/// What is particular to each type of event.
#[derive(Clone, Debug)]
pub(crate) enum Detail {
    ProcessExec(ProcessExec),
    ProcessExit(ProcessExit),
    OomKill(OomKill),
    ContainerStart(ContainerStart),
    ContainerStop(ContainerStop),
    TcpConnect(TcpConnect),
    TcpAccept(TcpAccept),
    TcpConnectFailure(TcpConnectFailure),
    TcpRetransmit(TcpRetransmit),
    TcpReset(TcpReset),
    TcpClose(TcpClose),
    TcpConnectPending(TcpConnectPending),
    ContainerReady(ContainerReady),
    ContainerCrashLoop(ContainerCrashLoop),
}

/// The types of events, in the order of the proto's enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum EventType {
    ProcessExec = 1,
    ProcessExit,
    OomKill,
    ContainerStart,
    ContainerStop,
    TcpConnect,
    TcpAccept,
    TcpConnectFailure,
    TcpRetransmit,
    TcpReset,
    TcpClose,
    TcpConnectPending,
    ContainerReady,
    ContainerCrashLoop,
}

impl EventType {
    /// All of them.
    pub(crate) const ALL: [Self; 14] = [
        Self::ProcessExec,
        Self::ProcessExit,
        Self::OomKill,
        Self::ContainerStart,
        Self::ContainerStop,
        Self::TcpConnect,
        Self::TcpAccept,
        Self::TcpConnectFailure,
        Self::TcpRetransmit,
        Self::TcpReset,
        Self::TcpClose,
        Self::TcpConnectPending,
        Self::ContainerReady,
        Self::ContainerCrashLoop,
    ];

    /// The name, the same in the proto, in JSON and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ProcessExec => "process_exec",
            Self::ProcessExit => "process_exit",
            Self::OomKill => "oom_kill",
            Self::ContainerStart => "container_start",
            Self::ContainerStop => "container_stop",
            Self::TcpConnect => "tcp_connect",
            Self::TcpAccept => "tcp_accept",
            Self::TcpConnectFailure => "tcp_connect_failure",
            Self::TcpRetransmit => "tcp_retransmit",
            Self::TcpReset => "tcp_reset",
            Self::TcpClose => "tcp_close",
            Self::TcpConnectPending => "tcp_connect_pending",
            Self::ContainerReady => "container_ready",
            Self::ContainerCrashLoop => "container_crash_loop",
        }
    }
}

/// The connection of a detail, by the kind of reference that is given.
macro_rules! connection {
    ($detail:expr) => {
        match $detail {
            Detail::TcpConnect(TcpConnect { tcp, .. })
            | Detail::TcpAccept(TcpAccept { tcp, .. })
            | Detail::TcpConnectFailure(TcpConnectFailure { tcp, .. })
            | Detail::TcpRetransmit(TcpRetransmit { tcp, .. })
            | Detail::TcpReset(TcpReset { tcp, .. })
            | Detail::TcpClose(TcpClose { tcp, .. })
            | Detail::TcpConnectPending(TcpConnectPending { tcp, .. }) => Some(tcp),
            Detail::ProcessExec(_)
            | Detail::ProcessExit(_)
            | Detail::OomKill(_)
            | Detail::ContainerStart(_)
            | Detail::ContainerStop(_)
            | Detail::ContainerReady(_)
            | Detail::ContainerCrashLoop(_) => None,
        }
    };
}

impl Event {
    /// Its type.
    pub(crate) const fn event_type(&self) -> EventType {
        match self.detail {
            Detail::ProcessExec(_) => EventType::ProcessExec,
            Detail::ProcessExit(_) => EventType::ProcessExit,
            Detail::OomKill(_) => EventType::OomKill,
            Detail::ContainerStart(_) => EventType::ContainerStart,
            Detail::ContainerStop(_) => EventType::ContainerStop,
            Detail::TcpConnect(_) => EventType::TcpConnect,
            Detail::TcpAccept(_) => EventType::TcpAccept,
            Detail::TcpConnectFailure(_) => EventType::TcpConnectFailure,
            Detail::TcpRetransmit(_) => EventType::TcpRetransmit,
            Detail::TcpReset(_) => EventType::TcpReset,
            Detail::TcpClose(_) => EventType::TcpClose,
            Detail::TcpConnectPending(_) => EventType::TcpConnectPending,
            Detail::ContainerReady(_) => EventType::ContainerReady,
            Detail::ContainerCrashLoop(_) => EventType::ContainerCrashLoop,
        }
    }

    /// The connection that it is about, if it is about one.
    pub(crate) const fn tcp(&self) -> Option<&Tcp> {
        connection!(&self.detail)
    }

    /// The same, to be added to.
    pub(crate) const fn tcp_mut(&mut self) -> Option<&mut Tcp> {
        connection!(&mut self.detail)
    }

    /// It tells of something that went wrong.
    pub(crate) fn is_failure(&self) -> bool {
        match &self.detail {
            Detail::OomKill(_)
            | Detail::ContainerCrashLoop(_)
            | Detail::TcpConnectFailure(_)
            | Detail::TcpConnectPending(_)
            | Detail::TcpRetransmit(_)
            | Detail::TcpReset(_) => true,
            Detail::ProcessExit(exit) => exit.ending.is_failure(),
            Detail::ContainerStop(stop) => stop.is_failure(),
            Detail::TcpClose(close) => close.errno != 0,
            Detail::ProcessExec(_)
            | Detail::ContainerStart(_)
            | Detail::ContainerReady(_)
            | Detail::TcpConnect(_)
            | Detail::TcpAccept(_) => false,
        }
    }
}
