//! What is worth knowing of a container's run: how it began, when it was ready, how it ended and why.

use observer_proto::v1::{
    ContainerCrashLoop, ContainerEnd, ContainerReady, ContainerStart, ContainerStop, EndKind, EndSource,
    Event, RuntimeEnd, SignalOrigin, SignalSent,
};

use super::color::Paint;
use super::escape::{escape, quote};
use super::units::{duration, plural};

/// A start: the image, and what was before.
pub(super) fn start(start: &ContainerStart, event: &Event) -> Vec<String> {
    let mut words = Vec::new();
    if !start.image.is_empty() {
        words.push(format!("image {}", escape(&start.image)));
    }
    let counted = event.workload.as_ref().and_then(|workload| workload.restart_count);
    let restarts = counted.unwrap_or(0).max(start.restarts_seen);
    if restarts > 0 {
        words.push(format!("restart {restarts}"));
    }
    if let (Some(ns), Some(last)) = (start.since_last_end_ns, &start.last_end) {
        words.push(format!("{} after the run before ended ({})", duration(ns), end(last)));
    }
    words
}

/// The first listening socket.
pub(super) fn ready(ready: &ContainerReady) -> Vec<String> {
    let address = escape(&ready.address);
    let address = if address.contains(':') { format!("[{address}]") } else { address.into_owned() };
    let port = if ready.port == 0 { "a free port".to_owned() } else { ready.port.to_string() };
    let mut words = vec![format!("listens on {address}:{port}")];
    words.extend(ready.since_start_ns.map(|ns| format!("{} after its start", duration(ns))));
    if matches!(ready.address.as_str(), "127.0.0.1" | "::1") {
        words.push("for its own pod alone".to_owned());
    }
    words
}

/// An end: what kind it was, how long it lived, who did it, what the runtime says beside, and what became of the pod.
pub(super) fn stop(stop: &ContainerStop) -> Vec<String> {
    let mut words = vec![after(
        how(stop.kind(), stop.code, stop.signal, &stop.signal_name, stop.oom_killed),
        stop.run_time_ns,
    )];
    let grace = stop.kind() == EndKind::KilledAfterGrace;
    words.extend(stop.asked_by.as_ref().map(|asked| asked_by(asked, grace)));
    if let Some(killed) =
        stop.killed_by.as_ref().filter(|killed| !same_sender(killed, stop.asked_by.as_ref()))
    {
        words.push(format!("sent {}", sender(killed)));
    }
    if stop.oom_killed_children > 0 {
        words.push(format!("the OOM killer ended {} before", children(stop.oom_killed_children)));
    }
    words.extend(stop.runtime.as_ref().and_then(|said| runtime(said, stop)));
    words.extend(stop.others_running.map(|others| pod(others, stop.pod_ended)));
    words
}

/// A crash loop: how often, how fast, and the last ends.
pub(super) fn crash_loop(crash_loop: &ContainerCrashLoop) -> Vec<String> {
    let mut words =
        vec![format!("{} failed ends within {}", crash_loop.failures, duration(crash_loop.window_ns))];
    let ends: Vec<String> = crash_loop
        .ends
        .iter()
        .map(|one| {
            let back = one.restarted_after_ns.map(|ns| format!(", back after {}", duration(ns)));
            format!("{}{}", end(one), back.unwrap_or_default())
        })
        .collect();
    if !ends.is_empty() {
        words.push(format!("the last {}", ends.join("; ")));
    }
    words
}

/// The colour of an end.
pub(super) fn severity(stop: &ContainerStop) -> Paint {
    match stop.kind() {
        // An older daemon tells no kind.
        EndKind::Unspecified if stop.code == Some(0) => Paint::Plain,
        EndKind::Completed => Paint::Plain,
        EndKind::Vanished => Paint::Warning,
        EndKind::Unspecified
        | EndKind::Error
        | EndKind::Signalled
        | EndKind::OomKilled
        | EndKind::KilledAfterGrace
        | EndKind::StartError
        | EndKind::CoreDumped => Paint::Failure,
    }
}

