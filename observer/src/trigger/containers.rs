//! The rules of containers: ends that nobody asked for, kills for memory, crash loops.

use std::sync::Arc;

use super::fired::{Fired, Grade, TriggerKind};
use super::lives::Lives;
use super::names;
use crate::diagnose::{Evidence, bytes, count, time};
use crate::event::{
    ContainerCrashLoop, ContainerEnd, ContainerStop, EndKind, Ending, Event, OomKill, Origin, Shortage,
    SignalSent, Workload, signal_name,
};
use crate::units::{bytes as size, duration};

/// A signal so long before an end was not about it: 10 min, more than grace periods are.
const ASKED_NS: u64 = 600 * 1_000_000_000;
/// Who ends containers because somebody asked for it, by the beginnings of the kernel's names of processes: runtimes and
/// their helpers, engines, the kubelet, and the machine's first process as it shuts down.
const ASKED: [&str; 12] = [
    "runc",
    "crun",
    "youki",
    "kata",
    "containerd",
    "conmon",
    "docker",
    "podman",
    "kubelet",
    "crio",
    "systemd",
    "init",
];

/// A container ended: a failure unless it was asked for.
pub(super) fn stopped(workload: &Arc<Workload>, stop: &ContainerStop, lives: &Lives) -> Option<Fired> {
    let kind = stop.kind();
    // A pod's own container ends with the pod. Of what vanished nobody knows how it ended.
    let told = workload.sandbox || matches!(kind, EndKind::Completed | EndKind::Vanished);
    if told || (kind != EndKind::OomKilled && was_asked_for(stop)) {
        return None;
    }
    let (pod, container) = (names::whole(workload), names::container(workload)?);
    let how = how(workload, stop, lives);
    let ran = stop.run_time_ns.map_or_else(String::new, |ns| format!(" after {}", duration(ns)));
    let children = match stop.oom_killed_children {
        0 => String::new(),
        1 => "; before that a process of it was killed for memory".to_owned(),
        many => format!("; before that {many} processes of it were killed for memory"),
    };
    let evidence = [
        stop.code().map(|code| count("exit_code", code.into())),
        signal(stop).map(|signal| count("signal", signal.into())),
        stop.run_time_ns.map(|ns| time("run_time", ns)),
        Some(count("restarts", stop.restarts_seen.max(workload.restart_count.unwrap_or(0)).into())),
    ];
    Some(Fired {
        kind: TriggerKind::ContainerFailure,
        grade: Grade::Ended,
        time: stop.time,
        title: format!("{pod}: {container} {how}"),
        reason: format!("{container} of {pod} {how}{ran}{children}"),
        workload: Arc::clone(workload),
        edge: None,
        evidence: evidence.into_iter().flatten().collect(),
    })
}

/// The OOM killer chose a process.
pub(super) fn oom_killed(
    workload: &Arc<Workload>,
    event: &Event,
    kill: &OomKill,
    lives: &mut Lives,
) -> Fired {
    let pod = names::whole(workload);
    let process = event.process.as_deref();
    let name = process.map_or("a process", |process| process.comm.as_str());
    let of = names::container(workload).map_or_else(String::new, |container| format!(" of {container}"));
    let (short, long, mut evidence) = shortage(&kill.shortage);
    let resident =
        kill.resident_bytes.map_or_else(String::new, |resident| format!(", {} resident", size(resident)));
    evidence.extend(kill.resident_bytes.map(|resident| bytes("resident_memory", resident)));
    lives.ran_short(workload, &short, event.boot_time);
    let pid = process.map_or_else(String::new, |process| format!(" (pid {})", process.key.pid));
    Fired {
        kind: TriggerKind::OomKill,
        grade: Grade::Killed,
        time: event.boot_time,
        title: format!("{pod}: process {name}{of} killed for memory ({short})"),
        reason: format!("the kernel killed {name}{pid}{of} for memory: {long}{resident}"),
        workload: Arc::clone(workload),
        edge: None,
        evidence,
    }
}

/// Runs of a container failed again and again.
pub(super) fn crash_loop(workload: &Arc<Workload>, event: &Event, crash_loop: &ContainerCrashLoop) -> Fired {
    let ContainerCrashLoop { failures, window_ns, restarts_seen, ends } = crash_loop;
    let pod = names::whole(workload);
    let container = names::container(workload).unwrap_or_else(|| "the container".to_owned());
    let last = ends.last().map_or_else(String::new, |end| format!(" (last: {})", in_short(end)));
    Fired {
        kind: TriggerKind::CrashLoop,
        grade: Grade::Loop,
        time: event.boot_time,
        title: format!("{pod}: {container} fails{last}"),
        reason: format!(
            "{container} of {pod} failed {failures} times within {}{last}",
            duration(since_first(ends, event).min(*window_ns))
        ),
        workload: Arc::clone(workload),
        edge: None,
        evidence: vec![
            count("failed_ends", (*failures).into()),
            count("restarts", (*restarts_seen).max(workload.restart_count.unwrap_or(0)).into()),
        ],
    }
}

