//! Whose the cluster's addresses are and were: pods of other nodes, services and what stands behind them, nodes.
//!
//! Compact: what a peer looks like in events is made only when somebody talks to it.

mod holder;
mod tenures;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

use foldhash::{HashMap, HashMapExt as _};

use foldhash::{HashSet, HashSetExt as _};

use self::holder::{FarPod, Holder, Key, Role, keys};
use self::tenures::{Claim, Tenures};
use crate::event::{BootTime, Now, Owner, Peer, PeerKind, Place, WallTime, WorkloadId};
use crate::inventory::cluster::{Body, ClusterPod, Object, Resource};

/// The first id of what the cluster tells: far above those of this node's own workloads.
const FIRST_ID: u64 = 1 << 63;

/// Shared texts that are kept whether somebody has them or not.
const LEAST_TEXTS: usize = 1024;

/// One object of the API.
struct Entry {
    resource: Resource,
    /// The list that it was in, or that it came after.
    list: u32,
    holder: Arc<Holder>,
    keys: Box<[Key]>,
}

/// The store.
pub(super) struct Cluster {
    objects: HashMap<Arc<str>, Entry>,
    tenures: Tenures,
    /// The number of each resource's latest list.
    lists: [u32; Resource::ALL.len()],
    /// Texts that many have in common.
    texts: HashSet<Arc<str>>,
    owners: HashSet<Arc<Owner>>,
    nodes: HashMap<Arc<str>, Arc<Place>>,
    next: u64,
    /// So many shared texts there may be before those are forgotten that nobody has.
    most_texts: usize,
    capacity: usize,
    overflow: u64,
}

