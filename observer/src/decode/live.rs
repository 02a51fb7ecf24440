//! Readings of live sockets.

use super::{Socket, Task};
use crate::event::{BootTime, QueueSample, Sample};

/// A reading of a live socket.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once, and nearly all are the large one")]
pub(crate) enum Reading {
    /// A connection.
    Connection(Sample),
    /// A listener.
    Listener(QueueSample),
}

/// Who a live socket is, for one that no record has told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The cgroup that made it.
    pub(crate) cgroup_id: u64,
    pub(crate) socket: Socket,
    /// The process that asked, listened or holds it.
    pub(crate) task: Option<Task>,
    /// When it began, or was adopted.
    pub(crate) since: BootTime,
    /// It is older than the daemon.
    pub(crate) adopted: bool,
    /// When the other side closed its half while ours stayed open.
    pub(crate) half_closed: Option<BootTime>,
    /// It listens.
    pub(crate) listens: bool,
    /// What a listener had dropped when it was taken over.
    pub(crate) dropped: u32,
}