/// From the first of these ends to the event, whole seconds at least.
fn since_first(ends: &[ContainerEnd], event: &Event) -> u64 {
    let since = ends.first().map_or(u64::MAX, |end| event.boot_time.since_ns(end.time));
    since.max(1_000_000_000)
}

/// Somebody wanted it to end.
fn was_asked_for(stop: &ContainerStop) -> bool {
    let asks = |sent: &SignalSent| {
        let before_ns = stop.time.since_ns(sent.time);
        sent.origin == Origin::Outside && asks_for_end(&sent.sender.comm, before_ns)
    };
    [&stop.asked_by, &stop.killed_by].into_iter().flatten().any(asks)
}

/// A signal from outside by a process of that name, so long before the end, means that the end was asked for.
pub(crate) fn asks_for_end(comm: &str, before_end_ns: u64) -> bool {
    before_end_ns <= ASKED_NS && ends_on_request(comm)
}

/// A process of that name ends containers because somebody asked for it.
pub(crate) fn ends_on_request(comm: &str) -> bool {
    // Of one that nobody knows nobody can say that it does not.
    comm.is_empty() || ASKED.iter().any(|name| comm.starts_with(name))
}

/// How it ended, after the container's name.
fn how(workload: &Workload, stop: &ContainerStop, lives: &Lives) -> String {
    let signal = signal(stop).map_or_else(|| "a signal".to_owned(), signal_name);
    match stop.kind() {
        EndKind::OomKilled => match lives.shortage(workload.id) {
            Some(whose) => format!("killed for memory ({whose})"),
            None => "killed for memory".to_owned(),
        },
        EndKind::StartError => {
            let said = stop.runtime.as_ref().map_or("", |runtime| runtime.message.as_str());
            let said = said.rsplit("unable to start container process: ").next().unwrap_or_default();
            if said.is_empty() { "could not start".to_owned() } else { format!("could not start ({said})") }
        }
        EndKind::CoreDumped => format!("crashed ({signal}, core dumped)"),
        EndKind::Signalled | EndKind::KilledAfterGrace => match &stop.killed_by {
            Some(sent) => killed(workload, sent, lives),
            None if stop.ending.is_some() && !is_kill(&signal) => format!("crashed ({signal})"),
            None => format!("killed ({signal})"),
        },
        EndKind::Completed | EndKind::Error | EndKind::Vanished => match stop.code() {
            Some(code) => format!("failed with exit code {code}"),
            None => "failed".to_owned(),
        },
    }
}

/// By whom it was killed.
fn killed(workload: &Workload, sent: &SignalSent, lives: &Lives) -> String {
    let (signal, sender) = (signal_name(sent.signal), &sent.sender.comm);
    let from_outside = lives.is_from_outside(workload.id, sent.sender.key);
    match sent.origin {
        _ if from_outside => format!("killed by somebody who entered it ({signal} from {sender})"),
        Origin::Container => format!("killed from within ({signal} from {sender})"),
        Origin::Pod => format!("killed by another container of its pod ({signal} from {sender})"),
        Origin::Outside => format!("killed from outside ({signal} from {sender})"),
    }
}

fn is_kill(signal: &str) -> bool {
    matches!(signal, "SIGKILL" | "SIGTERM" | "SIGINT" | "SIGQUIT" | "SIGHUP")
}

fn signal(stop: &ContainerStop) -> Option<u8> {
    match stop.ending {
        Some(Ending::Signal { signal, .. }) => Some(signal),
        Some(Ending::Code(_)) | None => None,
    }
}

/// The end of a run in a few words.
fn in_short(end: &ContainerEnd) -> String {
    match (end.kind, end.ending, end.code) {
        (EndKind::OomKilled, ..) => "killed for memory".to_owned(),
        (EndKind::StartError, ..) => "could not start".to_owned(),
        (_, Some(Ending::Signal { signal, .. }), _) => signal_name(signal),
        (_, _, Some(code)) => format!("exit code {code}"),
        (_, _, None) => "failed".to_owned(),
    }
}

/// Whose memory had run out: in a title, in a sentence, as figures.
fn shortage(shortage: &Shortage) -> (String, String, Vec<Evidence>) {
    match shortage {
        Shortage::Unknown => {
            ("of whom is not known".to_owned(), "whose had run out is not known".to_owned(), Vec::new())
        }
        Shortage::Node => {
            ("the node's ran out".to_owned(), "the whole node's had run out".to_owned(), Vec::new())
        }
        Shortage::Cgroup { path: _, limit_bytes, usage_bytes } => (
            format!("limit {}", limit(*limit_bytes)),
            format!("{} of the limit of {} used", size(*usage_bytes), limit(*limit_bytes)),
            vec![bytes("memory_limit", *limit_bytes), bytes("memory_usage", *usage_bytes)],
        ),
    }
}

/// A limit as people set it: `64 MiB`.
fn limit(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ => size(bytes),
    }
}
