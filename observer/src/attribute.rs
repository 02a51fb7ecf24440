//! Records get their owners: cgroup to container to pod, address to peer, pid to process. Pure and bounded.

mod addresses;
mod cgroup_path;
mod containers;
mod held;
mod identities;
mod processes;

use std::collections::HashMap;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use addresses::Addresses;
use held::Held;
pub(crate) use identities::KnownWorkload;
use identities::{Identities, Made};
use processes::Processes;

use crate::decode::{Body, Record, Socket, Task};
use crate::event::{
    BootTime, ConnectionId, Detail, Event, Now, OomKill, PeerKind, Process, ProcessExec, ProcessExit,
    ProcessKey, Tcp, TcpAccept, TcpClose, TcpConnect, TcpConnectFailure, TcpReset, TcpRetransmit, TcpState,
    Workload, WorkloadId,
};
use crate::inventory::{ContainerFact, Fact, PodFact};
use crate::status::Table;

/// `EPIPE`: what the kernel calls a reset that comes after the other side's FIN.
const EPIPE: u32 = 32;
/// `ECONNRESET`.
const ECONNRESET: u32 = 104;

/// The bounds of this stage.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long an event may wait for its container's names, in nanoseconds.
    pub(crate) hold_ns: u64,
    /// How many events may wait at once.
    pub(crate) max_held: usize,
    /// How many workloads are known at once.
    pub(crate) max_workloads: usize,
    /// How many processes are known at once.
    pub(crate) max_processes: usize,
    /// A page of memory, in bytes.
    pub(crate) page_size: u64,
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
    processes: Processes,
    held: Held,
    sequence: u64,
}

