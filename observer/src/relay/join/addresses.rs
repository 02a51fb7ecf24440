//! Whose addresses are, as workloads tell.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use itertools::Itertools as _;
use observer_proto::v1;

use super::address::crossing;

/// Whose an address of a node is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Holder {
    /// The machine's: units and whatever shares their network have it.
    Machine,
    /// That pod's, by its UID.
    Pod(Box<str>),
    /// That container's, by its id; it is of no pod.
    Container(Box<str>),
}

impl Holder {
    fn of(workload: &v1::Workload) -> Option<Self> {
        let v1::Workload { pod_uid, container_id, .. } = workload;
        match workload.kind() {
            v1::WorkloadKind::Unit | v1::WorkloadKind::Host => Some(Self::Machine),
            v1::WorkloadKind::Pod => (!pod_uid.is_empty()).then(|| Self::Pod(pod_uid.as_str().into())),
            v1::WorkloadKind::Container => {
                (!container_id.is_empty()).then(|| Self::Container(container_id.as_str().into()))
            }
            v1::WorkloadKind::Unspecified => None,
        }
    }
}

/// Whose the nodes' addresses are. Where no Kubernetes API tells daemons who has the other nodes' addresses, edges can be
/// joined by this alone; where it does, it says which pods are on their machine's network.
///
/// An address that workloads of two nodes have is nobody's, and so is one that two pods of a node have, unless it is the
/// machine's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    held: HashMap<IpAddr, (Arc<str>, Holder)>,
    on_machine: HashSet<(Arc<str>, Holder)>,
}

impl Addresses {
    /// As those workloads tell, each of its node.
    pub(crate) fn of<'a>(
        workloads: impl IntoIterator<Item = (&'a Arc<str>, &'a v1::WorkloadStatus)>,
    ) -> Self {
        let mut told: Vec<(IpAddr, Arc<str>, Holder)> = Vec::new();
        for (node, v1::WorkloadStatus { workload, addresses, .. }) in workloads {
            let Some(holder) = workload.as_ref().and_then(Holder::of) else { continue };
            let crossing = addresses.iter().filter_map(|address| crossing(address));
            told.extend(crossing.map(|address| (address, Arc::clone(node), holder.clone())));
        }
        told.sort_unstable();
        told.dedup();
        let mut addresses = Self { held: HashMap::with_capacity(told.len()), on_machine: HashSet::new() };
        for (address, holders) in &told.into_iter().chunk_by(|(address, ..)| *address) {
            addresses.add(address, holders.map(|(_, node, holder)| (node, holder)).collect());
        }
        addresses
    }

    /// That address is theirs, who are sorted: of each node the machine first.
    fn add(&mut self, address: IpAddr, mut holders: Vec<(Arc<str>, Holder)>) {
        if holders.iter().any(|(node, _)| *node != holders[0].0) {
            return;
        }
        if holders[0].1 == Holder::Machine {
            self.held.insert(address, holders.swap_remove(0));
            self.on_machine.extend(holders);
        } else if let [holder] = &holders[..] {
            self.held.insert(address, holder.clone());
        }
    }

    /// Who has that address, and on which node.
    pub(super) fn holder(&self, address: IpAddr) -> Option<(&str, &Holder)> {
        self.held.get(&address).map(|(node, holder)| (&**node, holder))
    }

    /// Who is on the network of their machine, and is not the machine itself.
    pub(super) fn on_machine(&self) -> impl Iterator<Item = (&str, &Holder)> {
        self.on_machine.iter().map(|(node, holder)| (&**node, holder))
    }
}
