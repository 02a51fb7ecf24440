//! What is remembered of containers: since when they run, which pods have ended, and who came into them from outside.

use std::sync::Arc;

use foldhash::HashMap;

use crate::event::{Ancestor, BootTime, Process, ProcessKey, Workload, WorkloadId};

/// Containers that are remembered.
const CAPACITY: usize = 4_096;
/// Processes from outside that are remembered of one.
const ENTERED: usize = 16;

/// What is known of containers, for as long as they run and a while after.
#[derive(Debug, Default)]
pub(super) struct Lives {
    lives: HashMap<WorkloadId, Life>,
}

#[derive(Debug)]
struct Life {
    began: Option<BootTime>,
    ended: Option<BootTime>,
    touched: BootTime,
    /// Whose memory ran out when a process of it was killed.
    shortage: Option<Arc<str>>,
    /// Processes that came in from outside, and what they started.
    entered: Vec<Entered>,
}

#[derive(Debug)]
struct Entered {
    process: ProcessKey,
    /// It has ended; that it was there is known a while longer, as the end of what it killed is told later.
    ended: bool,
}

impl Life {
    fn has(&self, process: ProcessKey) -> bool {
        self.entered.iter().any(|entered| entered.process == process)
    }

    /// Remembers one: where there is no room, whoever has ended is forgotten before whoever is still there.
    fn enter(&mut self, process: ProcessKey) {
        if self.has(process) {
            return;
        }
        if self.entered.len() == ENTERED {
            let oldest = self.entered.iter().position(|entered| entered.ended);
            self.entered.remove(oldest.unwrap_or(0));
        }
        self.entered.push(Entered { process, ended: false });
    }
}

impl Lives {
    /// A container started, or listens for the first time.
    pub(super) fn began(&mut self, workload: &Workload, time: BootTime) {
        self.of(workload.id, time).began = Some(time);
    }

    /// A container ended.
    pub(super) fn ended(&mut self, workload: &Workload, time: BootTime) {
        self.of(workload.id, time).ended = Some(time);
    }

    /// A process of it was killed for memory; in words, whose had run out.
    pub(super) fn ran_short(&mut self, workload: &Workload, whose: &str, time: BootTime) {
        self.of(workload.id, time).shortage = Some(whose.into());
    }

    /// Whose memory ran out.
    pub(super) fn shortage(&self, workload: WorkloadId) -> Option<&str> {
        self.lives.get(&workload).and_then(|life| life.shortage.as_deref())
    }

    /// A program was executed: by somebody who came in from outside, or by what somebody like that started.
    pub(super) fn executed(
        &mut self,
        workload: &Workload,
        process: &Arc<Process>,
        from_outside: bool,
        ancestors: &[Ancestor],
        time: BootTime,
    ) {
        // Most containers are entered by nobody: then this is one look into the table.
        if !from_outside && self.lives.get(&workload.id).is_none_or(|life| life.entered.is_empty()) {
            return;
        }
        let life = self.of(workload.id, time);
        let is_theirs = from_outside || ancestors.iter().any(|ancestor| life.has(ancestor.key));
        if is_theirs {
            life.enter(process.key);
        }
    }

    /// A process ended.
    pub(super) fn exited(&mut self, workload: &Workload, process: ProcessKey) {
        let life = self.lives.get_mut(&workload.id);
        let entered = life.and_then(|life| life.entered.iter_mut().find(|one| one.process == process));
        if let Some(entered) = entered {
            entered.ended = true;
        }
    }

    /// That process came into the container from outside, or somebody did who started it.
    pub(super) fn is_from_outside(&self, workload: WorkloadId, process: ProcessKey) -> bool {
        self.lives.get(&workload).is_some_and(|life| life.has(process))
    }

    /// It has run for less than that; one of which the start was not seen has run for long.
    pub(super) fn is_young(&self, workload: WorkloadId, now: BootTime, than_ns: u64) -> bool {
        let began = self.lives.get(&workload).and_then(|life| life.began);
        began.is_some_and(|began| now.since_ns(began) < than_ns)
    }

    /// It has ended.
    pub(super) fn has_ended(&self, workload: WorkloadId) -> bool {
        self.lives.get(&workload).is_some_and(|life| life.ended.is_some())
    }

    fn of(&mut self, id: WorkloadId, now: BootTime) -> &mut Life {
        if self.lives.len() >= CAPACITY && !self.lives.contains_key(&id) {
            self.make_room();
        }
        let life = self.lives.entry(id).or_insert(Life {
            began: None,
            ended: None,
            touched: now,
            shortage: None,
            entered: Vec::new(),
        });
        life.touched = now;
        life
    }

    /// Forgets the older half.
    fn make_room(&mut self) {
        let mut times: Vec<BootTime> = self.lives.values().map(|life| life.touched).collect();
        let at = times.len() / 2;
        let (_, middle, _) = times.select_nth_unstable(at);
        let middle = *middle;
        self.lives.retain(|_, life| life.touched > middle);
    }
}
