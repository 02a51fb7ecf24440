//! Records get their owners: cgroup to container to pod, address to peer, pid to process. Pure and bounded.

mod addresses;
mod cgroup_path;
mod cluster;
mod containers;
mod emit;
mod held;
mod identities;
mod own_pods;
mod processes;
mod reset;
mod runtime;
mod tcp;

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use addresses::Addresses;
use cluster::Cluster;
use held::Held;
pub(crate) use identities::KnownWorkload;
use identities::{Identities, Made};
use own_pods::OwnPods;
use processes::Processes;

use crate::decode::{Body, Record};
use crate::event::{
    BootTime, Detail, Event, Now, OomKill, Process, ProcessExec, ProcessExit, ProcessKey, Workload,
    WorkloadId,
};
use crate::inventory::{ContainerFact, Fact, PodFact};
use crate::status::Table;

/// The bounds of this stage.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long an event may wait for its container's names, in nanoseconds.
    pub(crate) hold_ns: u64,
    /// How many events may wait at once.
    pub(crate) max_held: usize,
    /// How many workloads are known at once.
    pub(crate) max_workloads: usize,
    /// How many objects of the cluster are known at once, beside this node's pods.
    pub(crate) max_cluster_objects: usize,
    /// How many processes are known at once.
    pub(crate) max_processes: usize,
    /// A page of memory, in bytes.
    pub(crate) page_size: u64,
    /// The network namespace that no pod has for itself; 0 where it is not known.
    pub(crate) host_netns: u32,
}

/// What comes out of this stage.
#[derive(Default)]
pub(crate) struct Output {
    /// Events, complete, in the order of their sequence numbers.
    pub(crate) events: Vec<Arc<Event>>,
    /// Containers to ask the runtimes for.
    pub(crate) lookups: Vec<String>,
    /// Processes that nobody has told the program of.
    pub(crate) unknown_processes: Vec<ProcessKey>,
    /// Workloads that more became known of.
    pub(crate) renewed: Vec<Arc<Workload>>,
    /// Workloads that were forgotten.
    pub(crate) forgotten: Vec<WorkloadId>,
}

/// The stage.
pub(crate) struct Attributor {
    settings: Settings,
    reset_reasons: HashMap<u32, Arc<str>>,
    identities: Identities,
    addresses: Addresses,
    own_pods: OwnPods,
    processes: Processes,
    held: Held,
    /// Network namespaces and ports that were listened on when the daemon started.
    listening: HashSet<(u32, u16)>,
    /// The cookies of attempts to connect that nothing has answered, and that were told of.
    pending: HashSet<u64>,
    sequence: u64,
}

impl Attributor {
    /// Makes the stage; `reset_reasons` are the kernel's names for a reset's reasons.
    pub(crate) fn new(settings: Settings, reset_reasons: &HashMap<u32, String>) -> Self {
        Self {
            reset_reasons: reset_reasons.iter().map(|(&n, name)| (n, Arc::from(name.as_str()))).collect(),
            identities: Identities::new(settings.max_workloads),
            addresses: Addresses::new(Cluster::new(settings.max_cluster_objects)),
            own_pods: OwnPods::default(),
            processes: Processes::new(settings.max_processes),
            held: Held::default(),
            listening: HashSet::new(),
            pending: HashSet::new(),
            sequence: 0,
            settings,
        }
    }

    /// That cgroup has been heard of. What has not must be told with [`Self::cgroup`] before a record
    /// of it is attributed.
    pub(crate) fn knows_cgroup(&self, id: u64) -> bool {
        id == 0 || self.identities.knows(id)
    }

    /// A cgroup that was there before or whose making was missed; no path if it is gone already.
    pub(crate) fn cgroup(&mut self, id: u64, path: Option<&str>, now: Now, out: &mut Output) {
        let made = self.identities.made(id, path.unwrap_or("/"), now.boot);
        if path.is_none() {
            // Nobody will tell of its removal.
            self.identities.removed(id, now.boot);
        }
        Self::ask(made, out);
    }

    /// A container runs already; with its first process, if that could be found.
    pub(crate) fn container_runs(&mut self, cgroup_id: u64, first: Option<ProcessKey>) {
        if let Some(life) = self.identities.life_mut(cgroup_id) {
            life.runs_already(first);
        }
    }

    /// A process that runs already.
    pub(crate) fn process(&mut self, process: Process) {
        self.processes.seed(process);
    }

    /// A fact of the inventory.
    pub(crate) fn fact(&mut self, fact: Fact, now: Now, out: &mut Output) {
        match fact {
            Fact::Container(container) => self.container(&container, now, out),
            Fact::Unknown { container_id } => {
                if let Some(id) = self.identities.settle(&container_id) {
                    self.release(id, out);
                }
            }
            Fact::PodGone { sandbox_id } => self.addresses.release(&sandbox_id, now.boot),
            Fact::HostAddresses(addresses) => self.addresses.set_host(addresses),
            Fact::Cluster(fact) => self.cluster(fact, now, out),
            Fact::Sources(_) | Fact::ClusterSource(_) => {}
        }
    }

