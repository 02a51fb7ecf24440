//! What was lost: something that happened and that nobody saw.

use super::BootTime;

/// Where it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum LossSource {
    /// A ring buffer had no room.
    Ring,
    /// A record could not be understood.
    Decode,
    /// A table of the daemon was full.
    Table,
    /// One subscriber did not keep up; only its own updates are missing.
    Subscriber,
    /// A map in the kernel was full.
    KernelMap,
    /// The kernel left a probe out: it interrupted itself on that CPU.
    Probe,
    /// A network namespace was not searched for older connections.
    Netns,
}

/// So many of one kind were lost at one place between two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) source: LossSource,
    /// The record's kind or the table's name.
    pub(crate) kind: &'static str,
    /// The CPU, for a ring.
    pub(crate) cpu: Option<u32>,
    pub(crate) count: u64,
    pub(crate) since: BootTime,
    pub(crate) until: BootTime,
}
