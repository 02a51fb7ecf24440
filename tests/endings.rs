//! Proves that the ways to end are told apart, by process, by container and as the runtime tells them.

use anyhow::{Context, Result, ensure};
use observer_tests::events::{arguments, detail, is, is_of, nothing_lost, process, watch};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, Pod, Testbed};
use rustix::process::Signal;
use serde_json::Value;

const SIGKILL: u64 = 9;
const SIGSEGV: u64 = 11;
/// What a container under test may use.
const LIMIT: u64 = 32 << 20;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Code(u64),
    Signal(u64),
}

fn end(line: &Value) -> Option<End> {
    let of = detail(line);
    match (of["code"].as_u64(), of["signal"].as_u64()) {
        (Some(code), None) => Some(End::Code(code)),
        (None, Some(signal)) => Some(End::Signal(signal)),
        _ => None,
    }
}

/// Waits for the stop of a container and gives its stop and the exit of its first process, of which there must be
/// one each.
async fn ended(lines: &Lines, pod: &Pod, container: &str) -> Result<(Value, Value)> {
    let pod = pod.name();
    let what = format!("the stop of {container}");
    let stop = lines.wait_for(&what, PATIENCE, |line| is_of(line, "container_stop", pod, container)).await?;
    let starts = lines.matching(|line| is_of(line, "container_start", pod, container));
    let stops = lines.matching(|line| is_of(line, "container_stop", pod, container));
    let first = process(&stop);
    let exits = lines.matching(|line| is_of(line, "process_exit", pod, container) && process(line) == first);
    ensure!(starts.len() == 1 && stops.len() == 1 && exits.len() == 1, "{starts:#?} {stops:#?} {exits:#?}");
    ensure!(process(&starts[0]) == first, "{starts:?} {stop}");
    ensure!(end(&stop).is_some() && end(&stop) == end(&exits[0]), "{stop} {}", exits[0]);
    ensure!(detail(&stop)["oom_killed"] == detail(&exits[0])["oom_killed"], "{stop} {}", exits[0]);
    Ok((stop, exits[0].clone()))
}

