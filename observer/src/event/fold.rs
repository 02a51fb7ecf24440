//! What a workload did beyond its budget of events: counted exactly, and not told one by one.

use std::sync::Arc;

use super::{BootTime, ProcessSummary, Tcp, TcpSummary, Workload};

/// Something that was only counted, with its owner.
#[derive(Clone, Debug)]
pub(crate) struct Folded {
    /// Whose it is; `None` only where the kernel knew no owner.
    pub(crate) workload: Option<Arc<Workload>>,
    /// What it adds to the figures.
    pub(crate) figures: FoldedFigures,
    /// For how many records it stands, by the records' kinds.
    pub(crate) counts: Vec<(&'static str, u64)>,
}

/// What adds to a workload's figures.
#[derive(Clone, Debug)]
pub(crate) enum FoldedFigures {
    /// Sockets of one edge; its [`Tcp`] stands for all of them, and names no connection.
    Tcp(Box<(Tcp, TcpSummary)>),
    /// Processes.
    Processes(ProcessSummary),
    /// Nothing that figures have.
    None,
}

/// What of one workload was only counted between two moments, as it is told.
#[derive(Clone, Debug)]
pub(crate) struct FoldNotice {
    /// Whose it is; `None` only where the kernel knew no owner.
    pub(crate) workload: Option<Arc<Workload>>,
    /// How many of each kind of record.
    pub(crate) counts: Vec<(&'static str, u64)>,
    /// Records of one kind that a workload may have told one by one, a second.
    pub(crate) budget: u32,
    pub(crate) since: BootTime,
    pub(crate) until: BootTime,
}
