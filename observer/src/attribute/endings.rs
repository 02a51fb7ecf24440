//! The story of a container's end: what the kernel saw, joined with what the runtime says, told once.

use std::sync::Arc;

use super::stops::Waiting;
use super::{Attributor, Moment, Output};
use crate::decode::{Socket, Task};
use crate::event::{
    BootTime, ContainerStart, ContainerStop, Detail, Event, Now, Process, ProcessKey, RuntimeEnd, SignalSent,
    WorkloadId,
};
use crate::inventory::{EndFact, EndLookup};

/// How long the end of a container that nobody saw start may wait for the runtime's word: nothing else waits for it,
/// and without that word it is none.
const DOUBT_NS: u64 = 10 * 1_000_000_000;

impl Attributor {
    /// A container's end as the kernel has it. It is told once the runtime has said its word, or has had its time.
    pub(super) fn stopped(
        &mut self,
        id: WorkloadId,
        process: Option<Arc<Process>>,
        at: Moment,
        mut stop: ContainerStop,
        out: &mut Output,
    ) {
        let known = self.identities.get(id);
        let workload = Arc::clone(&known.workload);
        let is_doubtful = !stop.executed && stop.runtime.is_none();
        if known.is_named() && !is_doubtful {
            // The next run may begin before this end is told.
            self.restarts.ended(&workload, stop.in_short());
        }
        stop.pod_ended = workload.sandbox;
        stop.others_running = self.identities.others_running(&workload);
        // Runtimes keep no exit codes of sandboxes.
        let is_complete = stop.runtime.as_ref().is_some_and(|runtime| runtime.is_oom() || !stop.oom_killed);
        let asks = !workload.sandbox && !is_complete;
        if asks {
            let oom_killed = stop.oom_killed;
            out.end_lookups.push(EndLookup { container_id: workload.container_id.clone(), oom_killed });
        }
        let waiting = Waiting { stop, process, at, is_doubtful };
        if !asks {
            self.tell_stop(id, waiting, out);
            return;
        }
        let pause = if is_doubtful { DOUBT_NS } else { self.settings.hold_ns };
        if self.stops.len() >= self.settings.max_held
            && let Some(oldest) = self.stops.overdue(BootTime(u64::MAX))
        {
            self.stop_waited(oldest, out);
        }
        self.stops.wait(id, waiting, BootTime(at.now.boot.0 + pause));
    }

    /// The names of a container whose end waits have come: the next run may begin before that end is told.
    pub(super) fn named_stop(&mut self, id: WorkloadId) {
        if let Some(waiting) = self.stops.get(id).filter(|waiting| !waiting.is_doubtful) {
            self.restarts.ended(&self.identities.get(id).workload, waiting.stop.in_short());
        }
    }

    /// A runtime says how a container ended.
    pub(super) fn ended(&mut self, fact: EndFact, now: Now, out: &mut Output) {
        let EndFact { container_id, end } = fact;
        let Some(id) = self.identities.of_container(&container_id) else { return };
        let known = self.identities.get(id);
        let began = now.wall_of(known.first_seen);
        if end.finished.is_some_and(|finished| finished < began) {
            // That was an earlier run of a container with the same id.
            return;
        }
        let workload = Arc::clone(&known.workload);
        let Some(life) = self.identities.life_of(id) else { return };
        if life.runtime.as_ref() == Some(&end) {
            return;
        }
        life.runtime = Some(end.clone());
        if let Some(told) = life.told.clone() {
            self.complete(id, &told, end, out);
        } else if let Some(mut waiting) = self.stops.take(id) {
            waiting.stop.runtime = Some(end);
            self.restarts.ended(&workload, waiting.stop.in_short());
            self.tell_stop(id, waiting, out);
        }
    }

    /// No runtime can say how that container ended.
    pub(super) fn no_end(&mut self, container_id: &str, out: &mut Output) {
        if let Some(id) = self.identities.of_container(container_id) {
            self.stop_waited(id, out);
        }
    }

    /// Ends that have waited long enough.
    pub(super) fn expire_stops(&mut self, now: BootTime, out: &mut Output) {
        while let Some(id) = self.stops.overdue(now) {
            self.stop_waited(id, out);
        }
    }

