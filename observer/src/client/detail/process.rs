//! The words for what processes do: exec, exit, OOM kill.

use observer_proto::v1::{Ancestor, Event, ExecOrigin, OomKill, OomScope, ProcessExec, ProcessExit};

use super::super::escape::{escape, quote};
use super::super::label;
use super::super::units::{bytes, duration};
use super::ending;

/// The longest tick of a scheduler, by which a time of CPU may be short: less than that says nothing.
const SURE_NS: u64 = 10_000_000;

/// The command, who runs it, and all that is out of the ordinary.
pub(super) fn exec(exec: &ProcessExec, event: &Event) -> Vec<String> {
    let process = event.process.as_ref();
    let binary = process.map_or("", |process| process.binary.as_str());
    // The program's own name for itself gives way to the path that was executed.
    let own = exec.arguments.first().map_or("", String::as_str);
    let mut command = quote(if binary.is_empty() { own } else { binary }).into_owned();
    if exec.binary_truncated {
        command.push('…');
    }
    for argument in exec.arguments.iter().skip(1) {
        command.push(' ');
        command.push_str(&quote(argument));
    }
    if exec.arguments_truncated {
        command.push_str(" …");
    }
    let mut words = vec![command];
    if let Some(process) = process {
        words.push(format!("pid {} by {}", process.pid, process.parent_pid));
        words.extend(process.uid.map(|uid| format!("uid {uid}")));
    }
    match exec.origin() {
        ExecOrigin::Unspecified | ExecOrigin::ContainerStart => {}
        ExecOrigin::Entered => words.push(match exec.ancestors.first() {
            Some(parent) => format!("entered from outside by {}", ancestor(parent)),
            None => "entered from outside".to_owned(),
        }),
        ExecOrigin::Namespaces => words.push(format!(
            "entered {} of {}",
            exec.entered_namespaces.join(", "),
            label::owner(exec.entered.as_ref())
        )),
    }
    if exec.terminal {
        words.push("on a terminal".to_owned());
    }
    let in_container = event.workload.as_ref().is_some_and(|workload| !workload.container_id.is_empty());
    if in_container && exec.capabilities.first().is_some_and(|first| first == "ALL") {
        let missing: Vec<&str> =
            exec.capabilities.iter().skip(1).map(|name| name.trim_start_matches('-')).collect();
        let but = if missing.is_empty() { "" } else { " but " };
        words.push(format!("all capabilities{but}{}", escape(&missing.join(", "))));
    }
    words
}

fn ancestor(ancestor: &Ancestor) -> String {
    format!("{} (pid {})", escape(&ancestor.comm), ancestor.pid)
}

/// How it ended, and what it used.
pub(super) fn exit(exit: &ProcessExit) -> Vec<String> {
    let mut words =
        vec![ending(exit.code, exit.signal, &exit.signal_name, exit.oom_killed, exit.run_time_ns)];
    if exit.core_dumped {
        words.push("core dumped".to_owned());
    }
    if exit.container_first_process {
        words.push("the container's first process".to_owned());
    }
    words.extend(exit.cpu_time_ns.filter(|ns| *ns >= SURE_NS).map(|ns| format!("{} cpu", duration(ns))));
    if exit.peak_memory_bytes > 0 {
        words.push(format!("{} peak", bytes(exit.peak_memory_bytes)));
    }
    words
}

/// What the victim held, and whose memory had run out.
pub(super) fn oom_kill(kill: &OomKill) -> Vec<String> {
    let mut words: Vec<String> =
        kill.resident_bytes.iter().map(|size| format!("{} resident", bytes(*size))).collect();
    match kill.scope() {
        OomScope::Unspecified => {}
        OomScope::Node => words.push("the node's memory ran out".to_owned()),
        OomScope::Cgroup => {
            let figure = |figure: Option<u64>| figure.map_or_else(|| "?".to_owned(), bytes);
            let (usage, limit) = (figure(kill.usage_bytes), figure(kill.limit_bytes));
            words.push(format!("{usage} of its limit of {limit} used in {}", escape(&kill.cgroup)));
        }
    }
    words
}
