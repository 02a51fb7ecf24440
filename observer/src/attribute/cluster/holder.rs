//! Who has addresses in the cluster, and as what.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crate::event::{Owner, Place, Workload, WorkloadId, WorkloadKind};
use crate::inventory::cluster::Body;

/// What an address is used as: the same one may be a node's and, with a port, a service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Pod,
    /// A node's, whose port leads to a pod.
    HostPort,
    Service,
    Endpoint,
    Node,
}

/// An address, with the port that it counts for; 0 for all of them.
pub(super) type Key = (Role, IpAddr, u16);

/// Who has addresses.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) uid: Arc<str>,
    pub(super) id: WorkloadId,
    /// The node of a pod; itself for all others.
    pub(super) place: Arc<Place>,
    pub(super) pod: Option<FarPod>,
}

/// A pod of another node.
#[derive(Debug)]
pub(super) struct FarPod {
    pub(super) namespace: Arc<str>,
    pub(super) name: Box<str>,
    pub(super) owner: Option<Arc<Owner>>,
    /// Made when somebody talks to it.
    pub(super) workload: OnceLock<Arc<Workload>>,
}

impl Holder {
    /// The pod as a peer.
    pub(super) fn workload(&self) -> Option<Arc<Workload>> {
        let pod = self.pod.as_ref()?;
        let workload = pod.workload.get_or_init(|| {
            Arc::new(Workload {
                namespace: pod.namespace.to_string(),
                pod: pod.name.to_string(),
                pod_uid: self.uid.to_string(),
                owner: pod.owner.clone(),
                ..Workload::unknown(self.id, WorkloadKind::Pod, 0)
            })
        });
        Some(Arc::clone(workload))
    }
}

/// The addresses of an object, each once.
pub(super) fn keys(body: &Body) -> Box<[Key]> {
    let mut keys: Vec<Key> = match body {
        Body::Pod(pod) if pod.ended => Vec::new(),
        Body::Pod(pod) => {
            let own = pod.addresses.iter().map(|address| (Role::Pod, *address, 0));
            own.chain(pod.host_ends.iter().map(|(address, port)| (Role::HostPort, *address, *port))).collect()
        }
        Body::Service { ends, .. } => {
            ends.iter().map(|(address, port)| (Role::Service, *address, *port)).collect()
        }
        Body::Endpoints { ends, .. } => {
            ends.iter().map(|(address, port)| (Role::Endpoint, *address, *port)).collect()
        }
        Body::Node { addresses, .. } => addresses.iter().map(|address| (Role::Node, *address, 0)).collect(),
    };
    keys.sort_unstable_by_key(|(_, address, port)| (*address, *port));
    keys.dedup();
    keys.into()
}
