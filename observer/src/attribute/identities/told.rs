//! What the Kubernetes API says of this node's pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Identities;
use crate::event::{Owner, Workload, WorkloadId, WorkloadKind};
use crate::inventory::PodFact;
use crate::inventory::cluster::ClusterPod;

/// What the API says of a pod beyond what its runtime does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    owner: Option<Arc<Owner>>,
    labels: BTreeMap<String, String>,
}

/// What came of it.
pub(in crate::attribute) struct Telling {
    /// The pod as a peer.
    pub(in crate::attribute) peer: Arc<Workload>,
    /// The pod and its containers, as far as more became known of them.
    pub(in crate::attribute) renewed: Vec<Arc<Workload>>,
    /// Those of them that have their names now.
    pub(in crate::attribute) named: Vec<WorkloadId>,
}

impl Identities {
    /// The API says this of a pod of this node.
    pub(in crate::attribute) fn tell(&mut self, uid: &str, pod: &ClusterPod) -> Telling {
        let owner = pod.owner.clone().map(Arc::new);
        let told = Told { owner: owner.clone(), labels: pod.labels.clone() };
        if self.told.get(uid) != Some(&told) {
            self.told.insert(uid.to_owned(), told);
        }
        let before = self.pods.get(uid).cloned();
        let peer = self.peer(uid, &pod.namespace, &pod.name, pod.labels.clone(), owner.clone());
        let is_new = before.is_some_and(|before| !Arc::ptr_eq(&before, &peer));
        let mut renewed: Vec<_> = is_new.then(|| Arc::clone(&peer)).into_iter().collect();
        let mut named = Vec::new();
        for entry in self.workloads.values_mut().filter(|entry| entry.workload.pod_uid == uid) {
            let mut workload = Workload {
                namespace: pod.namespace.clone(),
                pod: pod.name.clone(),
                labels: pod.labels.clone(),
                owner: owner.clone(),
                ..(*entry.workload).clone()
            };
            let id = &workload.container_id;
            let container = pod.containers.iter().find(|container| container.id == *id);
            // What the runtime said is newer.
            if let Some(container) = container.filter(|_| workload.container.is_empty() && !workload.sandbox)
            {
                workload.container.clone_from(&container.name);
                workload.image.clone_from(&container.image);
                workload.restart_count = Some(container.restarts);
                entry.settled = true;
                named.push(workload.id);
            }
            if *entry.workload != workload {
                entry.workload = Arc::new(workload);
                renewed.push(Arc::clone(&entry.workload));
            }
        }
        Telling { peer, renewed, named }
    }

    /// The API knows that pod no more. Gives it as a peer.
    pub(in crate::attribute) fn untell(&mut self, uid: &str) -> Option<Arc<Workload>> {
        self.told.remove(uid);
        let peer = self.pods.get(uid).cloned();
        if !self.workloads.values().any(|entry| entry.workload.pod_uid == uid) {
            self.pods.remove(uid);
        }
        peer
    }

    /// The labels and the owner of a pod that its runtime tells of: the API's, where it told, as the runtime keeps the
    /// labels with which the pod was made.
    pub(super) fn labels_and_owner(&self, fact: &PodFact) -> (BTreeMap<String, String>, Option<Arc<Owner>>) {
        match self.told.get(&fact.uid) {
            Some(told) => (told.labels.clone(), told.owner.clone()),
            None => (fact.labels.clone(), None),
        }
    }

    /// The pod as a peer: the one that is known, where nothing is new.
    pub(super) fn peer(
        &mut self,
        uid: &str,
        namespace: &str,
        name: &str,
        labels: BTreeMap<String, String>,
        owner: Option<Arc<Owner>>,
    ) -> Arc<Workload> {
        if let Some(known) = self.pods.get(uid)
            && known.labels == labels
            && known.owner == owner
        {
            return Arc::clone(known);
        }
        let id = self.pods.get(uid).map_or(WorkloadId(self.next), |known| known.id);
        self.next = self.next.max(id.0 + 1);
        let pod = Arc::new(Workload {
            namespace: namespace.to_owned(),
            pod: name.to_owned(),
            pod_uid: uid.to_owned(),
            labels,
            owner,
            ..Workload::unknown(id, WorkloadKind::Pod, 0)
        });
        if self.pods.len() < self.capacity || self.pods.contains_key(uid) {
            self.pods.insert(uid.to_owned(), Arc::clone(&pod));
        } else {
            self.overflow += 1;
        }
        pod
    }

    /// Something found no room.
    pub(in crate::attribute) const fn count_overflow(&mut self) {
        self.overflow += 1;
    }
}
