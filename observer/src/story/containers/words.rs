//! The words for how a container's run began and ended.

use observer_proto::v1::{
    ContainerCrashLoop, ContainerReady, ContainerStart, ContainerStop, EndKind, Evidence, OomKill, OomScope,
    Process, TimelineKind, Workload,
};

use super::super::line::{At, Group, Line, bytes, count, time};
use super::super::names;
use crate::units::{bytes as size, duration, plural};

/// A kill for memory.
#[derive(Debug)]
pub(super) struct Oom {
    pub(super) workload: Workload,
    pub(super) at: At,
    victim: Option<Process>,
    kill: OomKill,
}

impl Oom {
    pub(super) fn new(workload: &Workload, kill: &OomKill, victim: Option<&Process>, at: At) -> Self {
        Self { workload: workload.clone(), at, victim: victim.cloned(), kill: kill.clone() }
    }

    /// One that its container survived, or whose end was not seen.
    pub(super) fn line(&self) -> Line {
        let victim = self.victim.as_ref().map_or_else(|| "a process".to_owned(), names::process);
        let who = names::container(&self.workload);
        let text = format!("the OOM killer killed {victim} of {who}{}{}", self.limit(), self.resident());
        let line = Line::new(self.at.moment, TimelineKind::Failure, text).of(Some(&self.workload));
        line.made_of(&Group::of(self.at)).with(self.evidence())
    }

    /// Whose memory had run out.
    fn limit(&self) -> String {
        match (self.kill.scope(), self.kill.limit_bytes) {
            (OomScope::Cgroup, Some(limit)) => format!(" at its limit of {}", exact(limit)),
            (OomScope::Node, _) => ": the whole node's memory had run out".to_owned(),
            (OomScope::Cgroup | OomScope::Unspecified, _) => String::new(),
        }
    }

    fn resident(&self) -> String {
        self.kill
            .resident_bytes
            .map_or_else(String::new, |resident| format!(", with {} resident", size(resident)))
    }

    fn evidence(&self) -> Vec<Evidence> {
        let OomKill { resident_bytes, scope: _, cgroup: _, limit_bytes, usage_bytes } = &self.kill;
        let figures = [
            ("memory_limit", *limit_bytes),
            ("memory_usage", *usage_bytes),
            ("resident_memory", *resident_bytes),
        ];
        figures.into_iter().filter_map(|(name, value)| Some(bytes(name, value?))).collect()
    }
}

/// A limit as people set it: `64 MiB`.
fn exact(limit: u64) -> String {
    match limit {
        _ if limit.is_multiple_of(1 << 30) => format!("{} GiB", limit >> 30),
        _ if limit.is_multiple_of(1 << 20) => format!("{} MiB", limit >> 20),
        _ => size(limit),
    }
}

/// How often it was started again before this run.
fn restarts(workload: &Workload, seen: u32) -> u32 {
    workload.restart_count.unwrap_or(0).max(seen)
}

