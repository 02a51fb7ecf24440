//! Debugging sessions as the event loop tells of them: what is watched, what it costs, how it ends.

use std::sync::Arc;

use crate::event::{BootTime, EventType, Workload};

/// A session's name, unique in one run of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionId(pub(crate) u64);

/// What a session can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Responses,
    PacketDrops,
    Signals,
    OpenFailures,
}

impl Part {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Responses, Self::PacketDrops, Self::Signals, Self::OpenFailures];
}

/// Whether a part is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartState {
    pub(crate) part: Part,
    /// What is attached for it; or why it is not seen, and what would help.
    pub(crate) hooks: Result<Vec<String>, (String, String)>,
}

/// A session, as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) parts: Vec<PartState>,
    pub(crate) workloads: Vec<Arc<Workload>>,
    pub(crate) start: BootTime,
    pub(crate) end: BootTime,
    /// The share of one processor that it may cost.
    pub(crate) max_cpu_share: f64,
    /// What of some containers cannot be seen.
    pub(crate) notes: Vec<String>,
}

/// What a session has seen so far, and what it costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Statistics {
    pub(crate) elapsed_ns: u64,
    /// By the type of event.
    pub(crate) events: Vec<(EventType, u64)>,
    pub(crate) folded: u64,
    pub(crate) lost: u64,
    /// Of one processor, of late.
    pub(crate) cpu_share: f64,
    pub(crate) cpu_time_ns: u64,
    pub(crate) runs: u64,
    pub(crate) other_runs: u64,
    pub(crate) measured_by_kernel: bool,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum EndReason {
    /// Its time was over.
    TimeLimit {
        /// How long that was.
        after_ns: u64,
    },
    /// It cost more than it may.
    CostLimit {
        /// What it cost.
        share: f64,
        /// What it might.
        most: f64,
    },
    /// The daemon stops.
    Stopping,
    /// The client is gone.
    ClientGone,
}

/// What the event loop tells a session's stream, beside events.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// As it stands now.
    Session(Box<Session>),
    /// What it has seen so far.
    Statistics(Box<Statistics>),
    /// It has ended, and why.
    Ended(EndReason, Box<Statistics>),
}

/// Why a session is not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// As many as there may be.
    #[error(
        "{0} debugging sessions are open already, as many as the daemon allows; end one or try again later"
    )]
    TooManySessions(usize),
    /// Nothing is chosen.
    #[error("no container that is running now matches; `observer workloads` lists them")]
    NothingMatches,
    /// Too much is chosen.
    #[error("{0} containers match, and a session watches {1} at most: choose fewer")]
    TooManyWorkloads(usize, usize),
    /// Nothing that was asked for can be seen.
    #[error("nothing of that can be seen here: {0}")]
    NothingToSee(String),
}

/// A session that is open, for the status: nothing in it is of a workload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SessionState {
    pub(crate) id: SessionId,
    pub(crate) start: BootTime,
    pub(crate) end: BootTime,
    pub(crate) workloads: u32,
    pub(crate) events: u64,
    pub(crate) cpu_share: f64,
    pub(crate) max_cpu_share: f64,
}