/// An end in short.
pub(crate) fn end(end: &ContainerEnd) -> String {
    let how = how(end.kind(), end.code, end.signal, &end.signal_name, end.kind() == EndKind::OomKilled);
    after(how, end.run_time_ns)
}

fn after(mut text: String, run_time: Option<u64>) -> String {
    if let Some(ns) = run_time {
        text.push_str(" after ");
        text.push_str(&duration(ns));
    }
    text
}

/// The kind of the end with its code or signal.
fn how(kind: EndKind, code: Option<u32>, signal: Option<u32>, name: &str, oom: bool) -> String {
    let told = match (code, signal) {
        (_, Some(signal)) if name.is_empty() => format!("signal {signal}"),
        (_, Some(_)) => escape(name).into_owned(),
        (Some(code), None) => format!("code {code}"),
        (None, None) => String::new(),
    };
    let kind = match kind {
        EndKind::Completed => return "completed".to_owned(),
        EndKind::Vanished => return "vanished, its end was not seen".to_owned(),
        EndKind::Unspecified if oom => "OOM-killed",
        EndKind::Unspecified if told.is_empty() => return "its end was not seen".to_owned(),
        EndKind::Unspecified => return told,
        EndKind::Error => "error",
        EndKind::Signalled => "signalled",
        EndKind::OomKilled => "OOM-killed",
        EndKind::KilledAfterGrace => "killed after the grace period",
        EndKind::StartError => "start error",
        EndKind::CoreDumped => "core dumped",
    };
    if told.is_empty() { kind.to_owned() } else { format!("{kind}: {told}") }
}

fn asked_by(asked: &SignalSent, grace: bool) -> String {
    let name = escape(&asked.signal_name);
    let fate = if asked.ignored && grace { ", ignored" } else { "" };
    format!("{} after {name} {}{fate}", duration(asked.before_end_ns), sender(asked))
}

/// The same process did both, or the same program from the same place, as a runtime does for each signal.
fn same_sender(killed: &SignalSent, asked: Option<&SignalSent>) -> bool {
    let comm = |sent: &SignalSent| sent.sender.as_ref().map(|sender| sender.comm.clone());
    asked.is_some_and(|asked| asked.origin == killed.origin && comm(asked) == comm(killed))
}

fn sender(sent: &SignalSent) -> String {
    let place = match sent.origin() {
        SignalOrigin::Unspecified => "",
        SignalOrigin::Container => "from inside ",
        SignalOrigin::Pod => "from another container of the pod ",
        SignalOrigin::Outside => "from outside ",
    };
    match &sent.sender {
        Some(sender) => format!("{place}by {} (pid {})", escape(&sender.comm), sender.pid),
        None => format!("{place}by somebody"),
    }
}

/// What the runtime says, where that is more than the kernel's word.
fn runtime(said: &RuntimeEnd, stop: &ContainerStop) -> Option<String> {
    let reason = escape(&said.reason);
    // What all runtimes say before it when a program cannot be executed says nothing.
    let told = said.message.rsplit("unable to start container process: ").next().unwrap_or_default();
    let message = if told.is_empty() { String::new() } else { format!(" {}", quote(told)) };
    if stop.sources_disagree {
        return Some(format!("but the runtime says {reason}, code {}{message}", said.exit_code));
    }
    let alone = stop.sources.as_slice() == [i32::from(EndSource::Cri)];
    if alone || !message.is_empty() {
        return Some(format!("the runtime says {reason}{message}"));
    }
    None
}

fn children(count: u32) -> String {
    if count == 1 { "a child of it".to_owned() } else { format!("{count} children of it") }
}

fn pod(others: u32, ended: bool) -> String {
    match (ended, others) {
        (true, 0) => "the pod ended".to_owned(),
        (true, others) => format!("the pod ended, {} still running", plural(others.into(), "container")),
        (false, 0) => "nothing else runs in the pod".to_owned(),
        (false, 1) => "1 other container of the pod goes on".to_owned(),
        (false, others) => format!("{others} other containers of the pod go on"),
    }
}
