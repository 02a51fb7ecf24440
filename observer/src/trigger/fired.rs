//! What a trigger found.

use std::sync::Arc;

use crate::diagnose::Evidence;
use crate::event::{Backend, BootTime, Edge, Peer, Workload};

/// What opens an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TriggerKind {
    ContainerFailure,
    OomKill,
    CrashLoop,
    ConnectFailures,
    Retransmits,
    Resets,
    Latency,
    Stall,
}

/// How grave something is: the gravest names the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// A client opened it.
    Manual,
    /// Slower than it was.
    Slow,
    /// A way that loses, a peer that resets or does not read.
    Bad,
    /// Connects fail.
    Failing,
    /// A server does not accept: why connects to it fail.
    Stuck,
    /// A container fails again and again, of which more is known by its ends.
    Loop,
    /// A process was killed for memory, which may end its container.
    Killed,
    /// A container ended.
    Ended,
}

/// An edge as it was when a trigger fired.
#[derive(Clone, Debug)]
pub(crate) struct FiredEdge {
    pub(crate) edge: Edge,
    pub(crate) peer: Peer,
    pub(crate) backend: Option<Arc<Backend>>,
}

/// A trigger fired.
#[derive(Clone, Debug)]
pub(crate) struct Fired {
    pub(crate) kind: TriggerKind,
    pub(crate) grade: Grade,
    /// When it happened.
    pub(crate) time: BootTime,
    /// What an incident is called that this is the gravest part of.
    pub(crate) title: String,
    /// Why, with figures.
    pub(crate) reason: String,
    /// Whom it is about.
    pub(crate) workload: Arc<Workload>,
    /// The edge, where it is about one.
    pub(crate) edge: Option<Box<FiredEdge>>,
    /// The figures behind it.
    pub(crate) evidence: Vec<Evidence>,
}
