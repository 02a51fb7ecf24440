//! Ends of containers that wait for the runtime's word, bounded in time and number.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Moment;
use crate::event::{BootTime, ContainerStop, Process, WorkloadId};

/// One end that waits.
pub(super) struct Waiting {
    pub(super) stop: ContainerStop,
    pub(super) process: Option<Arc<Process>>,
    pub(super) at: Moment,
    /// It is one only if the runtime says so: nobody saw the container start.
    pub(super) is_doubtful: bool,
}

/// Those that wait.
#[derive(Default)]
pub(super) struct Stops {
    waiting: HashMap<WorkloadId, Waiting>,
    deadlines: BTreeSet<(BootTime, WorkloadId)>,
}

impl Stops {
    /// Keeps an end until it is taken.
    pub(super) fn wait(&mut self, id: WorkloadId, waiting: Waiting, until: BootTime) {
        self.deadlines.insert((until, id));
        self.waiting.insert(id, waiting);
    }

    /// One that waits.
    pub(super) fn get(&self, id: WorkloadId) -> Option<&Waiting> {
        self.waiting.get(&id)
    }

    /// Takes an end.
    pub(super) fn take(&mut self, id: WorkloadId) -> Option<Waiting> {
        self.waiting.remove(&id)
    }

    /// One that has waited long enough; it must be taken then.
    pub(super) fn overdue(&mut self, now: BootTime) -> Option<WorkloadId> {
        while let Some(&(until, id)) = self.deadlines.first() {
            if self.waiting.contains_key(&id) {
                return (until <= now).then_some(id);
            }
            self.deadlines.pop_first();
        }
        None
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