/// How a run ended, and the figures of that.
pub(super) fn stop(workload: &Workload, stop: &ContainerStop, oom: Option<&Oom>) -> (String, Vec<Evidence>) {
    let restarts = restarts(workload, stop.restarts_seen);
    let run = if restarts > 0 { format!(" (restart {restarts})") } else { String::new() };
    let code = match (stop.code, stop.signal) {
        (Some(code), _) => Some(code),
        (None, Some(signal)) => Some(128 + signal),
        (None, None) => None,
    };
    let exit = code.map_or_else(String::new, |code| format!("exit {code}"));
    let signal = &stop.signal_name;
    let how = match stop.kind() {
        EndKind::OomKilled => {
            let (limit, resident) = oom.map_or_else(Default::default, |oom| (oom.limit(), oom.resident()));
            format!("was killed by the OOM killer{limit} ({exit}){resident}")
        }
        EndKind::Completed => "ended with exit 0".to_owned(),
        EndKind::Error => format!("failed with {exit}"),
        EndKind::Signalled => format!("was killed by {signal} ({exit})"),
        EndKind::KilledAfterGrace => format!("did not end in time and was killed by {signal} ({exit})"),
        EndKind::StartError => format!("could not start{}", said(stop)),
        EndKind::CoreDumped => format!("crashed with {signal} ({exit}, core dumped)"),
        EndKind::Vanished => "vanished: its cgroup was removed, and nobody says how it ended".to_owned(),
        EndKind::Unspecified => "ended".to_owned(),
    };
    let after = stop.run_time_ns.map_or_else(String::new, |ns| format!(", {} after its start", duration(ns)));
    let children = match stop.oom_killed_children {
        0 => String::new(),
        1 => "; before that a child of it had been killed for memory".to_owned(),
        many => format!("; before that {many} children of it had been killed for memory"),
    };
    let pod = match (stop.pod_ended, stop.others_running) {
        (true, _) => "; the pod ended with it".to_owned(),
        (false, Some(others @ 1..)) => {
            format!("; {} of the pod ran on", plural(others.into(), "other container"))
        }
        (false, Some(0) | None) => String::new(),
    };
    let mut evidence: Vec<Evidence> = code.map(|code| count("exit_code", code.into())).into_iter().collect();
    evidence.extend(stop.run_time_ns.map(|ns| time("run_time", ns)));
    evidence.extend(oom.map(Oom::evidence).unwrap_or_default());
    (format!("{}{run} {how}{after}{children}{pod}", names::container(workload)), evidence)
}

/// What the runtime says of a program that could not be executed.
fn said(stop: &ContainerStop) -> String {
    let said = stop.runtime.as_ref().map_or("", |runtime| runtime.message.as_str());
    let said = said.rsplit("unable to start container process: ").next().unwrap_or_default();
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// The start of a run, and when it was ready.
pub(super) fn start(
    workload: &Workload,
    start: &ContainerStart,
    at: At,
    after_failure: bool,
    ready: Option<(&ContainerReady, At)>,
) -> Line {
    let restarts = restarts(workload, start.restarts_seen);
    let how = match (restarts, start.since_last_end_ns) {
        (0, _) => "was started".to_owned(),
        (restarts, Some(ns)) => format!("was started again (restart {restarts}) after {}", duration(ns)),
        (restarts, None) => format!("was started again (restart {restarts})"),
    };
    let mut events = Group::of(at);
    let mut evidence: Vec<Evidence> =
        start.since_last_end_ns.map(|ns| time("back_off", ns)).into_iter().collect();
    let listens = ready.map_or_else(String::new, |(ready, at)| {
        events.add(at);
        evidence.extend(ready.since_start_ns.map(|ns| time("ready_after", ns)));
        let after = ready.since_start_ns.map_or_else(String::new, |ns| format!(" {} later", duration(ns)));
        format!(", and was ready{after}: it listens on :{}", ready.port)
    });
    let text = format!("{} {how}{listens}", names::container(workload));
    let kind = if after_failure { TimelineKind::Consequence } else { TimelineKind::Context };
    Line::new(at.moment, kind, text).of(Some(workload)).made_of(&events).with(evidence)
}

/// A crash loop.
pub(super) fn crash_loop(workload: &Workload, crash_loop: &ContainerCrashLoop, at: At) -> Line {
    let ContainerCrashLoop { failures, window_ns, .. } = crash_loop;
    let who = names::container(workload);
    let text =
        format!("{who} is in a crash loop: {failures} runs of it failed within {}", duration(*window_ns));
    let line = Line::new(at.moment, TimelineKind::Failure, text).of(Some(workload));
    line.made_of(&Group::of(at)).with([count("failed_ends", (*failures).into())])
}

/// Ends between the first ones and the last one.
pub(super) fn likewise(workload: &Workload, ends: impl Iterator<Item = At>) -> Line {
    let mut events = Group::default();
    ends.for_each(|at| events.add(at));
    let n = events.count;
    let lasted = duration(events.lasted_ns());
    let runs = if n == 1 { "one more run".to_owned() } else { format!("{n} more runs") };
    let text = format!("{runs} of {} failed within {lasted}", names::container(workload));
    let line = Line::new(events.first.unwrap_or_default(), TimelineKind::Failure, text);
    line.of(Some(workload)).made_of(&events).with([count("failed_ends", n)])
}
