//! The workloads that are known, by cgroup and by container id, with the names that have come for them.

mod lives;
mod names;
mod told;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use self::told::Told;
use super::cgroup_path::{Owned, Owner, is_users, owner};
use super::containers::Life;
use crate::event::{BootTime, ContainerStop, Workload, WorkloadId, WorkloadKind};

/// How long a workload stays resolvable after its cgroup was removed: 15 minutes.
const KEPT_NS: u64 = 15 * 60 * 1_000_000_000;
/// The machine itself, which is always there.
const HOST: WorkloadId = WorkloadId(0);

/// A workload and what is known of it beside its names.
#[derive(Clone, Debug)]
pub(crate) struct KnownWorkload {
    /// Its names so far.
    pub(crate) workload: Arc<Workload>,
    /// Its cgroup's path below the hierarchy's root.
    pub(crate) cgroup_path: String,
    /// When it was first heard of.
    pub(crate) first_seen: BootTime,
    /// When its cgroup was removed.
    pub(crate) removed: Option<BootTime>,
    /// Its run, of a container.
    pub(crate) life: Option<Life>,
    owner: Owner,
    /// Nobody can be expected to name it better.
    settled: bool,
}

impl KnownWorkload {
    /// Its names have come, or will not.
    pub(super) fn is_named(&self) -> bool {
        self.settled
    }
}

/// What a new cgroup turned out to be.
pub(super) enum Made {
    /// A container that nobody has asked for yet.
    Container {
        /// Its id.
        container_id: String,
        /// Its path says that it is a pod's.
        in_pod: bool,
    },
    /// Nothing to ask for.
    Other,
}

/// The table.
pub(super) struct Identities {
    cgroups: HashMap<u64, WorkloadId>,
    owners: HashMap<Owner, WorkloadId>,
    /// The newest run of each container, by the runtime's id.
    containers: HashMap<String, WorkloadId>,
    workloads: HashMap<WorkloadId, KnownWorkload>,
    /// Pods as peers, by UID: no container, no cgroup.
    pods: HashMap<String, Arc<Workload>>,
    /// What the Kubernetes API says of them, by UID.
    told: HashMap<String, Told>,
    /// Removed cgroups and whose they were, oldest first.
    removed: VecDeque<(BootTime, u64, WorkloadId)>,
    /// Workloads that were forgotten and not yet told of.
    pub(super) forgotten: Vec<WorkloadId>,
    next: u64,
    capacity: usize,
    overflow: u64,
}

impl Identities {
    pub(super) fn new(capacity: usize) -> Self {
        let host = KnownWorkload {
            workload: Arc::new(Workload::unknown(HOST, WorkloadKind::Host, 1)),
            cgroup_path: "/".to_owned(),
            first_seen: BootTime(0),
            removed: None,
            life: None,
            owner: Owner::Host,
            settled: true,
        };
        Self {
            cgroups: HashMap::new(),
            owners: HashMap::from_iter([(Owner::Host, HOST)]),
            containers: HashMap::new(),
            workloads: HashMap::from_iter([(HOST, host)]),
            pods: HashMap::new(),
            told: HashMap::new(),
            removed: VecDeque::new(),
            forgotten: Vec::new(),
            next: 1,
            capacity,
            overflow: 0,
        }
    }

    pub(super) fn knows(&self, cgroup: u64) -> bool {
        self.cgroups.contains_key(&cgroup)
    }

    /// The workload that a cgroup belongs to; the host where nothing is known.
    pub(super) fn owner_of(&self, cgroup: u64) -> WorkloadId {
        self.cgroups.get(&cgroup).copied().unwrap_or(HOST)
    }

