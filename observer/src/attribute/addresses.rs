//! Whose an address was at a moment.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};

use super::cluster::Cluster;
use crate::event::{BootTime, Peer, PeerKind, Workload, WorkloadKind};

/// How long a pod that is gone keeps its address for events that are told late: 15 minutes.
const KEPT_NS: u64 = 15 * 60 * 1_000_000_000;

/// An address, or one of this node's with a port that leads to a pod; 0 for all of them.
type End = (IpAddr, u16);

/// A pod of this node had an address for a while.
struct Lease {
    pod: Arc<Workload>,
    /// Empty where only the cluster told of it, and no runtime.
    sandbox_id: String,
    from: BootTime,
    until: Option<BootTime>,
}

/// The addresses of this node and its pods, and those of the cluster.
pub(super) struct Addresses {
    host: HashSet<IpAddr>,
    leases: HashMap<End, Vec<Lease>>,
    pub(super) cluster: Cluster,
}

/// Who has which addresses.
#[derive(Debug)]
pub(crate) struct Owned {
    host: Vec<IpAddr>,
    /// By UID.
    pods: HashMap<String, Vec<IpAddr>>,
}

impl Owned {
    /// Those of a pod, of which each of its containers is reached, or the host's.
    pub(crate) fn of(&self, workload: &Workload) -> Vec<IpAddr> {
        match workload.kind {
            WorkloadKind::Pod => self.pods.get(&workload.pod_uid).cloned().unwrap_or_default(),
            WorkloadKind::Host => self.host.clone(),
            WorkloadKind::Container | WorkloadKind::Unit => Vec::new(),
        }
    }
}