    /// A container's first process was sent a signal.
    pub(super) fn signalled(
        &mut self,
        receiver: ProcessKey,
        (signal, ignored): (u8, bool),
        sender: &Task,
        sender_cgroup: u64,
        at: Moment,
    ) {
        let id = self.identities.owner_of(at.cgroup_id);
        if !self.identities.life_of(id).is_some_and(|life| life.heeds(receiver)) {
            return;
        }
        let origin = self.identities.origin(id, sender_cgroup);
        let sender = self.processes.of(sender);
        if let Some(life) = self.identities.life_of(id) {
            life.signalled(receiver, SignalSent { signal, ignored, origin, sender, time: at.time });
        }
    }

    /// A socket began to listen.
    pub(super) fn listening(&mut self, socket: &Socket, task: Option<&Task>, at: Moment, out: &mut Output) {
        let id = self.identities.owner_of(at.cgroup_id);
        let first = self.identities.life_of(id).and_then(|life| life.listening(socket.local, at.time));
        if let Some(ready) = first {
            self.emit_task(task, at, Detail::ContainerReady(ready), out);
        }
    }

    /// The start of a run on its way out: what was before it.
    pub(super) fn note_start(&mut self, event: &mut Event) {
        let (Some(workload), Detail::ContainerStart(start)) = (&event.workload, &mut event.detail) else {
            return;
        };
        *start = self.restarts.started(workload, event.boot_time);
        let ContainerStart { restarts_seen, since_last_end_ns: _, last_end } = start.clone();
        if let Some(life) = self.identities.life_of(workload.id) {
            (life.restarts_seen, life.last_end) = (restarts_seen, last_end);
        }
    }

    /// The end of a run on its way out.
    pub(super) fn note_stop(&mut self, event: &mut Event) {
        let (Some(workload), Detail::ContainerStop(stop)) = (&event.workload, &mut event.detail) else {
            return;
        };
        let seen = self.restarts.ended(workload, stop.in_short());
        let life = self.identities.life_of(workload.id).filter(|_| stop.executed);
        stop.restarts_seen = life.map_or(seen, |life| life.restarts_seen);
    }

    /// The end of a run was told: it may complete a crash loop.
    pub(super) fn told_stop(&mut self, event: &Arc<Event>, out: &mut Output) {
        let (Some(workload), Detail::ContainerStop(stop)) = (&event.workload, &event.detail) else { return };
        if let Some(life) = self.identities.life_of(workload.id) {
            life.told = Some(Arc::clone(event));
        }
        if let Some(crash_loop) = self.restarts.crash_loop(workload, stop.time) {
            let detail = Detail::ContainerCrashLoop(crash_loop);
            let process = event.process.clone();
            self.send(
                Event { sequence: 0, process, detail, workload: event.workload.clone(), ..**event },
                out,
            );
        }
    }

    fn stop_waited(&mut self, id: WorkloadId, out: &mut Output) {
        if let Some(waiting) = self.stops.take(id)
            && !waiting.is_doubtful
        {
            self.tell_stop(id, waiting, out);
        }
    }

    fn tell_stop(&mut self, id: WorkloadId, waiting: Waiting, out: &mut Output) {
        let Waiting { stop, process, at, is_doubtful: _ } = waiting;
        self.emit_for(id, process, at, Detail::ContainerStop(stop), out);
    }

    /// What went out stays as it was; history gets the whole story.
    fn complete(&mut self, id: WorkloadId, told: &Arc<Event>, end: RuntimeEnd, out: &mut Output) {
        let Detail::ContainerStop(stop) = &told.detail else { return };
        let stop = ContainerStop { runtime: Some(end), ..stop.clone() };
        let workload = Arc::clone(&self.identities.get(id).workload);
        self.restarts.ended(&workload, stop.in_short());
        let detail = Detail::ContainerStop(stop);
        let event =
            Arc::new(Event { workload: Some(workload), process: told.process.clone(), detail, ..**told });
        if let Some(life) = self.identities.life_of(id) {
            life.told = Some(Arc::clone(&event));
        }
        out.amended.push(event);
    }
}
