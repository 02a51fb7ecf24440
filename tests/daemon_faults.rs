//! Proves that the daemon ends cleanly, shares nothing by accident, and outlives what fails around it.

use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use observer_tests::client::{command, is_missing, json, serving};
use observer_tests::events::{is, is_of, process, watch};
use observer_tests::guardian::Guardian;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Footprint, Lines, Testbed, eventually, workload};
use rustix::process::Signal;
use serde_json::Value;

fn bare() -> observer_tests::daemon::DaemonBuilder {
    Daemon::bare().arg("--cri-endpoint").arg("none")
}

/// A daemon that would serve at another one's socket too.
fn beside(socket: &Path) -> observer_tests::daemon::DaemonBuilder {
    bare().arg("--listen").arg(format!("unix://{}", socket.display()))
}

async fn cri_status(daemon: &Daemon) -> Result<Value> {
    let status = json(daemon.socket(), ["status"]).await?;
    let sources = status[0]["identity_sources"].as_array().context("no identity sources")?;
    Ok(sources.iter().find(|source| source["name"] == "cri").cloned().unwrap_or(Value::Null))
}

async fn cri_becomes(daemon: &Daemon, healthy: bool) -> Result<Value> {
    eventually(PATIENCE, &format!("the runtime's health to be {healthy}"), async || {
        let source = cri_status(daemon).await?;
        let is_so = source != Value::Null && source["healthy"].as_bool().unwrap_or(false) == healthy;
        Ok(if is_so { Ok(source) } else { Err(source) })
    })
    .await
}

