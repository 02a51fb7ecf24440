//! Containers: how a run begins, gets ready and ends, as one story of what the kernel and the runtime know.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{BootTime, Ending, Process, WallTime};

/// `SIGKILL`.
pub(crate) const SIGKILL: u8 = 9;
/// What runtimes call an end by the OOM killer.
const OOM_KILLED: &str = "OOMKilled";
/// What runtimes call a program that could not be executed.
const START_ERROR: &str = "StartError";

/// A container's first program started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerStart {
    /// Earlier runs that were seen.
    pub(crate) restarts_seen: u32,
    /// From the last run's end, in nanoseconds.
    pub(crate) since_last_end_ns: Option<u64>,
    /// The last run's end.
    pub(crate) last_end: Option<ContainerEnd>,
}

/// A container listens for the first time in its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerReady {
    /// Where; port 0 where the kernel was about to choose one.
    pub(crate) address: SocketAddr,
    /// From the container's start, in nanoseconds, where that was seen.
    pub(crate) since_start_ns: Option<u64>,
}

/// What kind of end it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndKind {
    /// Code 0.
    Completed,
    /// Another code.
    Error,
    /// A signal.
    Signalled,
    /// The OOM killer ended the first process.
    OomKilled,
    /// It did not end when it was asked to.
    KilledAfterGrace,
    /// The program could not be executed.
    StartError,
    /// A signal, with a core dump.
    CoreDumped,
    /// Its cgroup was removed, and nobody said how it ended.
    Vanished,
}

/// Where a signal came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The container itself.
    Container,
    /// Another container of its pod.
    Pod,
    /// Somebody else.
    Outside,
}

/// A signal that a container's first process was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignalSent {
    /// The signal's number.
    pub(crate) signal: u8,
    /// The process would not have it: the kernel dropped it.
    pub(crate) ignored: bool,
    /// Where from.
    pub(crate) origin: Origin,
    /// The process that sent it.
    pub(crate) sender: Arc<Process>,
    /// When.
    pub(crate) time: BootTime,
}

/// What a runtime says of an end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RuntimeEnd {
    /// Its word, bounded.
    pub(crate) reason: String,
    /// 128 + the signal for a signal.
    pub(crate) exit_code: i32,
    /// Its message, bounded.
    pub(crate) message: String,
    /// When it says that the container ended.
    pub(crate) finished: Option<WallTime>,
    /// Restarts before this run.
    pub(crate) attempt: Option<u32>,
}

impl RuntimeEnd {
    /// It takes the end for the OOM killer's.
    pub(crate) fn is_oom(&self) -> bool {
        self.reason == OOM_KILLED
    }
}

/// A container's first process ended, or its cgroup went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerStop {
    /// When.
    pub(crate) time: BootTime,
    /// How its first process ended; `None` where that was not seen.
    pub(crate) ending: Option<Ending>,
    /// The OOM killer ended its first process.
    pub(crate) oom_killed: bool,
    /// From its start to its end, in nanoseconds, where the start is known.
    pub(crate) run_time_ns: Option<u64>,
    /// A program of its own was executed in it, or it ran before the daemon.
    pub(crate) executed: bool,
    /// The signal that ended it, where its sender was seen.
    pub(crate) killed_by: Option<SignalSent>,
    /// The last signal from outside that asked it to end.
    pub(crate) asked_by: Option<SignalSent>,
    /// Other processes of this run that the OOM killer ended.
    pub(crate) oom_killed_children: u32,
    /// What the runtime says.
    pub(crate) runtime: Option<RuntimeEnd>,
    /// It was the pod's own container.
    pub(crate) pod_ended: bool,
    /// Other containers of the pod that ran on; `None` without a pod.
    pub(crate) others_running: Option<u32>,
    /// Earlier runs that were seen.
    pub(crate) restarts_seen: u32,
}

impl ContainerStop {
    /// What kind of end it was. The kernel's word counts more than the runtime's.
    pub(crate) fn kind(&self) -> EndKind {
        match (self.ending, &self.runtime) {
            (Some(_), _) if self.oom_killed => EndKind::OomKilled,
            (Some(Ending::Code(0)), _) => EndKind::Completed,
            (Some(Ending::Signal { core_dumped: true, .. }), _) => EndKind::CoreDumped,
            (Some(Ending::Signal { signal: SIGKILL, .. }), _) if self.ran_out_of_grace() => {
                EndKind::KilledAfterGrace
            }
            (Some(Ending::Signal { .. }), _) => EndKind::Signalled,
            (None, None) => EndKind::Vanished,
            (None, Some(runtime)) if runtime.reason == START_ERROR => EndKind::StartError,
            (None, Some(runtime)) if runtime.exit_code == 0 && !runtime.is_oom() => EndKind::Completed,
            (None, Some(_)) if !self.executed => EndKind::StartError,
            (None, Some(runtime)) if runtime.is_oom() => EndKind::OomKilled,
            (Some(Ending::Code(_)), _) | (None, Some(_)) => EndKind::Error,
        }
    }

    /// Who asked it to end killed it then.
    fn ran_out_of_grace(&self) -> bool {
        self.asked_by.is_some() && self.killed_by.as_ref().is_none_or(|sent| sent.origin == Origin::Outside)
    }

    /// The exit code: the kernel's, else the runtime's.
    pub(crate) fn code(&self) -> Option<u32> {
        match (self.ending, &self.runtime) {
            (Some(Ending::Code(code)), _) => Some(code.into()),
            (Some(Ending::Signal { .. }), _) | (None, None) => None,
            (None, Some(runtime)) => u32::try_from(runtime.exit_code).ok(),
        }
    }

    /// The kernel and the runtime contradict each other.
    pub(crate) fn sources_disagree(&self) -> bool {
        let (Some(ending), Some(runtime)) = (self.ending, &self.runtime) else { return false };
        let code = match ending {
            Ending::Code(code) => i32::from(code),
            Ending::Signal { signal, .. } => 128 + i32::from(signal),
        };
        code != runtime.exit_code || self.oom_killed != runtime.is_oom()
    }

    /// It went wrong.
    pub(crate) fn is_failure(&self) -> bool {
        self.kind() != EndKind::Completed
    }

    /// The same in short.
    pub(crate) fn in_short(&self) -> ContainerEnd {
        ContainerEnd {
            time: self.time,
            kind: self.kind(),
            ending: self.ending,
            code: self.code(),
            run_time_ns: self.run_time_ns,
            restarted_after_ns: None,
            reason: self.runtime.as_ref().map(|runtime| runtime.reason.clone()).unwrap_or_default(),
        }
    }
}

/// The end of one run, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerEnd {
    /// When.
    pub(crate) time: BootTime,
    /// What kind of end it was.
    pub(crate) kind: EndKind,
    /// How its first process ended, where that was seen.
    pub(crate) ending: Option<Ending>,
    /// The exit code, whoever told it.
    pub(crate) code: Option<u32>,
    /// From its start to its end, in nanoseconds.
    pub(crate) run_time_ns: Option<u64>,
    /// From this end to the next start, in nanoseconds.
    pub(crate) restarted_after_ns: Option<u64>,
    /// The runtime's word.
    pub(crate) reason: String,
}

/// Runs of a container ended with failure again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerCrashLoop {
    /// How many within the window.
    pub(crate) failures: u32,
    /// The window's length in nanoseconds.
    pub(crate) window_ns: u64,
    /// Earlier runs that were seen.
    pub(crate) restarts_seen: u32,
    /// The last ends, the newest last.
    pub(crate) ends: Vec<ContainerEnd>,
}

#[cfg(test)]
mod tests;