impl Addresses {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { host: HashSet::new(), leases: HashMap::new(), cluster }
    }

    /// This node's own addresses, all of them.
    pub(super) fn set_host(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.host = addresses.into_iter().collect();
    }

    /// A pod has an address since `from`. Whoever had it before had it until then.
    pub(super) fn lease(&mut self, address: IpAddr, sandbox_id: &str, pod: &Arc<Workload>, from: BootTime) {
        self.lease_end((address, 0), sandbox_id, pod, from);
    }

    fn lease_end(&mut self, end: End, sandbox_id: &str, pod: &Arc<Workload>, from: BootTime) {
        let leases = self.leases.entry(end).or_default();
        // The cluster may have told of it before its runtime did.
        let is_same = |lease: &&mut Lease| {
            let told = lease.sandbox_id.is_empty() && lease.until.is_none();
            lease.sandbox_id == sandbox_id || (told && lease.pod.pod_uid == pod.pod_uid)
        };
        // If only the cluster tells of it, whether the pod has it already was looked up.
        let known = leases.iter_mut().find(is_same).filter(|_| !sandbox_id.is_empty());
        if let Some(known) = known {
            known.pod = Arc::clone(pod);
            sandbox_id.clone_into(&mut known.sandbox_id);
            return;
        }
        for former in leases.iter_mut().filter(|lease| lease.until.is_none()) {
            former.until = Some(from);
        }
        leases.push(Lease { pod: Arc::clone(pod), sandbox_id: sandbox_id.to_owned(), from, until: None });
    }

    /// The cluster says that a pod of this node has these addresses, since `from`, and no others; those with a port are
    /// the node's own, of which an unspecified one stands for all. What its runtime says of one of them is nearer to the
    /// truth, and stays.
    pub(super) fn told(&mut self, pod: &Arc<Workload>, ends: &[End], from: BootTime, now: BootTime) {
        for (end, leases) in &mut self.leases {
            for lease in leases.iter_mut().filter(|lease| lease.pod.pod_uid == pod.pod_uid) {
                lease.pod = Arc::clone(pod);
                if lease.sandbox_id.is_empty() && lease.until.is_none() && !ends.contains(end) {
                    lease.until = Some(now);
                }
            }
        }
        for end in ends {
            let leases = self.leases.get(end).map_or(&[][..], Vec::as_slice);
            let is_known = |lease: &Lease| {
                lease.pod.pod_uid == pod.pod_uid && (lease.until.is_none() || !lease.sandbox_id.is_empty())
            };
            if !leases.iter().any(is_known) {
                self.lease_end(*end, "", pod, from);
            }
        }
    }

    /// A pod's sandbox is gone: its addresses are no longer its own.
    pub(super) fn release(&mut self, sandbox_id: &str, at: BootTime) {
        for lease in self.leases.values_mut().flatten() {
            if lease.sandbox_id == sandbox_id && lease.until.is_none() {
                lease.until = Some(at);
            }
        }
    }

    /// Forgets leases that ended long ago.
    pub(super) fn expire(&mut self, now: BootTime) {
        self.leases.retain(|_, leases| {
            leases.retain(|lease| lease.until.is_none_or(|until| now.since_ns(until) < KEPT_NS));
            !leases.is_empty()
        });
        self.cluster.expire(now);
    }

    /// How many leases there are.
    pub(super) fn len(&self) -> usize {
        self.leases.values().map(Vec::len).sum()
    }

    /// The pod of this node that had an address at `time`.
    pub(super) fn own_pod(&self, address: IpAddr, time: BootTime) -> Option<Arc<Workload>> {
        self.leaser((address, 0), time)
    }

    fn leaser(&self, end: End, time: BootTime) -> Option<Arc<Workload>> {
        let leases = self.leases.get(&end)?;
        let had = |lease: &&Lease| lease.from <= time && lease.until.is_none_or(|until| time < until);
        leases.iter().rev().find(had).map(|lease| Arc::clone(&lease.pod))
    }

    /// Whose `remote` was at `time`, seen from `local`. Only who is `asked` for a connection has its own port.
    pub(super) fn peer(&self, local: IpAddr, remote: SocketAddr, asked: bool, time: BootTime) -> Peer {
        let (address, port) = (remote.ip(), remote.port());
        if address.is_loopback() {
            return Peer::of(PeerKind::Loopback);
        }
        if let Some(pod) = self.own_pod(address, time) {
            return Peer { workload: Some(pod), ..Peer::of(PeerKind::Pod) };
        }
        if let Some(peer) = self.through_node(address, port, time).filter(|_| asked) {
            return peer;
        }
        if local == address {
            return Peer::of(PeerKind::Host);
        }
        if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()) {
            return Peer::of(PeerKind::Unknown);
        }
        let service = || self.cluster.service(address, port, time).filter(|_| asked);
        if let Some(peer) = self.cluster.pod(address, time).or_else(service) {
            return peer;
        }
        let node = self.cluster.node(address, time);
        let kind = match &node {
            _ if self.host.contains(&address) => PeerKind::Host,
            Some(_) => PeerKind::Node,
            None => PeerKind::Outside,
        };
        let endpoint = self.cluster.endpoint(address, port, time).filter(|_| asked);
        // A node's place is of interest where it is another one's.
        Peer { place: endpoint.or(node.filter(|_| kind == PeerKind::Node)), ..Peer::of(kind) }
    }

    /// What each pod of this node has at that time, by its UID, and what the node has; sorted.
    pub(super) fn owned(&self, time: BootTime) -> Owned {
        let mut owned = Owned { host: self.host.iter().copied().collect(), pods: HashMap::new() };
        for &(address, port) in self.leases.keys() {
            if let Some(pod) = self.own_pod(address, time).filter(|_| port == 0) {
                owned.pods.entry(pod.pod_uid.clone()).or_default().push(address);
            }
        }
        owned.pods.values_mut().chain([&mut owned.host]).for_each(|addresses| addresses.sort_unstable());
        owned
    }

    /// The address is this node's own.
    pub(super) fn is_host(&self, address: IpAddr) -> bool {
        self.host.contains(&address)
    }

    /// To whom a node's port leads: to a pod, if it is that one's alone, or to a service.
    fn through_node(&self, address: IpAddr, port: u16, time: BootTime) -> Option<Peer> {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        if self.is_host(address) {
            let pod = self.leaser((address, port), time).or_else(|| self.leaser((any, port), time));
            let pod = pod.map(|pod| Peer { workload: Some(pod), ..Peer::of(PeerKind::Pod) });
            return pod.or_else(|| self.cluster.node_port(port, time));
        }
        let is_node = || self.cluster.node(address, time).is_some();
        let service = || self.cluster.node_port(port, time).filter(|_| is_node());
        self.cluster.host_port(address, port, time).or_else(service)
    }
}
