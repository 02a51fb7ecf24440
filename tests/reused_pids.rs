//! Proves that a pid that is used again takes nothing over from whoever had it, and gives it nothing.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use observer_tests::events::{arguments, detail, is, is_of, nothing_lost, process, watch};
use observer_tests::guardian::Guardian;
use observer_tests::wait::{PATIENCE, eventually_blocking};
use observer_tests::{Daemon, Testbed};
use serde_json::Value;

/// Lives of one pid after its first one.
const LIVES: u64 = 5;

/// Runs a shell that exits with a code, with this pid: others may come in between, so it tries until it has it.
fn run_as(pid: u32, code: u64, word: &str) -> Result<()> {
    let script = format!("exit {code}");
    eventually_blocking(PATIENCE, "the pid to be used again", || {
        // The kernel looks for a free pid behind this one (kernel/pid_namespace.c).
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string())?;
        let mut command = Command::new("/bin/sh");
        let mut child = Guardian::shared()?.mark(command.args(["-c", &script, word])).spawn()?;
        let status = child.wait()?;
        ensure!(status.code() == i32::try_from(code).ok(), "{status}");
        Ok(if child.id() == pid { Ok(()) } else { Err(child.id()) })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_life_of_a_pid_is_its_own() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-t", "process_exec,process_exit,container_stop"]).await?;
    let pod = testbed.pod("pids", "first").run().await?;
    pod.container("first", ["workload", "exit", "77"]).start().await?.wait().await?;
    let is_stop = |line: &Value| is_of(line, "container_stop", pod.name(), "first");
    let first = process(&lines.wait_for("the container's end", PATIENCE, is_stop).await?);
    let pid = u32::try_from(first.0)?;
    let word = format!("again-{}", pod.uid());
    for code in 1..=LIVES {
        run_as(pid, code, &word)?;
    }
    let again = |line: &Value| {
        is(line, "process_exec")
            && process(line).0 == first.0
            && arguments(line).last() == Some(&word.as_str())
    };
    let execs = lines.wait_count("all lives of the pid", PATIENCE, LIVES as usize, again).await?;
    for (exec, code) in execs.iter().zip(1..) {
        ensure!(process(exec) != first && arguments(exec)[2] == format!("exit {code}"), "{exec}");
        ensure!(exec["event"]["process"]["parent_pid"] == std::process::id(), "{exec}");
        ensure!(
            exec["event"]["workload"].get("pod").is_none() && detail(exec).get("origin").is_none(),
            "{exec}"
        );
        let its_exit = |line: &Value| is(line, "process_exit") && process(line) == process(exec);
        let exit = lines.wait_for("its exit", PATIENCE, its_exit).await?;
        ensure!(detail(&exit)["code"] == code && exit["event"]["workload"].get("pod").is_none(), "{exit}");
        ensure!(exit["event"]["process"]["binary"] == "/bin/sh", "{exit}");
    }
    let ends = lines.matching(|line| is(line, "process_exit") && process(line) == first);
    let end = ends.first().context("no end of the container's process")?;
    ensure!(
        ends.len() == 1 && detail(end)["code"] == 77 && is_of(end, "process_exit", pod.name(), "first"),
        "{ends:?}"
    );
    ensure!(lines.matching(is_stop).len() == 1, "{}", lines.account());
    nothing_lost(&lines)?;
    pod.remove().await
}
