//! Events as the client's JSON lines tell them.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::lines::Lines;
use crate::wait::PATIENCE;

/// Starts `observer events -f -o json` with more arguments and waits until its stream is connected: what happens
/// from then on is in it.
pub async fn watch<'a>(daemon: &Daemon, args: impl IntoIterator<Item = &'a str>) -> Result<Lines> {
    let lines = daemon.follow(["events", "-f"].into_iter().chain(args))?;
    lines.wait_for("the stream's start", PATIENCE, |line| line.get("node_status").is_some()).await?;
    Ok(lines)
}

/// The line is an event of this type.
pub fn is(line: &Value, event_type: &str) -> bool {
    line["event"]["type"] == event_type
}

/// The line is an event of this type of a container of this name in this pod.
pub fn is_of(line: &Value, event_type: &str, pod: &str, container: &str) -> bool {
    let workload = &line["event"]["workload"];
    is(line, event_type) && workload["pod"] == pod && workload["container"] == container
}

/// What is particular to the event's type.
pub fn detail(line: &Value) -> &Value {
    let event = &line["event"];
    event.get(event["type"].as_str().unwrap_or_default()).unwrap_or(&Value::Null)
}

/// The program's arguments of an exec.
pub fn arguments(line: &Value) -> Vec<&str> {
    let arguments = line["event"]["process_exec"]["arguments"].as_array();
    arguments.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The process of an event: its pid and its start.
pub fn process(line: &Value) -> (u64, String) {
    let process = &line["event"]["process"];
    (process["pid"].as_u64().unwrap_or(0), process["start_time"].as_str().unwrap_or_default().to_owned())
}

/// Demands that no notice of a loss is among the lines. What other tests' connections that are older than the daemon
/// make it tell is none of theirs.
pub fn nothing_lost(lines: &Lines) -> Result<()> {
    let is_loss = |line: &Value| line.get("lost").is_some_and(|lost| lost["source"] != "LOSS_SOURCE_NETNS");
    let lost = lines.matching(is_loss);
    ensure!(lost.is_empty(), "lost: {lost:?}");
    Ok(())
}
