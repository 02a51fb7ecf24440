//! One run of a container: its first process, its start and its end.

use std::ffi::OsStr;

use super::processes::same;
use super::runtime;
use crate::event::{BootTime, ContainerStart, ContainerStop, Ending, ProcessKey};

/// What is known of a container's run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    first_process: Option<ProcessKey>,
    started: Option<BootTime>,
    stopped: bool,
}

impl Life {
    /// It was there when the daemon started, so that what is executed in it now is not its start.
    pub(super) fn runs_already(&mut self, first: Option<ProcessKey>) {
        if self.started.is_none() {
            self.first_process = first;
            self.started = Some(first.map_or(BootTime(0), |first| first.start));
        }
    }

    /// A process in it executed a program: the first one starts the container.
    pub(super) fn executed(
        &mut self,
        process: ProcessKey,
        binary: &OsStr,
        time: BootTime,
    ) -> Option<ContainerStart> {
        if self.started.is_some() || runtime::is_its_binary(binary) {
            return None;
        }
        self.first_process = Some(process);
        self.started = Some(time);
        Some(ContainerStart {})
    }

    /// A process in it ended: with the first one the container ends.
    pub(super) fn exited(
        &mut self,
        process: ProcessKey,
        ending: Ending,
        oom_killed: bool,
        time: BootTime,
    ) -> Option<ContainerStop> {
        let first = self.first_process.is_some_and(|first| same(first, process));
        if !first || self.stopped {
            return None;
        }
        self.stopped = true;
        Some(ContainerStop { ending: Some(ending), oom_killed, run_time_ns: self.run_time(time) })
    }

    /// Its cgroup was removed: if nobody saw it end, it has ended now.
    pub(super) fn removed(&mut self, time: BootTime) -> Option<ContainerStop> {
        if self.started.is_none() || self.stopped {
            return None;
        }
        self.stopped = true;
        Some(ContainerStop { ending: None, oom_killed: false, run_time_ns: self.run_time(time) })
    }

    fn run_time(&self, until: BootTime) -> Option<u64> {
        self.started.filter(|start| start.0 != 0).map(|start| until.since_ns(start))
    }
}