impl Attributor {
    /// Makes the stage; `reset_reasons` are the kernel's names for a reset's reasons.
    pub(crate) fn new(settings: Settings, reset_reasons: &HashMap<u32, String>) -> Self {
        Self {
            reset_reasons: reset_reasons.iter().map(|(&n, name)| (n, Arc::from(name.as_str()))).collect(),
            identities: Identities::new(settings.max_workloads),
            addresses: Addresses::default(),
            processes: Processes::new(settings.max_processes),
            held: Held::default(),
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
            Fact::Sources(_) => {}
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
                let process = self.processes.exec(&task, parent_pid, std::ffi::OsString::from_vec(binary));
                if let Some((id, start)) = self.identities.executed(cgroup_id, &process, time) {
                    self.emit_for(id, Some(Arc::clone(&process)), at, Detail::ContainerStart(start), out);
                }
                let arguments = arguments.into_iter().map(std::ffi::OsString::from_vec).collect();
                let exec = ProcessExec { arguments, arguments_truncated, binary_truncated };
                self.emit(Some(process), at, Detail::ProcessExec(exec), out);
            }
            Body::Exit { task, parent_pid, ending, oom_killed } => {
                let Some(process) = self.processes.exit(&task, parent_pid, time) else { return };
                let run_time_ns = time.since_ns(task.key.start);
                let exit = ProcessExit { ending, oom_killed, run_time_ns };
                self.emit(Some(Arc::clone(&process)), at, Detail::ProcessExit(exit), out);
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
        vec![
            table("workloads", self.identities.len(), self.settings.max_workloads),
            table("processes", self.processes.len(), self.settings.max_processes),
            table("held_events", self.held.len(), self.settings.max_held),
            table("pod_addresses", self.addresses.len(), self.settings.max_workloads),
        ]
    }

    /// What the tables had no room for since the last call: the table's name and how many.
    pub(crate) fn take_overflows(&mut self) -> [(&'static str, u64); 2] {
        [("workloads", self.identities.take_overflow()), ("processes", self.processes.take_overflow())]
    }

    fn connection(&mut self, body: Body, at: Moment, out: &mut Output) {
        match body {
            Body::Established { socket, task, start, rtt_ns } => {
                let tcp = self.tcp(&socket, at);
                let detail = if tcp.outgoing {
                    let handshake_latency_ns = at.time.since_ns(start);
                    Detail::TcpConnect(TcpConnect { tcp, handshake_latency_ns })
                } else {
                    Detail::TcpAccept(TcpAccept { tcp, handshake_latency_ns: rtt_ns })
                };
                self.emit_task(task.as_ref(), at, detail, out);
            }
            Body::Ended { socket, task, start, established, counters, errno } => {
                let (tcp, duration_ns) = (self.tcp(&socket, at), at.time.since_ns(start));
                let detail = if established {
                    let errno = if errno == EPIPE { ECONNRESET } else { errno };
                    Detail::TcpClose(TcpClose { tcp, duration_ns, counters, errno })
                } else {
                    let syn_retransmits = counters.retransmitted_segments as u32;
                    Detail::TcpConnectFailure(TcpConnectFailure { tcp, errno, duration_ns, syn_retransmits })
                };
                self.emit_task(task.as_ref(), at, detail, out);
            }
            Body::Retransmit { socket, task, phase, segments } => {
                let state = socket.state.unwrap_or(TcpState(0));
                let tcp = self.tcp(&socket, at);
                let detail = Detail::TcpRetransmit(TcpRetransmit { tcp, phase, segments, state });
                self.emit_task(task.as_ref(), at, detail, out);
            }
            Body::Reset { socket, task, direction, reason } => {
                let reason = reason.and_then(|number| self.reset_reasons.get(&number).cloned());
                let tcp = self.tcp(&socket, at);
                let detail = Detail::TcpReset(TcpReset { tcp, direction, state: socket.state, reason });
                if at.cgroup_id == 0 {
                    // No socket, no process: at most the address says whose it was.
                    let owner = self.addresses.peer(socket.remote.ip(), socket.local.ip(), at.time).workload;
                    let event = Self::event(owner, None, at, detail);
                    self.send(event, out);
                } else {
                    self.emit_task(task.as_ref(), at, detail, out);
                }
            }
            Body::Exec { .. }
            | Body::Exit { .. }
            | Body::Oom { .. }
            | Body::CgroupMade { .. }
            | Body::CgroupRemoved => {}
        }
    }

    fn tcp(&self, socket: &Socket, at: Moment) -> Tcp {
        let mut peer = self.addresses.peer(socket.local.ip(), socket.remote.ip(), at.time);
        if peer.kind == PeerKind::Loopback {
            // Loopback stays in the network namespace: in a pod's, the other side is that pod.
            peer.workload = self.identities.pod_of_cgroup(at.cgroup_id);
        }
        // A socket older than the daemon has no side yet: listeners have the lower ports.
        let outgoing = socket.outgoing.unwrap_or_else(|| socket.local.port() > socket.remote.port());
        let Socket { cookie, local, remote, netns, .. } = *socket;
        Tcp { id: ConnectionId(cookie), local, remote, outgoing, peer, netns }
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
        let created = pod.created.map_or(now.boot, |created| {
            BootTime((now.boot.0 + created.0).saturating_sub(now.wall.0).min(now.boot.0))
        });
        for &address in &pod.addresses {
            self.addresses.lease(address, &pod.sandbox_id, &workload, created);
        }
    }

    fn ask(made: Made, out: &mut Output) {
        if let Made::Container { container_id } = made {
            out.lookups.push(container_id);
        }
    }

    fn emit_task(&mut self, task: Option<&Task>, at: Moment, detail: Detail, out: &mut Output) {
        let process = task.map(|task| self.processes.of(task));
        out.unknown_processes.append(&mut self.processes.unknown);
        self.emit(process, at, detail, out);
    }

    /// An event of whatever the cgroup belongs to.
    fn emit(&mut self, process: Option<Arc<Process>>, at: Moment, detail: Detail, out: &mut Output) {
        let id = self.identities.owner_of(at.cgroup_id);
        self.emit_for(id, process, at, detail, out);
    }

    fn emit_for(
        &mut self,
        id: WorkloadId,
        process: Option<Arc<Process>>,
        at: Moment,
        detail: Detail,
        out: &mut Output,
    ) {
        let known = self.identities.get(id);
        let event = Self::event(Some(Arc::clone(&known.workload)), process, at, detail);
        if known.is_named() {
            self.send(event, out);
            return;
        }
        self.held.hold(id, event, at.now.boot, self.settings.hold_ns);
        if self.held.len() > self.settings.max_held
            && let Some(oldest) = self.held.overdue(BootTime(u64::MAX))
        {
            self.release(oldest, out);
        }
    }

    /// What waited for this workload's names goes out with what is known now.
    fn release(&mut self, id: WorkloadId, out: &mut Output) {
        self.identities.settle_id(id);
        let events = self.held.take(id);
        let workload = Arc::clone(&self.identities.get(id).workload);
        for mut event in events {
            event.workload = Some(Arc::clone(&workload));
            self.send(event, out);
        }
    }

    fn event(
        workload: Option<Arc<Workload>>,
        process: Option<Arc<Process>>,
        at: Moment,
        detail: Detail,
    ) -> Event {
        Event { sequence: 0, boot_time: at.time, time: at.now.wall_of(at.time), workload, process, detail }
    }

    fn send(&mut self, mut event: Event, out: &mut Output) {
        self.sequence += 1;
        event.sequence = self.sequence;
        out.events.push(Arc::new(event));
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
