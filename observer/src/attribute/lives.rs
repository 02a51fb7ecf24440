//! The lives of processes: whose an executed program is, from whom it descends, whether it came in from outside; its end.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use super::{Attributor, Moment, Output, runtime};
use crate::decode::{Body, Executed, LimitHit, Task};
use crate::event::{
    Ancestor, ContainerStart, Detail, ExecOrigin, OomKill, Process, ProcessExec, ProcessExit, Shortage,
    WorkloadId,
};

impl Attributor {
    /// A program was executed.
    pub(super) fn exec(&mut self, executed: Executed, at: Moment, out: &mut Output) {
        let Executed {
            task,
            gid,
            ancestors,
            namespaces,
            capabilities,
            terminal,
            binary,
            binary_truncated,
            script,
            directory,
            directory_truncated,
            arguments,
            arguments_truncated,
        } = executed;
        let parent = ancestors.first().map(|(task, _)| task.key);
        let was_there = self.processes.known(task.key).is_some()
            && self.identities.owner_of(self.processes.cgroup_of(task.key.pid))
                == self.identities.owner_of(at.cgroup_id);
        let parent_pid = parent.map_or(0, |parent| parent.pid);
        let process = self.processes.exec(&task, parent_pid, gid, OsString::from_vec(binary), at.cgroup_id);
        let starts = self.identities.executed(at.cgroup_id, &process, at.time);
        let place = self.where_it_works(&process, at);
        let owner = self.identities.owner_of(place.cgroup_id);
        let origin = if starts.is_some() {
            self.namespaces.learn(owner, namespaces, |id| self.identities.runs(id));
            ExecOrigin::ContainerStart
        } else if self.identities.is_container(place.cgroup_id) {
            let from_outside =
                ancestors.first().is_some_and(|(_, cgroup)| self.identities.owner_of(*cgroup) != owner);
            // A process that has executed something there before has come in before.
            if from_outside && !was_there { ExecOrigin::Entered } else { ExecOrigin::Descendant }
        } else {
            let entered = self.namespaces.entered(namespaces);
            entered.map_or(ExecOrigin::Descendant, |(id, kinds)| ExecOrigin::Namespaces {
                of: Arc::clone(&self.identities.get(id).workload),
                kinds,
            })
        };
        let (ancestors, ancestors_truncated) = self.chain(ancestors, owner);
        let exec = ProcessExec {
            origin,
            script: OsString::from_vec(script),
            directory: OsString::from_vec(directory),
            directory_truncated,
            capabilities,
            terminal,
            ancestors,
            ancestors_truncated,
            arguments: arguments.into_iter().map(OsString::from_vec).collect(),
            arguments_truncated,
            binary_truncated,
        };
        if let Some(id) = starts {
            let start = Detail::ContainerStart(ContainerStart::default());
            self.emit_for(id, Some(Arc::clone(&process)), at, start, out);
        }
        self.emit(Some(process), place, Detail::ProcessExec(exec), out);
    }

    /// The processes above one, to the first that is not of the same workload, or to the machine's first; true where
    /// neither was found.
    fn chain(&self, above: Vec<(Task, u64)>, owner: WorkloadId) -> (Vec<Ancestor>, bool) {
        let mut chain = Vec::with_capacity(above.len());
        for (Task { key, uid: _, comm }, cgroup) in above {
            let binary = self.processes.known(key).map(|known| known.binary.clone()).unwrap_or_default();
            chain.push(Ancestor { key, comm: comm.text().into_owned(), binary });
            if self.identities.owner_of(cgroup) != owner {
                return (chain, false);
            }
        }
        let truncated = chain.last().is_some_and(|last| last.key.pid != 1);
        (chain, truncated)
    }

    /// A process ended, or the OOM killer chose it.
    pub(super) fn end(&mut self, body: Body, at: Moment, out: &mut Output) {
        match body {
            Body::Exit { task, parent_pid, ending, oom_killed, cpu_time_ns, peak_pages } => {
                let Some(process) = self.processes.exit(&task, parent_pid, at.time) else { return };
                let stop = if runtime::is_helper(&process) {
                    None
                } else {
                    self.identities.exited(at.cgroup_id, task.key, ending, oom_killed, at.time)
                };
                let exit = ProcessExit {
                    ending,
                    oom_killed,
                    run_time_ns: at.time.since_ns(task.key.start),
                    cpu_time_ns,
                    peak_memory_bytes: self.bytes(peak_pages),
                    first: stop.is_some(),
                };
                let place = self.where_it_works(&process, at);
                self.emit(Some(Arc::clone(&process)), place, Detail::ProcessExit(exit), out);
                if let Some((id, stop)) = stop {
                    self.stopped(id, Some(process), at, stop, out);
                }
            }
            Body::Oom { task, resident_pages, limit, looked } => {
                let process = self.processes.victim(&task);
                let shortage = match limit {
                    Some(LimitHit { path, limit_pages, usage_pages }) => Shortage::Cgroup {
                        path,
                        limit_bytes: self.bytes(limit_pages),
                        usage_bytes: self.bytes(usage_pages),
                    },
                    None if looked => Shortage::Node,
                    None => Shortage::Unknown,
                };
                let resident_bytes = resident_pages.map(|pages| self.bytes(pages));
                self.emit(process, at, Detail::OomKill(OomKill { resident_bytes, shortage }), out);
            }
            Body::Exec(_)
            | Body::CgroupMade { .. }
            | Body::CgroupRemoved
            | Body::Signal { .. }
            | Body::Answer(_)
            | Body::Answered(_)
            | Body::Dropped(_)
            | Body::Signalled(_)
            | Body::OpenFailed { .. }
            | Body::Listening { .. }
            | Body::Established { .. }
            | Body::Ended { .. }
            | Body::Retransmit { .. }
            | Body::Reset { .. } => {}
        }
    }

    /// So many pages of memory.
    const fn bytes(&self, pages: u64) -> u64 {
        pages.saturating_mul(self.settings.page_size)
    }

    /// A runtime's helper in a container's cgroup works for whoever started it, not for the container.
    fn where_it_works(&self, process: &Process, at: Moment) -> Moment {
        if !self.identities.is_container(at.cgroup_id) || !runtime::is_helper(process) {
            return at;
        }
        Moment { cgroup_id: self.processes.cgroup_of(process.parent_pid), ..at }
    }
}