/// The runtime's way to tell an end in one number.
fn code(end: End) -> u64 {
    match end {
        End::Code(code) => code,
        End::Signal(signal) => 128 + signal,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_and_signals_are_told_as_the_runtime_tells_them() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-n", "endings"]).await?;
    let pod = testbed.pod("endings", "codes").run().await?;
    let wanted: [(&str, &[&str], End, &str); 5] = [
        ("zero", &["workload", "exit", "0"], End::Code(0), "Completed"),
        ("one", &["workload", "exit", "1"], End::Code(1), "Error"),
        ("most", &["workload", "exit", "255"], End::Code(255), "Error"),
        ("killed", &["workload", "sleep", "1000"], End::Signal(SIGKILL), "Error"),
        ("segfault", &["workload", "segfault"], End::Signal(SIGSEGV), "Error"),
    ];
    for (name, argv, expected, reason) in wanted {
        let container = pod.container(name, argv.iter().copied()).start().await?;
        if name == "killed" {
            container.kill(Signal::KILL).await?;
        }
        let exit = container.wait_reason(reason).await?;
        let (stop, event) = ended(&lines, &pod, name).await?;
        ensure!(end(&stop) == Some(expected), "{name}: {stop}");
        ensure!(code(expected) == exit.code as u64, "{name}: {stop}, but {exit:?}");
        let names = (detail(&stop)["signal_name"].as_str(), detail(&event)["signal_name"].as_str());
        let signal = match expected {
            End::Signal(SIGKILL) => Some("SIGKILL"),
            End::Signal(_) => Some("SIGSEGV"),
            End::Code(_) => None,
        };
        ensure!(names == (signal, signal), "{name}: {stop} {event}");
        ensure!(detail(&event).get("oom_killed").is_none(), "{event}");
        ensure!(detail(&event)["run_time_ns"].as_u64().is_some_and(|ns| ns > 0), "{event}");
    }
    ensure!(lines.matching(|line| is(line, "oom_kill")).is_empty(), "{}", lines.account());
    nothing_lost(&lines)?;
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oom_kill_is_told_from_a_kill() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-n", "hunger"]).await?;
    let pod = testbed.pod("hunger", "hungry").run().await?;
    // The runtime hears of OOM kills only a moment after it has started the container.
    let argv = ["sh", "-c", "sleep 1; exec workload eat-memory 512"];
    let hungry = pod.container("hungry", argv).memory_limit(LIMIT as i64).start().await?;
    let exit = hungry.wait_reason("OOMKilled").await?;
    ensure!(exit.code == 137, "{exit:?}");
    let (stop, event) = ended(&lines, &pod, "hungry").await?;
    ensure!(end(&stop) == Some(End::Signal(SIGKILL)), "{stop}");
    ensure!(detail(&stop)["oom_killed"] == true && detail(&event)["oom_killed"] == true, "{stop} {event}");
    let kills = lines.matching(|line| is(line, "oom_kill"));
    ensure!(kills.len() == 1 && is_of(&kills[0], "oom_kill", pod.name(), "hungry"), "{kills:#?}");
    ensure!(process(&kills[0]) == process(&stop), "{kills:#?} {stop}");
    ensure!(kills[0]["event"]["workload"]["container_id"] == hungry.id(), "{kills:#?}");
    // What the limit allows, and at least half of it: the kernel's own memory is counted in the limit too.
    let resident = detail(&kills[0])["resident_bytes"].as_u64().context("no resident_bytes")?;
    ensure!((LIMIT / 2..=LIMIT + (8 << 20)).contains(&resident), "{resident} of {LIMIT}");
    nothing_lost(&lines)?;
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_leader_left_first_ends_once() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-n", "threads"]).await?;
    let pod = testbed.pod("threads", "leader").run().await?;
    let argv = ["workload", "threads", "--code", "7", "--after-ms", "200"];
    let exit = pod.container("leader", argv).start().await?.wait().await?;
    ensure!(exit.code == 7, "{exit:?}");
    let (stop, event) = ended(&lines, &pod, "leader").await?;
    ensure!(end(&stop) == Some(End::Code(7)), "{stop}");
    // It ended with its last thread, not with its leader.
    let run_time = detail(&event)["run_time_ns"].as_u64().context("no run time")?;
    ensure!(run_time >= 200_000_000, "{event}");
    nothing_lost(&lines)?;
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_run_in_a_container_neither_starts_nor_stops_it() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-n", "commands"]).await?;
    let pod = testbed.pod("commands", "command").run().await?;
    let container = pod.container("main", ["sleep", "1000"]).start().await?;
    let start = lines
        .wait_for("its start", PATIENCE, |line| is_of(line, "container_start", pod.name(), "main"))
        .await?;
    ensure!(container.exec(["sh", "-c", "exit 5"]).await?.code == 5);
    let ours = |line: &Value| arguments(line) == ["sh", "-c", "exit 5"];
    let exec = lines.wait_for("the command's exec", PATIENCE, ours).await?;
    ensure!(is_of(&exec, "process_exec", pod.name(), "main"), "{exec}");
    ensure!(process(&exec) != process(&start), "{exec} {start}");
    let its_exit = |line: &Value| is(line, "process_exit") && process(line) == process(&exec);
    let exit = lines.wait_for("the command's exit", PATIENCE, its_exit).await?;
    ensure!(is_of(&exit, "process_exit", pod.name(), "main"), "{exit}");
    ensure!(end(&exit) == Some(End::Code(5)), "{exit}");
    let of_main = |event_type| lines.matching(|line| is_of(line, event_type, pod.name(), "main")).len();
    ensure!((of_main("container_start"), of_main("container_stop")) == (1, 0), "{}", lines.account());
    container.kill(Signal::KILL).await?;
    let (stop, _) = ended(&lines, &pod, "main").await?;
    ensure!(process(&stop) == process(&start), "{stop} {start}");
    ensure!(lines.matching(ours).len() == 1 && lines.matching(its_exit).len() == 1, "{}", lines.account());
    pod.remove().await
}