/// The daemon sees what happens on the host.
async fn sees_the_host(daemon: &Daemon) -> Result<()> {
    let lines = watch(daemon, ["-t", "process_exec"]).await?;
    let program = workload::on_host(["exit", "0"])?;
    let pid = program.pid();
    let is_it = |line: &Value| is(line, "process_exec") && process(line).0 == u64::from(pid);
    lines.wait_for("an exec on the host", PATIENCE, is_it).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_streams_and_leaves_nothing() -> Result<()> {
    let mut daemon = bare().start().await?;
    let footprint = Footprint::of(&daemon).await?;
    let mut events = watch(&daemon, []).await?;
    let mut summaries = daemon.follow(["summary", "-f", "--window", "1s"])?;
    summaries.wait_for("a summary", PATIENCE, |line| line.get("summary").is_some()).await?;
    let status = daemon.stop().await?;
    ensure!(status.code() == Some(0), "{status}");
    for lines in [&mut events, &mut summaries] {
        let ended = lines.wait().await?;
        ensure!(ended.code() == Some(0), "{ended}: {}", lines.account());
        let last = lines.values().pop().context("no line")?;
        ensure!(last["node_status"]["state"] == "NODE_STATE_STOPPING", "{}", lines.account());
    }
    ensure!(!daemon.socket().exists(), "the socket is still there");
    footprint.gone().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_leaves_a_socket_only_and_the_next_takes_it() -> Result<()> {
    let mut daemon = bare().start().await?;
    let footprint = Footprint::of(&daemon).await?;
    let mut events = watch(&daemon, []).await?;
    daemon.kill().await?;
    footprint.gone().await?;
    let ended = events.wait().await?;
    ensure!(
        ended.code() == Some(1) && events.stderr().contains("connection"),
        "{ended} {}",
        events.account()
    );
    ensure!(daemon.socket().exists() && serving(daemon.socket()).await.is_err());
    let mut next = beside(daemon.socket()).start().await?;
    serving(daemon.socket()).await?;
    ensure!(next.stderr().contains("a daemon that died left behind"), "{}", next.stderr());
    ensure!(next.stop().await?.code() == Some(0) && !daemon.socket().exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_at_the_same_socket_does_no_harm() -> Result<()> {
    let mut first = bare().start().await?;
    let events = watch(&first, []).await?;
    let mut second = beside(first.socket()).spawn()?;
    let status = second.wait().await?;
    let (said, path) = (second.stderr(), first.socket().display().to_string());
    ensure!(status.code() == Some(1), "{status}: {said}");
    ensure!(said.contains(&path) && said.contains("another daemon"), "{said}");
    ensure!(first.running());
    serving(first.socket()).await?;
    let program = workload::on_host(["exit", "0"])?;
    let pid = program.pid();
    let is_it = |line: &Value| is(line, "process_exec") && process(line).0 == u64::from(pid);
    events.wait_for("an exec, on the stream of before", PATIENCE, is_it).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_restarts_is_reported_and_asked_again() -> Result<()> {
    let testbed = Testbed::start().await?;
    let mut daemon = Daemon::on(&testbed).start().await?;
    cri_becomes(&daemon, true).await?;
    let old = testbed.pod("restart", "old").run().await?;
    let lines = watch(&daemon, ["-n", "restart"]).await?;
    let sleeper = old.container("sleeper", ["sleep", "1000"]).start().await?;
    lines
        .wait_for("its start", PATIENCE, |line| is_of(line, "container_start", old.name(), "sleeper"))
        .await?;
    let pid = sleeper.pid().await?;

    testbed.stop_containerd()?;
    let source = cri_becomes(&daemon, false).await?;
    ensure!(source["message"].as_str().is_some_and(|words| !words.is_empty()), "{source}");
    ensure!(source["endpoint"] == testbed.cri_endpoint(), "{source}");
    sees_the_host(&daemon).await?;
    // What was named keeps its name.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid as i32).context("no pid")?,
        Signal::KILL,
    )?;
    lines.wait_for("its stop", PATIENCE, |line| is_of(line, "container_stop", old.name(), "sleeper")).await?;

    testbed.start_containerd().await?;
    cri_becomes(&daemon, true).await?;
    let new = testbed.pod("restart", "new").run().await?;
    new.container("after", ["workload", "exit", "0"]).start().await?;
    lines
        .wait_for("a new start", PATIENCE, |line| is_of(line, "container_start", new.name(), "after"))
        .await?;
    ensure!(daemon.running());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_is_missed_and_its_clients_go_on_with_it() -> Result<()> {
    let daemon = bare().start().await?;
    let args = ["events", "-f", "-o", "json", "-t", "process_exec"];
    let lines = Lines::spawn("observer", command(daemon.socket(), args)?)?;
    lines.wait_for("the stream's start", PATIENCE, |line| line.get("node_status").is_some()).await?;
    daemon.signal(Signal::STOP)?;
    eventually(2 * PATIENCE, "the client to miss it", async || {
        let said = lines.stderr();
        Ok(if said.contains("the connection to the daemon broke; waiting 60 s") { Ok(()) } else { Err(said) })
    })
    .await?;
    let program = workload::on_host(["exit", "0"])?;
    let pid = u64::from(program.pid());
    daemon.signal(Signal::CONT)?;
    let is_it = |line: &Value| is(line, "process_exec") && process(line).0 == pid;
    lines.wait_for("what happened meanwhile", PATIENCE, is_it).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_never_answers_blocks_nothing() -> Result<()> {
    let socket = Guardian::shared()?.scratch("silent")?.join("silent.sock");
    // Connections wait in its queue for ever.
    let _silent = UnixListener::bind(&socket)?;
    let endpoint = format!("unix://{}", socket.display());
    let daemon = Daemon::bare().arg("--cri-endpoint").arg(&endpoint).start().await?;
    sees_the_host(&daemon).await?;
    let source = cri_becomes(&daemon, false).await?;
    ensure!(source["endpoint"] == endpoint.as_str() && source["message"] != "", "{source}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_runtime_containers_show_by_id() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = bare().start().await?;
    let source = cri_becomes(&daemon, false).await?;
    ensure!(source["message"].as_str().is_some_and(|words| words.contains("by id")), "{source}");
    let pod = testbed.pod("nameless", "nameless").run().await?;
    let lines = watch(&daemon, []).await?;
    let container = pod.container("nameless", ["workload", "exit", "3"]).start().await?;
    for event_type in ["container_start", "process_exec", "process_exit", "container_stop"] {
        let is_it = |line: &Value| {
            let workload = &line["event"]["workload"];
            let is_runtime = line["event"]["process"]["binary"] != "/bin/workload";
            is(line, event_type) && workload["container_id"] == container.id() && !is_runtime
        };
        let line = lines.wait_for(event_type, PATIENCE, is_it).await?;
        let workload = &line["event"]["workload"];
        ensure!(workload["pod_uid"] == pod.uid() && workload["kind"] == "WORKLOAD_KIND_POD", "{line}");
        ensure!(workload.get("pod").is_none() && workload.get("container").is_none(), "{line}");
    }
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_hook_takes_its_capability_alone() -> Result<()> {
    let hooks = "tcp_send_reset,tcp_receive_reset";
    let daemon = bare().arg("--disabled-hooks").arg(hooks).start().await?;
    let status = json(daemon.socket(), ["status"]).await?;
    let capabilities = status[0]["capabilities"].as_array().context("no capabilities")?;
    let off: Vec<&Value> = capabilities.iter().filter(|one| is_missing(one)).collect();
    ensure!(off.len() == 1 && off[0]["name"] == "tcp_reset", "{off:?}");
    for words in ["reason", "consequence", "remedy"] {
        ensure!(off[0][words].as_str().is_some_and(|text| !text.is_empty()), "{off:?}");
    }
    let reason = off[0]["reason"].as_str().unwrap_or_default();
    ensure!(hooks.split(',').all(|hook| reason.contains(hook)), "{reason}");
    ensure!(daemon.stderr().contains("tcp_send_reset is not attached"), "{}", daemon.stderr());
    sees_the_host(&daemon).await
}
