//! Events that wait for what is still to come of them, bounded in time and number.
//!
//! Those of one workload wait in a line: what happened later is not told before what happened first.

use std::collections::{BTreeSet, VecDeque};

use foldhash::HashMap;

use crate::event::{BootTime, Event, WorkloadId};

/// The events that wait.
#[derive(Default)]
pub(super) struct Held {
    lines: HashMap<WorkloadId, VecDeque<Waiting>>,
    /// When the first one of each line has waited long enough, or an earlier moment.
    deadlines: BTreeSet<(BootTime, WorkloadId)>,
    count: usize,
}

struct Waiting {
    event: Event,
    until: BootTime,
}

impl Held {
    /// Keeps an event until it is taken, or `hold_ns` at most.
    pub(super) fn hold(&mut self, id: WorkloadId, event: Event, now: BootTime, hold_ns: u64) {
        let until = BootTime(now.0.saturating_add(hold_ns));
        let line = self.lines.entry(id).or_default();
        if line.is_empty() {
            self.deadlines.insert((until, id));
        }
        line.push_back(Waiting { event, until });
        self.count += 1;
    }

    /// Events of that workload wait.
    pub(super) fn has(&self, id: WorkloadId) -> bool {
        self.lines.contains_key(&id)
    }

    /// A workload whose first event has waited long enough; that must be taken then.
    pub(super) fn overdue(&mut self, now: BootTime) -> Option<WorkloadId> {
        while let Some(&(deadline, id)) = self.deadlines.first() {
            match self.lines.get(&id).and_then(VecDeque::front) {
                Some(first) if first.until > deadline => {
                    let until = first.until;
                    self.deadlines.pop_first();
                    self.deadlines.insert((until, id));
                }
                Some(_) if deadline <= now => return Some(id),
                Some(_) => return None,
                None => _ = self.deadlines.pop_first(),
            }
        }
        None
    }

    /// Takes a workload's first events, as long as they are `ready`, in their order.
    pub(super) fn take(&mut self, id: WorkloadId, ready: impl Fn(&Event, BootTime) -> bool) -> Vec<Event> {
        let Some(line) = self.lines.get_mut(&id) else { return Vec::new() };
        let count = line.iter().take_while(|waiting| ready(&waiting.event, waiting.until)).count();
        let events = line.drain(..count).map(|waiting| waiting.event).collect();
        if line.is_empty() {
            self.lines.remove(&id);
        }
        self.count -= count;
        events
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }
}