    /// The cgroups that belong to one of these workloads, each with its own.
    pub(super) fn cgroups_of<'a>(
        &'a self,
        ids: &'a BTreeSet<WorkloadId>,
    ) -> impl Iterator<Item = (u64, WorkloadId)> + 'a {
        let all = self.cgroups.iter().map(|(cgroup, owner)| (*cgroup, *owner));
        all.filter(|(_, owner)| ids.contains(owner))
    }

    /// The cgroup is a container's.
    pub(super) fn is_container(&self, cgroup: u64) -> bool {
        !self.get(self.owner_of(cgroup)).workload.container_id.is_empty()
    }

    /// The cgroup is a workload's own, not one below it.
    pub(super) fn is_own(&self, cgroup: u64) -> bool {
        cgroup != 0 && self.get(self.owner_of(cgroup)).workload.cgroup_id == cgroup
    }

    /// A workload; the host where it was forgotten.
    pub(super) fn get(&self, id: WorkloadId) -> &KnownWorkload {
        // The host is never removed.
        self.workloads.get(&id).unwrap_or_else(|| &self.workloads[&HOST])
    }

    /// Whose a cgroup is, as far as its path may be believed: a user's that calls itself a container, or a part of a pod,
    /// that is known elsewhere is what it is in.
    fn believed<'a>(&self, path: &'a str) -> Owned<'a> {
        let mut owned = owner(path);
        if let Owner::Container { id, pod_uid } = &owned.owner
            && is_users(path)
            && self.workloads.values().any(|known| {
                let (same_id, uid) = (known.workload.container_id == *id, &known.workload.pod_uid);
                !is_users(&known.cgroup_path) && (same_id || pod_uid.as_ref() == Some(uid))
            })
        {
            while matches!(owned.owner, Owner::Container { .. }) {
                owned = owner(owned.path.rsplit_once('/').map_or("", |(above, _)| above));
            }
        }
        owned
    }

    /// A cgroup was made, or found.
    pub(super) fn made(&mut self, cgroup: u64, path: &str, time: BootTime) -> Made {
        let owned = self.believed(path);
        let own = owned.path == path;
        let known = self.owners.get(&owned.owner).copied().filter(|id| {
            // The same name in a new cgroup of its own is a new run of it.
            !own || self.get(*id).removed.is_none()
        });
        if let Some(id) = known {
            self.cgroups.insert(cgroup, id);
            if own
                && let Some(entry) = self.workloads.get_mut(&id)
                && entry.workload.cgroup_id == 0
            {
                entry.workload = Arc::new(Workload { cgroup_id: cgroup, ..(*entry.workload).clone() });
            }
            return Made::Other;
        }
        while self.workloads.len() >= self.capacity && !self.removed.is_empty() {
            self.forget_oldest();
        }
        if self.workloads.len() >= self.capacity {
            self.overflow += 1;
            self.cgroups.insert(cgroup, HOST);
            return Made::Other;
        }
        let id = WorkloadId(self.next);
        self.next += 1;
        self.cgroups.insert(cgroup, id);
        let entry = self.entry(id, &owned.owner, owned.path, if own { cgroup } else { 0 }, time);
        let container_id = entry.workload.container_id.clone();
        let in_pod = !entry.workload.pod_uid.is_empty();
        self.workloads.insert(id, entry);
        self.owners.insert(owned.owner, id);
        if container_id.is_empty() {
            return Made::Other;
        }
        self.containers.insert(container_id.clone(), id);
        Made::Container { container_id, in_pod }
    }

    fn entry(&self, id: WorkloadId, owner: &Owner, path: &str, cgroup: u64, time: BootTime) -> KnownWorkload {
        let (workload, life) = match owner {
            Owner::Host => (Workload::unknown(id, WorkloadKind::Host, cgroup), None),
            Owner::Unit(name) => {
                (Workload { unit: name.clone(), ..Workload::unknown(id, WorkloadKind::Unit, cgroup) }, None)
            }
            Owner::Container { id: container_id, pod_uid } => {
                let kind = if pod_uid.is_some() { WorkloadKind::Pod } else { WorkloadKind::Container };
                let mut workload =
                    Workload { container_id: container_id.clone(), ..Workload::unknown(id, kind, cgroup) };
                if let Some(uid) = pod_uid {
                    workload.pod_uid.clone_from(uid);
                    if let Some(pod) = self.pods.get(uid) {
                        workload.namespace.clone_from(&pod.namespace);
                        workload.pod.clone_from(&pod.pod);
                        workload.labels.clone_from(&pod.labels);
                        workload.owner.clone_from(&pod.owner);
                    }
                }
                (workload, Some(Life::default()))
            }
        };
        KnownWorkload {
            settled: life.is_none(),
            workload: Arc::new(workload),
            cgroup_path: path.to_owned(),
            first_seen: time,
            removed: None,
            life,
            owner: owner.clone(),
        }
    }

    /// A cgroup was removed. Gives the end of a container that nobody saw ending, or starting.
    pub(super) fn removed(&mut self, cgroup: u64, time: BootTime) -> Option<(WorkloadId, ContainerStop)> {
        let id = *self.cgroups.get(&cgroup)?;
        self.removed.push_back((time, cgroup, id));
        if self.removed.len() > 4 * self.capacity {
            self.forget_oldest();
        }
        let entry = self.workloads.get_mut(&id).filter(|entry| entry.workload.cgroup_id == cgroup)?;
        if id == HOST {
            return None;
        }
        entry.removed = Some(time);
        let stop = entry.life.as_mut()?.removed(time)?;
        Some((id, stop))
    }

    /// Forgets what was removed long ago.
    pub(super) fn expire(&mut self, now: BootTime) {
        while let Some(&(time, ..)) = self.removed.front()
            && now.since_ns(time) >= KEPT_NS
        {
            self.forget_oldest();
        }
    }

    pub(super) fn workloads(&self) -> impl Iterator<Item = &KnownWorkload> {
        self.workloads.values()
    }

    pub(super) fn len(&self) -> usize {
        self.workloads.len()
    }

    pub(super) fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }

    fn forget_oldest(&mut self) {
        let Some((_, cgroup, id)) = self.removed.pop_front() else { return };
        if self.cgroups.get(&cgroup) == Some(&id) {
            self.cgroups.remove(&cgroup);
        }
        if id == HOST || self.workloads.get(&id).is_none_or(|entry| entry.workload.cgroup_id != cgroup) {
            return;
        }
        if let Some(entry) = self.workloads.remove(&id) {
            self.forgotten.push(id);
            let uid = &entry.workload.pod_uid;
            if self.owners.get(&entry.owner) == Some(&id) {
                self.owners.remove(&entry.owner);
            }
            if self.containers.get(&entry.workload.container_id) == Some(&id) {
                self.containers.remove(&entry.workload.container_id);
            }
            if !uid.is_empty() && !self.workloads.values().any(|other| other.workload.pod_uid == *uid) {
                self.pods.remove(uid);
            }
        }
    }
}
