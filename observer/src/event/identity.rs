//! Who: workloads (containers, units, the host) and the peers of their connections.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Names one workload during this run of the daemon; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WorkloadId(pub(crate) u64);

/// The kinds of workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum WorkloadKind {
    /// A container of a pod, or (with no container) a pod as a peer.
    Pod,
    /// A container that belongs to no pod.
    Container,
    /// A systemd unit.
    Unit,
    /// The machine itself.
    Host,
}

/// The owner of a process or a socket. Made anew, with the same id, when more becomes known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    /// Which one.
    pub(crate) id: WorkloadId,
    /// What it is.
    pub(crate) kind: WorkloadKind,
    /// The pod's namespace; empty without a pod or while it is not known.
    pub(crate) namespace: String,
    /// The pod's name; empty without a pod or while it is not known.
    pub(crate) pod: String,
    /// The pod's UID; empty without a pod.
    pub(crate) pod_uid: String,
    /// The container's name; empty while it is not known.
    pub(crate) container: String,
    /// The container's full id; empty without a container.
    pub(crate) container_id: String,
    /// The systemd unit's name, for `WorkloadKind::Unit`.
    pub(crate) unit: String,
    /// The pod's labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// The image as the runtime names it.
    pub(crate) image: String,
    /// Restarts before this run of the container.
    pub(crate) restart_count: Option<u32>,
    /// The cgroup (version 2) that it is known by; 0 for a pod known by its address alone.
    pub(crate) cgroup_id: u64,
    /// The pod's own container, which holds its namespaces.
    pub(crate) sandbox: bool,
}

impl Workload {
    /// The name in one word: the pod's, the container's or its short id, the unit's, or `host`.
    pub(crate) fn name(&self) -> &str {
        match self.kind {
            WorkloadKind::Host => "host",
            WorkloadKind::Unit => &self.unit,
            WorkloadKind::Pod | WorkloadKind::Container => {
                if !self.pod.is_empty() {
                    &self.pod
                } else if !self.container.is_empty() {
                    &self.container
                } else {
                    self.container_id.get(..12).unwrap_or(&self.container_id)
                }
            }
        }
    }
}

/// What the remote end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PeerKind {
    /// A pod of this node.
    Pod,
    /// This node, by one of its own addresses.
    Host,
    /// The same network namespace, by loopback.
    Loopback,
    /// Somewhere else.
    Outside,
    /// Who has a link-local address on which link is not known.
    Unknown,
}

impl PeerKind {
    /// What is sent to its address may go to somebody else.
    pub(crate) const fn may_be_translated(self) -> bool {
        match self {
            Self::Outside => true,
            Self::Pod | Self::Host | Self::Loopback | Self::Unknown => false,
        }
    }
}

/// Whose the remote end of a connection is.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// What it is.
    pub(crate) kind: PeerKind,
    /// Its workload, where this node knows it.
    pub(crate) workload: Option<Arc<Workload>>,
}
