//! Runs of the same container, one after the other: how often, how far apart, and when that is a crash loop.

use std::collections::{HashMap, VecDeque};

use crate::event::{
    BootTime, ContainerCrashLoop, ContainerEnd, ContainerStart, EndKind, Workload, WorkloadId,
};

/// How long a container is remembered that does not run, unless the crash loop's window is longer.
const KEPT_NS: u64 = 15 * 60 * 1_000_000_000;
/// So many ends are told with a crash loop.
const TOLD_ENDS: usize = 3;

/// What counts as a crash loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrashLoop {
    /// So many ends with failure ...
    pub(crate) ends: u32,
    /// ... within so many nanoseconds.
    pub(crate) window_ns: u64,
}

/// A container across its runs: its pod's UID and its name, or its id where it is in no pod.
type Key = (String, String);

struct Runs {
    /// How many began.
    count: u32,
    /// The newest run that was heard of; later ones have higher ids.
    newest: Option<WorkloadId>,
    running_since: Option<BootTime>,
    /// The last ends, with their runs, oldest first.
    ends: VecDeque<(WorkloadId, ContainerEnd)>,
    told: Option<BootTime>,
    touched: BootTime,
}

/// How a container stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How its newest run has ended; `None` while that goes on.
    pub(crate) ended: Option<ContainerEnd>,
    /// It has ended with failure so often of late that this is a crash loop.
    pub(crate) crash_loop: bool,
}

/// The table.
pub(super) struct Restarts {
    runs: HashMap<Key, Runs>,
    crash_loop: CrashLoop,
    capacity: usize,
    overflow: u64,
}

impl Restarts {
    pub(super) fn new(crash_loop: CrashLoop, capacity: usize) -> Self {
        Self { runs: HashMap::new(), crash_loop, capacity, overflow: 0 }
    }

    /// A run began.
    pub(super) fn started(&mut self, workload: &Workload, time: BootTime) -> ContainerStart {
        let Some(runs) = self.of(workload, time) else { return ContainerStart::default() };
        let restarts_seen = runs.count;
        runs.count += 1;
        runs.newest = Some(workload.id);
        runs.running_since = Some(time);
        runs.touched = time;
        let Some((_, last)) = runs.ends.back_mut().filter(|(_, end)| end.time <= time) else {
            return ContainerStart { restarts_seen, ..ContainerStart::default() };
        };
        let since_last_end_ns = time.since_ns(last.time);
        last.restarted_after_ns = Some(since_last_end_ns);
        ContainerStart {
            restarts_seen,
            since_last_end_ns: Some(since_last_end_ns),
            last_end: Some(last.clone()),
        }
    }

    /// A run ended, or more became known of its end. Gives how many were seen before the newest one.
    pub(super) fn ended(&mut self, workload: &Workload, end: ContainerEnd) -> u32 {
        let most = (self.crash_loop.ends as usize).max(TOLD_ENDS);
        let Some(runs) = self.of(workload, end.time) else { return 0 };
        if let Some((_, known)) = runs.ends.iter_mut().find(|(id, _)| *id == workload.id) {
            *known = ContainerEnd { restarted_after_ns: known.restarted_after_ns, ..end };
            return runs.count.saturating_sub(1);
        }
        if runs.newest < Some(workload.id) {
            // Its start was not seen: it was before the daemon's, or its program could not be executed.
            runs.newest = Some(workload.id);
            runs.count += 1;
        }
        if runs.newest == Some(workload.id) {
            runs.running_since = None;
        }
        runs.touched = end.time;
        runs.ends.push_back((workload.id, end));
        if runs.ends.len() > most {
            runs.ends.pop_front();
        }
        runs.count.saturating_sub(1)
    }

    /// The crash loop that this end completes, if it does and that was not told within the window.
    pub(super) fn crash_loop(&mut self, workload: &Workload, time: BootTime) -> Option<ContainerCrashLoop> {
        let CrashLoop { ends, window_ns } = self.crash_loop;
        let runs = self.runs.get_mut(&key(workload))?;
        let failures = runs.failures(window_ns, time);
        if failures < ends || runs.told.is_some_and(|told| time.since_ns(told) < window_ns) {
            return None;
        }
        runs.told = Some(time);
        let skipped = runs.ends.len().saturating_sub(TOLD_ENDS);
        Some(ContainerCrashLoop {
            failures,
            window_ns,
            restarts_seen: runs.count.saturating_sub(1),
            ends: runs.ends.iter().skip(skipped).map(|(_, end)| end.clone()).collect(),
        })
    }

    /// How the container of that run stands now. A run after which another one began has none of its own.
    pub(super) fn standing(&self, workload: &Workload, now: BootTime) -> Standing {
        let runs = self.runs.get(&key(workload)).filter(|runs| runs.newest == Some(workload.id));
        let Some(runs) = runs else { return Standing::default() };
        let ended = runs.ends.iter().find(|(id, _)| *id == workload.id).map(|(_, end)| end.clone());
        let CrashLoop { ends, window_ns } = self.crash_loop;
        Standing { ended, crash_loop: runs.failures(window_ns, now) >= ends }
    }

    /// Forgets containers that have not run for long.
    pub(super) fn expire(&mut self, now: BootTime) {
        let kept = KEPT_NS.max(self.crash_loop.window_ns);
        self.runs.retain(|_, runs| runs.running_since.is_some() || now.since_ns(runs.touched) < kept);
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }

    /// Forgets the container that has not run for longest, if there is one that does not run.
    fn make_room(&mut self) -> bool {
        let idle = self.runs.iter().filter(|(_, runs)| runs.running_since.is_none());
        let Some(oldest) = idle.min_by_key(|(_, runs)| runs.touched).map(|(key, _)| key.clone()) else {
            return false;
        };
        self.runs.remove(&oldest).is_some()
    }

    /// The runs of a container; `None` where there is no room for another one.
    fn of(&mut self, workload: &Workload, now: BootTime) -> Option<&mut Runs> {
        let key = key(workload);
        let is_new = !self.runs.contains_key(&key);
        if is_new && self.runs.len() >= self.capacity && !self.make_room() {
            self.overflow += 1;
            return None;
        }
        Some(self.runs.entry(key).or_insert_with(|| Runs {
            count: 0,
            newest: None,
            running_since: None,
            ends: VecDeque::new(),
            told: None,
            touched: now,
        }))
    }
}

impl Runs {
    /// How many of the last ends were failures and are not older than the window.
    fn failures(&self, window_ns: u64, now: BootTime) -> u32 {
        // Of one that vanished nobody knows whether it failed.
        let failed = |end: &ContainerEnd| !matches!(end.kind, EndKind::Completed | EndKind::Vanished);
        let counts = |end: &ContainerEnd| failed(end) && now.since_ns(end.time) <= window_ns;
        self.ends.iter().filter(|(_, end)| counts(end)).count() as u32
    }
}

fn key(workload: &Workload) -> Key {
    if workload.pod_uid.is_empty() || (workload.container.is_empty() && !workload.sandbox) {
        return (String::new(), workload.container_id.clone());
    }
    (workload.pod_uid.clone(), workload.container.clone())
}

#[cfg(test)]
mod tests;