    /// Attributes one record.
    pub(crate) fn record(&mut self, record: Record, now: Now, out: &mut Output) {
        let Record { time, cgroup_id, body } = record;
        let at = Moment { time, now, cgroup_id };
        match body {
            Body::CgroupMade { path } => {
                let made = self.identities.made(cgroup_id, &path, time);
                Self::ask(made, out);
            }
            Body::CgroupRemoved => {
                if let Some((id, stop)) = self.identities.removed(cgroup_id, time) {
                    self.emit_for(id, None, at, Detail::ContainerStop(stop), out);
                }
            }
            Body::Exec { task, parent_pid, binary, binary_truncated, arguments, arguments_truncated } => {
                let binary = std::ffi::OsString::from_vec(binary);
                let process = self.processes.exec(&task, parent_pid, binary, cgroup_id);
                if let Some((id, start)) = self.identities.executed(cgroup_id, &process, time) {
                    self.emit_for(id, Some(Arc::clone(&process)), at, Detail::ContainerStart(start), out);
                }
                let arguments = arguments.into_iter().map(std::ffi::OsString::from_vec).collect();
                let exec = ProcessExec { arguments, arguments_truncated, binary_truncated };
                let at = self.where_it_works(&process, at);
                self.emit(Some(process), at, Detail::ProcessExec(exec), out);
            }
            Body::Exit { task, parent_pid, ending, oom_killed } => {
                let Some(process) = self.processes.exit(&task, parent_pid, time) else { return };
                let run_time_ns = time.since_ns(task.key.start);
                let exit = ProcessExit { ending, oom_killed, run_time_ns };
                let place = self.where_it_works(&process, at);
                self.emit(Some(Arc::clone(&process)), place, Detail::ProcessExit(exit), out);
                if let Some((id, stop)) =
                    self.identities.exited(cgroup_id, task.key, ending, oom_killed, time)
                {
                    self.emit_for(id, Some(process), at, Detail::ContainerStop(stop), out);
                }
            }
            Body::Oom { task, resident_pages } => {
                let process = self.processes.victim(&task);
                let resident_bytes = resident_pages.map(|pages| pages * self.settings.page_size);
                self.emit(process, at, Detail::OomKill(OomKill { resident_bytes }), out);
            }
            Body::Established { .. } | Body::Ended { .. } | Body::Retransmit { .. } | Body::Reset { .. } => {
                self.connection(body, at, out);
            }
        }
    }

    /// A runtime's helper in a container's cgroup works for whoever started it, not for the container.
    fn where_it_works(&self, process: &Process, at: Moment) -> Moment {
        if !self.identities.is_container(at.cgroup_id) || !runtime::is_helper(process) {
            return at;
        }
        Moment { cgroup_id: self.processes.cgroup_of(process.parent_pid), ..at }
    }

    /// Lets go of what waited too long and forgets what ended long ago. To be called a few times a
    /// second.
    pub(crate) fn expire(&mut self, now: Now, out: &mut Output) {
        while let Some(id) = self.held.overdue(now.boot) {
            self.release(id, out);
        }
        self.identities.expire(now.boot);
        out.forgotten.append(&mut self.identities.forgotten);
        self.processes.expire(now.boot);
        self.addresses.expire(now.boot);
    }

    /// Everything that waits is let go; for the end of the daemon.
    pub(crate) fn flush(&mut self, out: &mut Output) {
        while let Some(id) = self.held.overdue(BootTime(u64::MAX)) {
            self.release(id, out);
        }
    }

    /// All workloads that are known.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &KnownWorkload> {
        self.identities.workloads()
    }

    /// The tables and how full they are.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let table = |name, entries: usize, capacity: usize| Table {
            name,
            entries: entries as u64,
            capacity: capacity as u64,
        };
        let (objects, most_objects) = self.addresses.cluster.size();
        vec![
            table("workloads", self.identities.len(), self.settings.max_workloads),
            table("processes", self.processes.len(), self.settings.max_processes),
            table("held_events", self.held.len(), self.settings.max_held),
            table("pod_addresses", self.addresses.len(), self.settings.max_workloads),
            table("cluster_objects", objects, most_objects),
        ]
    }

    /// What the tables had no room for since the last call: the table's name and how many.
    pub(crate) fn take_overflows(&mut self) -> [(&'static str, u64); 3] {
        [
            ("workloads", self.identities.take_overflow()),
            ("processes", self.processes.take_overflow()),
            ("cluster_objects", self.addresses.cluster.take_overflow()),
        ]
    }

    /// A container's names have come.
    fn container(&mut self, container: &ContainerFact, now: Now, out: &mut Output) {
        self.pod(&container.pod, now);
        if let Some(id) = self.identities.name(container) {
            out.renewed.push(Arc::clone(&self.identities.get(id).workload));
            self.release(id, out);
        }
    }

    fn pod(&mut self, pod: &PodFact, now: Now) {
        let workload = self.identities.pod(pod);
        if !pod.ready || pod.host_network {
            return;
        }
        // The wall clock's time of its making, on the boot clock of this reading.
        let created = pod.created.map_or(now.boot, |created| cluster::boot_time(created, now));
        for &address in &pod.addresses {
            self.addresses.lease(address, &pod.sandbox_id, &workload, created);
        }
    }

    fn ask(made: Made, out: &mut Output) {
        if let Made::Container { container_id } = made {
            out.lookups.push(container_id);
        }
    }
}

/// When and where a record is from.
#[derive(Clone, Copy)]
struct Moment {
    time: BootTime,
    now: Now,
    cgroup_id: u64,
}

#[cfg(test)]
mod tests;
