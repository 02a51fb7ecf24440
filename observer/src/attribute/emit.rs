//! Events on their way out: with their owner's names, or held until those have come.

use std::sync::Arc;

use super::identities::Made;
use super::{Attributor, Moment, Output};
use crate::decode::Task;
use crate::event::{BootTime, Detail, Event, Process, Workload, WorkloadId};

/// What an event takes that waits.
const EVENT_BYTES: usize = 700;

impl Attributor {
    /// Has a container looked up that became known.
    pub(super) fn ask(made: Made, out: &mut Output) {
        match made {
            Made::Container { container_id, in_pod: true } => out.lookups.push(container_id),
            Made::Container { container_id, in_pod: false } => out.lookups_alone.push(container_id),
            Made::Other => {}
        }
    }

    pub(super) fn emit_task(&mut self, task: Option<&Task>, at: Moment, detail: Detail, out: &mut Output) {
        let process = task.map(|task| self.processes.of(task));
        self.emit(process, at, detail, out);
    }

    /// An event of whatever the cgroup belongs to.
    pub(super) fn emit(
        &mut self,
        process: Option<Arc<Process>>,
        at: Moment,
        detail: Detail,
        out: &mut Output,
    ) {
        let id = self.identities.owner_of(at.cgroup_id);
        self.emit_for(id, process, at, detail, out);
    }

    pub(super) fn emit_for(
        &mut self,
        id: WorkloadId,
        process: Option<Arc<Process>>,
        at: Moment,
        detail: Detail,
        out: &mut Output,
    ) {
        let known = self.identities.get(id);
        let event = Self::event(Some(Arc::clone(&known.workload)), process, at, detail);
        if known.is_named() && !self.translations.awaits(&event) && !self.held.has(id) {
            self.send(event, out);
            return;
        }
        self.held.hold(id, event, at.now.boot, self.settings.hold_ns);
        if (self.held.len() > self.settings.max_held || !self.room.take(EVENT_BYTES))
            && let Some(oldest) = self.held.overdue(BootTime(u64::MAX))
        {
            self.release_overdue(oldest, BootTime(u64::MAX), out);
        }
    }

    /// What waited for this workload's names goes out with what is known now.
    pub(super) fn release(&mut self, id: WorkloadId, out: &mut Output) {
        self.identities.settle_id(id);
        self.release_ready(id, out);
    }

    /// What need not wait any more of what waited of this workload.
    pub(super) fn release_ready(&mut self, id: WorkloadId, out: &mut Output) {
        if self.identities.get(id).is_named() {
            let events = self.held.take(id, |event, _| !self.translations.awaits(event));
            self.send_held(id, events, out);
        }
    }

    /// What has waited until `now` goes out as it is, and what waited for that alone.
    pub(super) fn release_overdue(&mut self, id: WorkloadId, now: BootTime, out: &mut Output) {
        let events = self.held.take(id, |_, until| until <= now);
        for event in &events {
            self.translations.give_up(event);
        }
        self.send_held(id, events, out);
        self.release(id, out);
    }

    fn send_held(&mut self, id: WorkloadId, events: Vec<Event>, out: &mut Output) {
        let workload = Arc::clone(&self.identities.get(id).workload);
        for mut event in events {
            event.workload = Some(Arc::clone(&workload));
            self.translations.complete(&mut event);
            self.send(event, out);
        }
    }

    pub(super) fn event(
        workload: Option<Arc<Workload>>,
        process: Option<Arc<Process>>,
        at: Moment,
        detail: Detail,
    ) -> Event {
        Event { sequence: 0, boot_time: at.time, time: at.now.wall_of(at.time), workload, process, detail }
    }

    pub(super) fn send(&mut self, mut event: Event, out: &mut Output) {
        let is_stop = matches!(event.detail, Detail::ContainerStop(_));
        if is_stop {
            self.note_stop(&mut event);
        } else if matches!(event.detail, Detail::ContainerStart(_)) {
            self.note_start(&mut event);
        }
        self.sequence += 1;
        event.sequence = self.sequence;
        let event = Arc::new(event);
        out.events.push(Arc::clone(&event));
        if is_stop {
            self.told_stop(&event, out);
        }
    }
}