impl Cluster {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            objects: HashMap::new(),
            tenures: Tenures::new(capacity),
            lists: [0; Resource::ALL.len()],
            texts: HashSet::new(),
            owners: HashSet::new(),
            nodes: HashMap::new(),
            next: FIRST_ID,
            most_texts: LEAST_TEXTS,
            capacity,
            overflow: 0,
        }
    }

    /// A list of that resource begins.
    pub(super) fn listing(&mut self, resource: Resource) {
        self.lists[resource as usize] += 1;
    }

    /// Something is there, as it is now.
    pub(super) fn has(&mut self, resource: Resource, object: Object, now: Now) {
        let Object { uid, created, body } = object;
        let keys = keys(&body);
        let list = self.lists[resource as usize];
        let networked = if let Body::Pod(pod) = &body { pod.networked } else { None };
        let boot = |time: WallTime| boot_time(time, now);
        // A service, endpoint or node has what it is told with from then on; a pod has its address some time after it
        // was made.
        let claim = match &body {
            Body::Pod(_) => {
                Claim { not_before: created.map(boot), since: networked.map(boot), now: now.boot }
            }
            Body::Service { .. } | Body::Endpoints { .. } | Body::Node { .. } => {
                Claim { not_before: created.map(boot), since: created.map(boot), now: now.boot }
            }
        };
        if let Some(entry) = self.objects.get_mut(uid.as_str()) {
            entry.list = list;
            let before = std::mem::replace(&mut entry.keys, keys.clone());
            let holder = Arc::clone(&entry.holder);
            for key in before.iter().filter(|key| !keys.contains(key)) {
                self.tenures.release(*key, &holder, now.boot);
            }
            // What it has got later it has since now at the latest, and not since it was made.
            let later = Claim { not_before: None, since: None, ..claim };
            for key in keys.iter().filter(|key| !before.contains(key)) {
                let claim = if before.is_empty() { claim } else { later };
                self.tenures.claim(*key, &holder, claim);
            }
            return;
        }
        if keys.is_empty() {
            return;
        }
        if self.objects.len() >= self.capacity {
            self.overflow += 1;
            return;
        }
        let holder = Arc::new(self.holder(&uid, body));
        for key in &keys {
            self.tenures.claim(*key, &holder, claim);
        }
        self.objects.insert(Arc::clone(&holder.uid), Entry { resource, list, holder, keys });
    }

    /// Something is gone.
    pub(super) fn gone(&mut self, uid: &str, now: BootTime) {
        let Some(entry) = self.objects.remove(uid) else { return };
        for key in &entry.keys {
            self.tenures.release(*key, &entry.holder, now);
        }
        if self.shared_texts() > self.most_texts {
            self.forget_unused();
        }
    }

    /// A list of that resource is complete: what it did not name is gone.
    pub(super) fn listed(&mut self, resource: Resource, now: BootTime) {
        let list = self.lists[resource as usize];
        let is_gone = |entry: &Entry| entry.resource == resource && entry.list != list;
        let gone = self.objects.values().filter(|entry| is_gone(entry));
        let gone: Vec<Arc<str>> = gone.map(|entry| Arc::clone(&entry.holder.uid)).collect();
        for uid in gone {
            self.gone(&uid, now);
        }
        self.objects.shrink_to_fit();
        self.tenures.shrink();
        self.forget_unused();
    }

    /// Forgets what ended long ago.
    pub(super) fn expire(&mut self, now: BootTime) {
        self.tenures.expire(now);
    }

    /// How many objects there are, and how many there may be.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.objects.len(), self.capacity)
    }

    /// What found no room since the last call.
    pub(super) fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow) + self.tenures.take_overflow()
    }

    /// The pod of another node that had an address.
    pub(super) fn pod(&self, address: IpAddr, time: BootTime) -> Option<Peer> {
        self.far_pod((Role::Pod, address.to_canonical(), 0), time)
    }

    /// The pod of another node to which a port of that node led.
    pub(super) fn host_port(&self, address: IpAddr, port: u16, time: BootTime) -> Option<Peer> {
        self.far_pod((Role::HostPort, address.to_canonical(), port), time)
    }

    fn far_pod(&self, key: Key, time: BootTime) -> Option<Peer> {
        let holder = self.tenures.holder(key, time)?;
        let workload = holder.workload();
        Some(Peer { workload, place: Some(Arc::clone(&holder.place)), ..Peer::of(PeerKind::FarPod) })
    }

    /// The service to which a port of every node led.
    pub(super) fn node_port(&self, port: u16, time: BootTime) -> Option<Peer> {
        self.service(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port, time)
    }

    /// The service that had an address and port.
    pub(super) fn service(&self, address: IpAddr, port: u16, time: BootTime) -> Option<Peer> {
        let at = |port| self.tenures.holder((Role::Service, address.to_canonical(), port), time);
        let place = Arc::clone(&at(0).or_else(|| at(port))?.place);
        Some(Peer { place: Some(place), ..Peer::of(PeerKind::Service) })
    }

    /// The service behind which an address and port stood that is no pod's.
    pub(super) fn endpoint(&self, address: IpAddr, port: u16, time: BootTime) -> Option<Arc<Place>> {
        let holder = self.tenures.holder((Role::Endpoint, address.to_canonical(), port), time)?;
        Some(Arc::clone(&holder.place))
    }

    /// The node that had an address.
    pub(super) fn node(&self, address: IpAddr, time: BootTime) -> Option<Arc<Place>> {
        let holder = self.tenures.holder((Role::Node, address.to_canonical(), 0), time)?;
        Some(Arc::clone(&holder.place))
    }

    fn holder(&mut self, uid: &str, body: Body) -> Holder {
        let id = self.fresh_id();
        let uid: Arc<str> = uid.into();
        let of = |service: String, node_name: String| Arc::new(Place { id, service, node_name });
        let (place, pod) = match body {
            Body::Pod(pod) => {
                let ClusterPod { namespace, name, node_name, owner, .. } = *pod;
                let pod = FarPod {
                    namespace: self.text(&namespace),
                    name: name.into(),
                    owner: owner.map(|owner| self.shared_owner(owner)),
                    workload: OnceLock::new(),
                };
                (self.node_place(&node_name), Some(pod))
            }
            Body::Service { namespace, name: service, ends: _ }
            | Body::Endpoints { namespace, service, ends: _ } => {
                (of(format!("{namespace}/{service}"), String::new()), None)
            }
            Body::Node { name, addresses: _ } => (of(String::new(), name), None),
        };
        Holder { uid, id, place, pod }
    }

    fn fresh_id(&mut self) -> WorkloadId {
        self.next += 1;
        WorkloadId(self.next)
    }

    /// One text for all that have the same.
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&shared));
        shared
    }

    fn shared_owner(&mut self, owner: Owner) -> Arc<Owner> {
        if let Some(known) = self.owners.get(&owner) {
            return Arc::clone(known);
        }
        let shared = Arc::new(owner);
        self.owners.insert(Arc::clone(&shared));
        shared
    }

    fn node_place(&mut self, node_name: &str) -> Arc<Place> {
        if let Some(known) = self.nodes.get(node_name) {
            return Arc::clone(known);
        }
        let place =
            Arc::new(Place { id: self.fresh_id(), service: String::new(), node_name: node_name.to_owned() });
        self.nodes.insert(node_name.into(), Arc::clone(&place));
        place
    }

    /// Forgets shared texts that nobody has any more.
    fn forget_unused(&mut self) {
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.owners.retain(|owner| Arc::strong_count(owner) > 1);
        self.nodes.retain(|_, place| Arc::strong_count(place) > 1);
        self.most_texts = LEAST_TEXTS.max(2 * self.shared_texts());
    }

    fn shared_texts(&self) -> usize {
        self.texts.len() + self.owners.len() + self.nodes.len()
    }
}

/// A time of the wall clock on the boot clock; not later than now, whatever another machine's clock says.
pub(super) fn boot_time(time: WallTime, now: Now) -> BootTime {
    BootTime((now.boot.0 + time.0).saturating_sub(now.wall.0).min(now.boot.0))
}
