//! Records get their owners: cgroup to container to pod, address to peer, pid to process. Pure and bounded.

mod addresses;
mod cgroup_path;
mod cluster;
mod containers;
mod deeper;
mod dns;
mod emit;
mod endings;
mod folds;
mod held;
mod identities;
mod listed;
mod lives;
mod namespaces;
mod own_pods;
mod processes;
mod reset;
mod restarts;
mod runtime;
mod seen;
mod stops;
mod tables;
mod tcp;
mod translations;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::{HashSet, HashSetExt as _};

use addresses::Addresses;
pub(crate) use cgroup_path::is_users;
use cluster::Cluster;
pub(crate) use dns::NameFigures;
use dns::Names;
use held::Held;
use identities::Identities;
pub(crate) use identities::KnownWorkload;
use namespaces::NamespaceOwners;
use own_pods::OwnPods;
use processes::Processes;
use restarts::Restarts;
pub(crate) use restarts::{CrashLoop, Standing};
use stops::Stops;
use translations::Translations;

use crate::decode::{Body, Record};
use crate::event::{Backend, BootTime, ConnectionId, Event, Namespaces, Now, Workload, WorkloadId};
use crate::inventory::{ContainerFact, EndLookup, Fact, PodFact, TranslationQuery};
use crate::room::Room;

/// The bounds of this stage.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long an event may wait for its container's names, and an end for the runtime's word, in nanoseconds.
    pub(crate) hold_ns: u64,
    /// How many events may wait at once.
    pub(crate) max_held: usize,
    /// How many workloads are known at once.
    pub(crate) max_workloads: usize,
    /// How many objects of the cluster are known at once, beside this node's pods.
    pub(crate) max_cluster_objects: usize,
    /// How many processes are known at once.
    pub(crate) max_processes: usize,
    /// What counts as a crash loop.
    pub(crate) crash_loop: CrashLoop,
    /// A page of memory, in bytes.
    pub(crate) page_size: u64,
    /// The machine's own namespaces, which no container has for itself.
    pub(crate) host_namespaces: Namespaces,
    /// Somebody answers where packets go that are not for whom they were sent to.
    pub(crate) translations: bool,
    /// Name servers' answers are read.
    pub(crate) dns: bool,
}

/// What comes out of this stage.
#[derive(Default)]
pub(crate) struct Output {
    /// Events, complete, in the order of their sequence numbers.
    pub(crate) events: Vec<Arc<Event>>,
    /// Containers to ask the runtimes for.
    pub(crate) lookups: Vec<String>,
    /// Ended containers to ask the runtimes for.
    pub(crate) end_lookups: Vec<EndLookup>,
    /// Events that were given out before and of which more became known: for those who keep them.
    pub(crate) amended: Vec<Arc<Event>>,
    /// Workloads of which events may have been given out with fewer names.
    pub(crate) completed: Vec<Arc<Workload>>,
    /// Containers in no pod, to look for in the engines' files first.
    pub(crate) lookups_alone: Vec<String>,
    /// Connections to ask for where they go.
    pub(crate) translations: Vec<TranslationQuery>,
    /// Where connections go of which that has become known.
    pub(crate) translated: Vec<(ConnectionId, Arc<Backend>)>,
    /// Workloads that more became known of.
    pub(crate) renewed: Vec<Arc<Workload>>,
    /// Workloads that were forgotten.
    pub(crate) forgotten: Vec<WorkloadId>,
}

/// The stage.
pub(crate) struct Attributor {
    settings: Settings,
    reset_reasons: HashMap<u32, Arc<str>>,
    drop_reasons: HashMap<u32, Arc<str>>,
    identities: Identities,
    addresses: Addresses,
    own_pods: OwnPods,
    processes: Processes,
    namespaces: NamespaceOwners,
    held: Held,
    stops: Stops,
    restarts: Restarts,
    translations: Translations,
    names: Names,
    /// Network namespaces and ports that were listened on when the daemon started.
    listening: HashSet<(u32, u16)>,
    /// The cookies of attempts to connect that nothing has answered, and that were told of.
    pending: HashSet<u64>,
    sequence: u64,
    room: Room,
}

