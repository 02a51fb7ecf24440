//! Who: workloads (containers, units, the host) and the peers of their connections.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

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
    /// What made the pod in the end; `None` without one, or where nobody told.
    pub(crate) owner: Option<Arc<Owner>>,
    /// How it is told, once somebody has put that into bytes.
    pub(crate) told: Memo,
}

/// What is worked out once of a value that does not change, by whoever needs it first. It is no part of that value: all are
/// equal, and a clone, which may be changed, has an empty one.
#[derive(Default)]
pub(crate) struct Memo(OnceLock<Bytes>);

impl Memo {
    /// What it holds, which `make` makes where it holds nothing yet.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> Bytes) -> Bytes {
        self.0.get_or_init(make).clone()
    }
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Memo {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Memo {}

impl fmt::Debug for Memo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.get().is_some() { "(made)" } else { "(empty)" })
    }
}

/// What made a pod: a Deployment, a `CronJob` and the like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    /// As the Kubernetes API writes it, such as `Deployment`.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
}

impl Workload {
    /// One that nothing is known of yet.
    pub(crate) const fn unknown(id: WorkloadId, kind: WorkloadKind, cgroup_id: u64) -> Self {
        Self {
            id,
            kind,
            namespace: String::new(),
            pod: String::new(),
            pod_uid: String::new(),
            container: String::new(),
            container_id: String::new(),
            unit: String::new(),
            labels: BTreeMap::new(),
            image: String::new(),
            restart_count: None,
            cgroup_id,
            sandbox: false,
            owner: None,
            told: Memo(OnceLock::new()),
        }
    }

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
    /// A pod of another node.
    FarPod,
    /// A service of the cluster, by an address of its own.
    Service,
    /// Another node, by one of its own addresses.
    Node,
    /// This node, by one of its own addresses.
    Host,
    /// The same network namespace, by loopback.
    Loopback,
    /// Somewhere else.
    Outside,
    /// Who has a link-local address on which link is not known.
    Unknown,
    /// Several others, counted together.
    Many,
}

impl PeerKind {
    /// What is sent to its address may go to somebody else.
    pub(crate) const fn may_be_translated(self) -> bool {
        match self {
            Self::Service | Self::Outside => true,
            Self::Pod
            | Self::FarPod
            | Self::Node
            | Self::Host
            | Self::Loopback
            | Self::Unknown
            | Self::Many => false,
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
    /// What the cluster says of it beside that.
    pub(crate) place: Option<Arc<Place>>,
    /// The name that its workload had looked up for an outside address before the connection was made.
    pub(crate) dns_name: Option<Arc<str>>,
}

impl Peer {
    /// One that nothing more is known of.
    pub(crate) const fn of(kind: PeerKind) -> Self {
        Self { kind, workload: None, place: None, dns_name: None }
    }

    /// What tells it from others that have, or had, the same address.
    pub(crate) fn id(&self) -> Option<WorkloadId> {
        let workload = self.workload.as_ref().map(|workload| workload.id);
        workload.or_else(|| self.place.as_ref().map(|place| place.id))
    }
}

/// Where something is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which service or node; never used again for another.
    pub(crate) id: WorkloadId,
    /// The service that it is, or stands behind, as `namespace/name`; empty without one.
    pub(crate) service: String,
    /// The node that it is, or runs on; empty where that is not known.
    pub(crate) node_name: String,
}
