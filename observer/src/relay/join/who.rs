//! Who is who over all nodes: their machines, and the workloads that have edges there, by number.

use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet};
use observer_proto::v1;

use super::Addresses;
use super::address::crossing;
use super::addresses::Holder;

/// Who it is: the nodes' machines come first, in the nodes' order.
pub(super) type Number = u32;

/// The other side of an edge, as its node tells it: the peer, or who answers for it.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) kind: v1::PeerKind,
    pub(super) workload: Option<&'a v1::Workload>,
    pub(super) address: &'a str,
    pub(super) node_name: &'a str,
}

/// Who has edges, and where. A pod or an address that is told of two nodes is nobody's.
pub(super) struct Directory<'a> {
    nodes: HashMap<&'a str, Number>,
    /// The node of each number.
    node_of: Vec<Number>,
    /// By UID.
    pods: HashMap<&'a str, Option<Number>>,
    /// By namespace and name: the UID that a node gives to a pod of its own files is not the one that the API tells.
    named: HashMap<(&'a str, &'a str), Option<Number>>,
    /// Those of no pod, by node and id.
    containers: HashMap<(Number, &'a str), Number>,
    /// Addresses that nodes say are their own.
    machines: HashMap<IpAddr, Option<Number>>,
    addresses: &'a Addresses,
    /// The machine of who is on its network, for each number; else the number itself.
    spots: Vec<Number>,
}

impl<'a> Directory<'a> {
    /// Of who has these summaries, and of whom they have joined already.
    pub(super) fn of(told: &'a [(Arc<str>, v1::Summary)], addresses: &'a Addresses) -> Self {
        let mut all = Self {
            nodes: HashMap::new(),
            node_of: Vec::new(),
            pods: HashMap::new(),
            named: HashMap::new(),
            containers: HashMap::new(),
            machines: HashMap::new(),
            addresses,
            spots: Vec::new(),
        };
        let far = |summary: &'a v1::Summary| summary.far_end.as_ref();
        for (node, summary) in told {
            all.node(node);
            if let Some(far) = far(summary) {
                all.node(&far.node_name);
            }
        }
        // A workload's edges follow one another.
        let mut before = None;
        for (node, summary) in told {
            let Some(edge) = &summary.edge else { continue };
            let node = all.nodes.get(&**node).copied().unwrap_or_default();
            let owner = summary.workload.as_ref().map(|of| (node, &*of.pod_uid, &*of.container_id));
            if let Some(workload) = &summary.workload
                && std::mem::replace(&mut before, owner) != owner
            {
                all.know(node, workload);
            }
            if let Some(far) = far(summary)
                && let Some(workload) = &far.workload
                && let Some(node) = all.nodes.get(far.node_name.as_str())
            {
                all.know(*node, workload);
            }
            if edge.kind() == v1::PeerKind::Host
                && let Some(address) = crossing(&edge.address)
            {
                one(&mut all.machines, address, node);
            }
        }
        all.place();
        all
    }

    /// A node, which is a machine.
    fn node(&mut self, name: &'a str) {
        let number = self.node_of.len() as Number;
        if let Entry::Vacant(room) = self.nodes.entry(name) {
            room.insert(number);
            self.node_of.push(number);
        }
    }

    /// A workload of that node has edges.
    fn know(&mut self, node: Number, workload: &'a v1::Workload) {
        let next = self.node_of.len() as Number;
        let v1::Workload { pod_uid, namespace, pod, container_id, .. } = workload;
        let number = match workload.kind() {
            v1::WorkloadKind::Pod if !pod_uid.is_empty() => {
                let known = *self.pods.entry(pod_uid).or_insert(Some(next));
                let Some(number) = known else { return };
                if number != next && self.node_of[number as usize] != node {
                    self.pods.insert(pod_uid, None);
                    return;
                }
                if !pod.is_empty() {
                    one(&mut self.named, (namespace, pod), number);
                }
                number
            }
            v1::WorkloadKind::Container if !container_id.is_empty() => {
                *self.containers.entry((node, container_id)).or_insert(next)
            }
            v1::WorkloadKind::Pod
            | v1::WorkloadKind::Container
            | v1::WorkloadKind::Unit
            | v1::WorkloadKind::Host
            | v1::WorkloadKind::Unspecified => return,
        };
        if number == next {
            self.node_of.push(node);
        }
    }

