//! Events that wait for their container's names, bounded in time and number.

use std::collections::{HashMap, VecDeque};

use crate::event::{BootTime, Event, WorkloadId};

/// The events that wait.
#[derive(Default)]
pub(super) struct Held {
    events: HashMap<WorkloadId, Vec<Event>>,
    /// When each workload's first event has waited long enough.
    deadlines: VecDeque<(BootTime, WorkloadId)>,
    count: usize,
}

impl Held {
    /// Keeps an event until its workload is released, or `hold_ns` after the first one of it.
    pub(super) fn hold(&mut self, id: WorkloadId, event: Event, now: BootTime, hold_ns: u64) {
        let events = self.events.entry(id).or_default();
        if events.is_empty() {
            self.deadlines.push_back((BootTime(now.0 + hold_ns), id));
        }
        events.push(event);
        self.count += 1;
    }

    /// A workload whose first event has waited long enough; it must be taken then.
    pub(super) fn overdue(&mut self, now: BootTime) -> Option<WorkloadId> {
        while let Some(&(deadline, id)) = self.deadlines.front() {
            if !self.events.contains_key(&id) {
                self.deadlines.pop_front();
            } else if deadline <= now {
                return Some(id);
            } else {
                return None;
            }
        }
        None
    }

    /// Takes a workload's events, in their order.
    pub(super) fn take(&mut self, id: WorkloadId) -> Vec<Event> {
        let events = self.events.remove(&id).unwrap_or_default();
        self.count -= events.len();
        events
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }
}
