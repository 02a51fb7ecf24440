//! One run of a container: its first process, its start, when it listens, who asks it to end, and its end.

use std::ffi::OsStr;
use std::sync::Arc;

use super::processes::same;
use super::runtime;
use crate::event::{
    BootTime, ContainerEnd, ContainerReady, ContainerStop, Ending, Event, Origin, ProcessKey, RuntimeEnd,
    SIGKILL, SignalSent,
};

/// The signals that ask a process to end: SIGINT, SIGQUIT and SIGTERM.
const ASKING: [u8; 3] = [2, 3, 15];
/// A request so old was not about this end, in nanoseconds: an hour, longer than any grace period in use.
const ASKED_NS: u64 = 3_600 * 1_000_000_000;
/// Different signals of which the sender is remembered, more than the probes tell of.
const MAX_SIGNALS: usize = 8;

/// What is known of a container's run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    first_process: Option<ProcessKey>,
    started: Option<BootTime>,
    /// It ran before the daemon, or a process of its own has ended in it: it is no failed start.
    executed: bool,
    /// When it was first ready, from its start in nanoseconds.
    pub(crate) ready_after_ns: Option<u64>,
    listens: bool,
    /// What its first process, or before its start any one, was sent. By number: the first SIGKILL, as that one ends it,
    /// and the last of each other one.
    signals: Vec<(ProcessKey, SignalSent)>,
    oom_killed_children: u32,
    stopped: Option<BootTime>,
    /// What the runtime said of its end.
    pub(super) runtime: Option<RuntimeEnd>,
    /// Its end as it was told.
    pub(super) told: Option<Arc<Event>>,
    /// Earlier runs that were seen when it started.
    pub(crate) restarts_seen: u32,
    /// How the run before ended.
    pub(crate) last_end: Option<ContainerEnd>,
}

impl Life {
    /// It was there when the daemon started, so that what is executed in it now is not its start.
    pub(super) fn runs_already(&mut self, first: Option<ProcessKey>) {
        if self.started.is_none() {
            self.first_process = first;
            self.started = Some(first.map_or(BootTime(0), |first| first.start));
            self.executed = true;
            // It may have listened for long.
            self.listens = true;
        }
    }

    /// A process in it executed a program. True for the first one, which starts the container.
    pub(super) fn executed(&mut self, process: ProcessKey, binary: &OsStr, time: BootTime) -> bool {
        if self.started.is_some() || runtime::is_its_binary(binary) {
            return false;
        }
        self.first_process = Some(process);
        self.started = Some(time);
        self.executed = true;
        // A signal that comes during an execve() is told before the exec.
        self.signals.retain(|(receiver, _)| same(*receiver, process));
        true
    }

    /// A process in it began to listen. Gives the first time.
    pub(super) fn listening(
        &mut self,
        address: std::net::SocketAddr,
        time: BootTime,
    ) -> Option<ContainerReady> {
        // Connections' records are read after those of processes: the end may be known already.
        if self.listens || self.stopped.is_some_and(|stopped| stopped < time) {
            return None;
        }
        self.listens = true;
        self.ready_after_ns = self.age(time);
        Some(ContainerReady { address, since_start_ns: self.ready_after_ns })
    }

    /// A signal to that process may be what ends it.
    pub(super) fn heeds(&self, process: ProcessKey) -> bool {
        self.stopped.is_none() && self.first_process.is_none_or(|first| same(first, process))
    }

    /// A process that it heeds was sent a signal.
    pub(super) fn signalled(&mut self, receiver: ProcessKey, sent: SignalSent) {
        if sent.ignored && !ASKING.contains(&sent.signal) {
            return;
        }
        let is_again = |(other, known): &&mut (ProcessKey, SignalSent)| {
            *other == receiver && known.signal == sent.signal
        };
        if let Some((_, known)) = self.signals.iter_mut().find(is_again) {
            if sent.signal != SIGKILL {
                *known = sent;
            }
        } else if self.signals.len() < MAX_SIGNALS {
            self.signals.push((receiver, sent));
        }
    }

    /// A process of its own ended in it: with the first one the container ends.
    pub(super) fn exited(
        &mut self,
        process: ProcessKey,
        ending: Ending,
        oom_killed: bool,
        time: BootTime,
    ) -> Option<ContainerStop> {
        self.executed = true;
        let is_first = self.first_process.is_some_and(|first| same(first, process));
        if !is_first || self.stopped.is_some() {
            self.oom_killed_children += u32::from(oom_killed && self.stopped.is_none());
            return None;
        }
        let mut stop = self.stop(time);
        stop.ending = Some(ending);
        stop.oom_killed = oom_killed;
        if let Ending::Signal { signal, .. } = ending
            && !oom_killed
        {
            let ended = |sent: &&SignalSent| sent.signal == signal && !sent.ignored;
            stop.killed_by = self.signals.iter().map(|(_, sent)| sent).find(ended).cloned();
        }
        Some(stop)
    }

    /// Its cgroup was removed: if nobody saw it end, it has ended now. One that nobody saw starting either may
    /// never have run: the runtime knows.
    pub(super) fn removed(&mut self, time: BootTime) -> Option<ContainerStop> {
        self.stopped.is_none().then(|| self.stop(time))
    }

    /// It runs, as far as is known.
    pub(super) fn is_running(&self) -> bool {
        self.started.is_some() && self.stopped.is_none()
    }

    fn stop(&mut self, time: BootTime) -> ContainerStop {
        self.stopped = Some(time);
        let asks = |sent: &&SignalSent| {
            let outside = sent.origin == Origin::Outside && ASKING.contains(&sent.signal);
            outside && time.since_ns(sent.time) < ASKED_NS
        };
        ContainerStop {
            time,
            run_time_ns: self.age(time),
            executed: self.executed,
            asked_by: self
                .signals
                .iter()
                .map(|(_, sent)| sent)
                .filter(asks)
                .max_by_key(|sent| sent.time)
                .cloned(),
            oom_killed_children: self.oom_killed_children,
            runtime: self.runtime.clone(),
            restarts_seen: self.restarts_seen,
            ..ContainerStop::default()
        }
    }

    fn age(&self, at: BootTime) -> Option<u64> {
        self.started.filter(|start| start.0 != 0).map(|start| at.since_ns(start))
    }
}
