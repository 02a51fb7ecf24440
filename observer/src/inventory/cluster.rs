//! Facts about the cluster that this node belongs to: who has which address there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::event::{Owner, WallTime};

/// What is listed and followed, each on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Resource {
    /// The pods of this node, in full.
    OwnPods,
    /// The nodes.
    Nodes,
    /// The services.
    Services,
    /// What stands behind services and is no pod.
    EndpointSlices,
    /// The pods of the other nodes: whose their addresses are.
    FarPods,
}

impl Resource {
    /// All of them, in the order in which they are worth most.
    pub(crate) const ALL: [Self; 5] =
        [Self::OwnPods, Self::Nodes, Self::Services, Self::EndpointSlices, Self::FarPods];
}

/// News of the cluster. A list names all that there is, between `Listing` and `Listed`; what it does not name is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClusterFact {
    /// A list begins. One that began before and did not end was broken off.
    Listing(Resource),
    /// These are there, as they are now.
    Has(Resource, Vec<Object>),
    /// The one of this UID is gone.
    Gone(Resource, String),
    /// The list is complete.
    Listed(Resource),
}

/// Something that has addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Names it for good: no other one ever has the same.
    pub(crate) uid: String,
    /// When it was made, to the second, by the API's clock.
    pub(crate) created: Option<WallTime>,
    /// What it is.
    pub(crate) body: Body,
}

/// The kinds of what has addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// A pod.
    Pod(Box<ClusterPod>),
    /// A service, with its addresses and the ports that count there; 0 for all of them. The port of an address that is
    /// unspecified counts on every node.
    Service { namespace: String, name: String, ends: Vec<(IpAddr, u16)> },
    /// What stands behind a service without being a pod: its addresses and ports.
    Endpoints { namespace: String, service: String, ends: Vec<(IpAddr, u16)> },
    /// A node.
    Node { name: String, addresses: Vec<IpAddr> },
}

/// A pod as the API knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClusterPod {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Where it runs.
    pub(crate) node_name: String,
    /// What made it in the end: a Deployment rather than its `ReplicaSet`.
    pub(crate) owner: Option<Owner>,
    /// Its own addresses; none on the host's network.
    pub(crate) addresses: Vec<IpAddr>,
    /// What of its node's addresses and ports leads to it. An address that is unspecified stands for all of them.
    pub(crate) host_ends: Vec<(IpAddr, u16)>,
    /// When it had its network, to the second, where the kubelet says so.
    pub(crate) networked: Option<WallTime>,
    /// It has ended, and its addresses are others' to have.
    pub(crate) ended: bool,
    /// Its labels; of this node's pods only.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its containers that were started; of this node's pods only.
    pub(crate) containers: Vec<ClusterContainer>,
}

/// A container as the API knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterContainer {
    /// The runtime's full id.
    pub(crate) id: String,
    /// The name within the pod.
    pub(crate) name: String,
    /// The image by name.
    pub(crate) image: String,
    /// Restarts before this run of it.
    pub(crate) restarts: u32,
}
