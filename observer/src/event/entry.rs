//! Workloads as they are listed.

use std::net::IpAddr;
use std::sync::Arc;

use super::{BootTime, ContainerEnd, Workload};

/// A workload and what it is doing.
#[derive(Clone, Debug)]
pub(crate) struct WorkloadEntry {
    pub(crate) workload: Arc<Workload>,
    pub(crate) live_connections: u64,
    /// Since the daemon started.
    pub(crate) execs: u64,
    /// Since the daemon started.
    pub(crate) connections_opened: u64,
    /// Below the mount point of the hierarchy; empty where it is not known.
    pub(crate) cgroup_path: String,
    /// For a container, when its cgroup was made.
    pub(crate) first_seen: BootTime,
    /// Earlier runs of the container that were seen.
    pub(crate) restarts_seen: u32,
    /// It has ended, and no run after it has begun.
    pub(crate) has_ended: bool,
    /// The container ends with failure again and again.
    pub(crate) crash_loop: bool,
    /// How it ended or, while it runs, how the run before did.
    pub(crate) last_end: Option<ContainerEnd>,
    /// Where it is reached: a pod's own addresses, and the host's.
    pub(crate) addresses: Vec<IpAddr>,
    /// From the container's start to its first listening socket, in nanoseconds.
    pub(crate) ready_after_ns: Option<u64>,
}