    /// Who is on the network of its machine is there as well. A name of nobody's pod is nobody's.
    fn place(&mut self) {
        let sure: HashSet<Number> = self.pods.values().filter_map(|number| *number).collect();
        for number in self.named.values_mut() {
            *number = number.filter(|number| sure.contains(number));
        }
        self.spots = (0..self.node_of.len() as Number).collect();
        for (node, holder) in self.addresses.on_machine() {
            let Some(node) = self.nodes.get(node) else { continue };
            if let Some(number) = self.held(*node, holder) {
                self.spots[number as usize] = *node;
            }
        }
    }

    /// Whose an edge is.
    pub(super) fn owner(&self, node: &str, workload: &v1::Workload) -> Option<Number> {
        let node = self.nodes.get(node)?;
        match workload.kind() {
            v1::WorkloadKind::Pod => self.pods.get(workload.pod_uid.as_str()).copied().flatten(),
            v1::WorkloadKind::Container => self.containers.get(&(*node, &workload.container_id)).copied(),
            v1::WorkloadKind::Unit | v1::WorkloadKind::Host => Some(*node),
            v1::WorkloadKind::Unspecified => None,
        }
    }

    /// Who the other side of an edge is, where it is on another node.
    pub(super) fn other(&self, node: &str, said: Said<'_>) -> Option<Number> {
        use v1::PeerKind::{Host, Loopback, Many, Node, Outside, Pod, Service, Unspecified};
        let found = match said.kind {
            Host | Loopback | Service | Many => return None,
            Pod | Node | Outside | Unspecified => match said.workload {
                Some(workload) => self.pod(workload),
                None => self.at(said),
            },
        }?;
        let is_at = self.node_of(found);
        let said_to_be = self.nodes.get(said.node_name);
        let elsewhere = said_to_be.is_some_and(|said| *said != is_at);
        (!elsewhere && self.nodes.get(node) != Some(&is_at)).then_some(found)
    }

    /// The pod that peers know by that.
    fn pod(&self, said: &v1::Workload) -> Option<Number> {
        let v1::Workload { pod_uid, namespace, pod, .. } = said;
        let by_uid = self.pods.get(pod_uid.as_str()).filter(|_| !pod_uid.is_empty());
        let by_name = || self.named.get(&(&**namespace, &**pod)).filter(|_| !pod.is_empty());
        by_uid.or_else(by_name).copied().flatten()
    }

    /// Who has that address.
    fn at(&self, said: Said<'_>) -> Option<Number> {
        if said.kind == v1::PeerKind::Node
            && let Some(machine) = self.nodes.get(said.node_name)
        {
            return Some(*machine);
        }
        let address = crossing(said.address)?;
        if let Some(machine) = self.machines.get(&address) {
            return *machine;
        }
        let (node, holder) = self.addresses.holder(address)?;
        self.held(*self.nodes.get(node)?, holder)
    }

    fn held(&self, node: Number, holder: &Holder) -> Option<Number> {
        let found = match holder {
            Holder::Machine => node,
            Holder::Pod(uid) => (*self.pods.get(&**uid)?)?,
            Holder::Container(id) => *self.containers.get(&(node, &**id))?,
        };
        (self.node_of(found) == node).then_some(found)
    }

    /// The node of that one.
    pub(super) fn node_of(&self, number: Number) -> Number {
        self.node_of[number as usize]
    }

    /// It is a machine, and no workload with an address of its own.
    pub(super) fn is_machine(&self, number: Number) -> bool {
        (number as usize) < self.nodes.len()
    }

    /// The machine whose addresses it has, or itself.
    pub(super) fn spot(&self, number: Number) -> Number {
        self.spots[number as usize]
    }
}

/// There may be one; a second one makes it nobody's.
fn one<Key: std::hash::Hash + Eq>(known: &mut HashMap<Key, Option<Number>>, key: Key, number: Number) {
    match known.entry(key) {
        Entry::Vacant(room) => drop(room.insert(Some(number))),
        Entry::Occupied(mut other) if *other.get() != Some(number) => drop(other.insert(None)),
        Entry::Occupied(_) => {}
    }
}
