//! The runs of containers: whose processes and signals they are, and how many others of a pod run.

use super::Identities;
use crate::attribute::containers::Life;
use crate::event::{BootTime, ContainerStop, Ending, Origin, Process, ProcessKey, Workload, WorkloadId};

impl Identities {
    /// A process executed a program. Gives the container that this starts.
    pub(in crate::attribute) fn executed(
        &mut self,
        cgroup: u64,
        process: &Process,
        time: BootTime,
    ) -> Option<WorkloadId> {
        let id = self.owner_of(cgroup);
        self.life_of(id)?.executed(process.key, &process.binary, time).then_some(id)
    }

    /// A process ended that is none of the runtime's. Gives its container's end.
    pub(in crate::attribute) fn exited(
        &mut self,
        cgroup: u64,
        process: ProcessKey,
        ending: Ending,
        oom_killed: bool,
        time: BootTime,
    ) -> Option<(WorkloadId, ContainerStop)> {
        let id = self.owner_of(cgroup);
        let stop = self.life_of(id)?.exited(process, ending, oom_killed, time)?;
        Some((id, stop))
    }

    /// The run of a container.
    pub(in crate::attribute) fn life_of(&mut self, id: WorkloadId) -> Option<&mut Life> {
        self.workloads.get_mut(&id)?.life.as_mut()
    }

    /// The run of the container that a cgroup belongs to.
    pub(in crate::attribute) fn life_mut(&mut self, cgroup: u64) -> Option<&mut Life> {
        self.life_of(*self.cgroups.get(&cgroup)?)
    }

    /// It is a container that runs, as far as is known.
    pub(in crate::attribute) fn runs(&self, id: WorkloadId) -> bool {
        self.get(id).life.as_ref().is_some_and(Life::is_running)
    }

    /// The newest run of a container.
    pub(in crate::attribute) fn of_container(&self, container_id: &str) -> Option<WorkloadId> {
        self.containers.get(container_id).copied()
    }

    /// How many other containers of its pod run; `None` without a pod.
    pub(in crate::attribute) fn others_running(&self, workload: &Workload) -> Option<u32> {
        if workload.pod_uid.is_empty() {
            return None;
        }
        let runs = self.workloads.values().filter(|other| {
            let (id, is_running) = (other.workload.id, other.life.as_ref().is_some_and(Life::is_running));
            is_running
                && id != workload.id
                && !other.workload.sandbox
                && other.workload.pod_uid == workload.pod_uid
        });
        Some(runs.count() as u32)
    }

    /// Where what a process in that cgroup does to a container comes from.
    pub(in crate::attribute) fn origin(&self, container: WorkloadId, cgroup: u64) -> Origin {
        let sender = self.owner_of(cgroup);
        let (own, other) = (&self.get(container).workload.pod_uid, &self.get(sender).workload.pod_uid);
        if sender == container {
            Origin::Container
        } else if !own.is_empty() && own == other {
            Origin::Pod
        } else {
            Origin::Outside
        }
    }
}