impl Attributor {
    /// Makes the stage; `reset_reasons` are the kernel's names for a reset's reasons.
    pub(crate) fn new(settings: Settings, reset_reasons: &HashMap<u32, String>) -> Self {
        Self {
            reset_reasons: reset_reasons.iter().map(|(&n, name)| (n, Arc::from(name.as_str()))).collect(),
            drop_reasons: HashMap::new(),
            identities: Identities::new(settings.max_workloads),
            addresses: Addresses::new(Cluster::new(settings.max_cluster_objects)),
            own_pods: OwnPods::default(),
            processes: Processes::new(settings.max_processes),
            namespaces: NamespaceOwners::new(settings.host_namespaces),
            held: Held::default(),
            stops: Stops::default(),
            restarts: Restarts::new(settings.crash_loop, settings.max_workloads),
            translations: Translations::new(settings.translations),
            names: Names::default(),
            listening: HashSet::new(),
            pending: HashSet::new(),
            sequence: 0,
            settings,
            room: Room::default(),
        }
    }

    /// Has it grow no further than memory allows.
    pub(crate) fn share(&mut self, room: &Room) {
        self.room = room.clone();
        self.processes.share(room);
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
            Fact::Ended(end) => self.ended(end, now, out),
            Fact::NoEnd { container_id } => self.no_end(&container_id, out),
            Fact::PodGone { sandbox_id } => self.addresses.release(&sandbox_id, now.boot),
            Fact::Translation { id, answer } => self.translated(id, answer, now.boot, out),
            Fact::HostAddresses(addresses) => self.addresses.set_host(addresses),
            Fact::Engine(container) => {
                if let Some(id) = self.identities.name_alone(&container) {
                    out.renewed.push(Arc::clone(&self.identities.get(id).workload));
                    self.release(id, out);
                }
            }
            Fact::Cluster(fact) => self.cluster(fact, now, out),
            Fact::Sources(..) | Fact::Surveyed => {}
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
                if self.identities.is_own(cgroup_id) {
                    self.namespaces.forget(&[self.identities.owner_of(cgroup_id)]);
                }
                if let Some((id, stop)) = self.identities.removed(cgroup_id, time) {
                    self.stopped(id, None, at, stop, out);
                }
            }
            Body::Signal { receiver, signal, ignored, sender, sender_cgroup } => {
                self.signalled(receiver, (signal, ignored), &sender, sender_cgroup, at);
            }
            Body::Listening { socket, task } => self.listening(&socket, task.as_ref(), at, out),
            Body::Answer(answer) => self.answered(answer.as_deref(), at),
            Body::Exec(executed) => self.exec(*executed, at, out),
            Body::Exit { .. } | Body::Oom { .. } => self.end(body, at, out),
            Body::Established { .. } | Body::Ended { .. } | Body::Retransmit { .. } | Body::Reset { .. } => {
                self.connection(body, at, out);
            }
            Body::Answered(_) | Body::Dropped(_) | Body::Signalled(_) | Body::OpenFailed { .. } => {
                self.deeper(body, at, out);
            }
        }
    }

    /// Lets go of what waited too long and forgets what ended long ago. To be called a few times a
    /// second.
    pub(crate) fn expire(&mut self, now: Now, out: &mut Output) {
        while let Some(id) = self.held.overdue(now.boot) {
            self.release_overdue(id, now.boot, out);
        }
        self.expire_stops(now.boot, out);
        self.restarts.expire(now.boot);
        self.identities.expire(now.boot);
        out.forgotten.append(&mut self.identities.forgotten);
        self.namespaces.forget(&out.forgotten);
        self.processes.expire(now.boot);
        self.addresses.expire(now.boot);
        self.translations.expire(now.boot);
        self.names.expire(now.boot);
    }

    /// Everything that waits is let go; for the end of the daemon.
    pub(crate) fn flush(&mut self, out: &mut Output) {
        while let Some(id) = self.held.overdue(BootTime(u64::MAX)) {
            self.release_overdue(id, BootTime(u64::MAX), out);
        }
        self.expire_stops(BootTime(u64::MAX), out);
    }

    /// All workloads that are known.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &KnownWorkload> {
        self.identities.workloads()
    }

    /// A container's names have come.
    fn container(&mut self, container: &ContainerFact, now: Now, out: &mut Output) {
        self.pod(&container.pod, now);
        if let Some((id, is_late)) = self.identities.name(container) {
            let workload = &self.identities.get(id).workload;
            out.renewed.push(Arc::clone(workload));
            if is_late {
                out.completed.push(Arc::clone(workload));
            }
            self.release(id, out);
            self.named_stop(id);
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
