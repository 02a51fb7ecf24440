//! What the runtimes say of containers and pods.

use std::sync::Arc;

use super::Identities;
use crate::event::{Workload, WorkloadId, WorkloadKind};
use crate::inventory::{ContainerFact, EngineFact, PodFact};

impl Identities {
    /// What a runtime says of a container. Gives the workload that it names, if its cgroup is known, and whether
    /// events of it may have gone out with less.
    pub(in crate::attribute) fn name(&mut self, fact: &ContainerFact) -> Option<(WorkloadId, bool)> {
        let id = *self.containers.get(&fact.container_id)?;
        let (labels, owner) = self.labels_and_owner(&fact.pod);
        let entry = self.workloads.get_mut(&id)?;
        let named = Workload {
            kind: WorkloadKind::Pod,
            namespace: fact.pod.namespace.clone(),
            pod: fact.pod.name.clone(),
            pod_uid: fact.pod.uid.clone(),
            container: fact.name.clone(),
            labels,
            owner,
            image: fact.image.clone(),
            restart_count: fact.attempt,
            sandbox: fact.sandbox,
            ..(*entry.workload).clone()
        };
        let is_news = *entry.workload != named;
        if is_news {
            entry.workload = Arc::new(named);
        }
        let was_settled = std::mem::replace(&mut entry.settled, true);
        Some((id, is_news && was_settled))
    }

    /// What an engine's files say of a container, if its cgroup is known. Gives the workload that it names.
    pub(in crate::attribute) fn name_alone(&mut self, fact: &EngineFact) -> Option<WorkloadId> {
        let EngineFact { container_id, name, image } = fact;
        let id = *self.containers.get(container_id)?;
        let entry = self.workloads.get_mut(&id)?;
        let (container, image) = (name.clone(), image.clone());
        entry.workload = Arc::new(Workload { container, image, ..(*entry.workload).clone() });
        entry.settled = true;
        Some(id)
    }

    /// Nobody knows more of a container.
    pub(in crate::attribute) fn settle(&mut self, container_id: &str) -> Option<WorkloadId> {
        let id = *self.containers.get(container_id)?;
        self.settle_id(id);
        Some(id)
    }

    pub(in crate::attribute) fn settle_id(&mut self, id: WorkloadId) {
        if let Some(entry) = self.workloads.get_mut(&id) {
            entry.settled = true;
        }
    }

    /// A pod as a peer.
    pub(in crate::attribute) fn pod(&mut self, fact: &PodFact) -> Arc<Workload> {
        let (labels, owner) = self.labels_and_owner(fact);
        self.peer(&fact.uid, &fact.namespace, &fact.name, labels, owner)
    }

    /// The pod, as a peer, that a cgroup belongs to.
    pub(in crate::attribute) fn pod_of_cgroup(&self, cgroup: u64) -> Option<Arc<Workload>> {
        let own = &self.get(self.owner_of(cgroup)).workload;
        self.pods.get(&own.pod_uid).cloned()
    }
}
