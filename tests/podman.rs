//! Proves that what Podman's containers do is told as of them, by name: starts, execs, ends and connections.

use anyhow::{Context, Result, ensure};
use observer_tests::events::{arguments, detail, is, nothing_lost, process, watch};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, Podman};
use serde_json::Value;

/// A daemon that knows where that Podman keeps its files.
async fn daemon(podman: &Podman) -> Result<Daemon> {
    let storage = podman.storage().display().to_string();
    Daemon::bare().args(["--cri-endpoint", "none", "--container-folder", &storage]).start().await
}

/// The line is of the container with this id.
fn is_of(line: &Value, id: &str) -> bool {
    line["event"]["workload"]["container_id"] == id
}

/// Waits for the one event of a type of a container.
async fn one(lines: &Lines, id: &str, event_type: &str) -> Result<Value> {
    let found = lines
        .wait_count(&format!("{event_type} of {id}"), PATIENCE, 1, |line| {
            is_of(line, id) && is(line, event_type)
        })
        .await?;
    ensure!(found.len() == 1, "more than one {event_type}: {found:#?}");
    found.into_iter().next().context("nothing found")
}

/// Each event of the container bears its name, its image and no pod.
fn named(lines: &Lines, id: &str, name: &str) -> Result<Vec<Value>> {
    let all = lines.matching(|line| is_of(line, id));
    ensure!(!all.is_empty(), "nothing of {id}");
    for line in &all {
        let workload = &line["event"]["workload"];
        ensure!(workload["container"] == name && workload["name"] == name, "not {name}: {line}");
        ensure!(workload["kind"] == "WORKLOAD_KIND_CONTAINER" && workload.get("pod").is_none(), "{line}");
        ensure!(workload["image"] == observer_tests::podman::IMAGE, "{line}");
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_whole_life_is_told_by_its_name() -> Result<()> {
    let podman = Podman::start()?;
    let daemon = daemon(&podman).await?;
    let lines = watch(&daemon, []).await?;
    let name = podman.name("shop");
    let id = podman.container(&name, &[], &["workload", "serve", "--port", "7001"])?;
    let start = one(&lines, &id, "container_start").await?;
    ensure!(detail(&start)["image"] == observer_tests::podman::IMAGE, "{start}");
    let exec = one(&lines, &id, "process_exec").await?;
    ensure!(arguments(&exec) == ["workload", "serve", "--port", "7001"], "{exec}");
    ensure!(process(&exec) == process(&start), "{exec} {start}");
    let state = &podman.inspect(&name)?["State"];
    ensure!(process(&exec).0 == state["Pid"].as_u64().context("no pid")?, "{exec}, not {state}");
    ensure!(process(&exec).0 != state["ConmonPid"].as_u64().context("no monitor")?);

    // Into it from outside, and three connections over its loopback.
    podman.run(&["exec", &name, "workload", "connect", "--to", "127.0.0.1:7001", "--count", "3"])?;
    for event_type in ["tcp_connect", "tcp_accept"] {
        let is_it = |line: &Value| is_of(line, &id) && is(line, event_type);
        let found = lines.wait_count(event_type, PATIENCE, 3, is_it).await?;
        ensure!(found.len() == 3, "{found:#?}");
        for line in &found {
            let is_serving = line["event"]["process"]["pid"] == exec["event"]["process"]["pid"];
            ensure!(is_serving == (event_type == "tcp_accept"), "{line}");
        }
    }
    podman.run(&["kill", "--signal", "KILL", &name])?;
    let stop = one(&lines, &id, "container_stop").await?;
    ensure!(detail(&stop)["signal_name"] == "SIGKILL" && process(&stop) == process(&start), "{stop}");
    podman.run(&["wait", &name])?;
    let code = &podman.inspect(&name)?["State"]["ExitCode"];
    ensure!(*code == 128 + 9, "podman says {code}");

    let all = named(&lines, &id, &name)?;
    // Its monitor, its runtime and what enters it from outside prepare it, and are none of it.
    for line in all.iter().filter(|line| is(line, "process_exec")) {
        ensure!(arguments(line).first() == Some(&"workload"), "{line}");
    }
    nothing_lost(&lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn short_lives_have_their_names_and_codes() -> Result<()> {
    let podman = Podman::start()?;
    let daemon = daemon(&podman).await?;
    let lines = watch(&daemon, []).await?;
    let cgroup = podman.cgroup();
    let mut expected = Vec::new();
    for code in [0, 7, 42] {
        let name = podman.name("brief");
        let code_text = code.to_string();
        let args = ["run", "--rm", "--name", &name, "--network=none", "--cgroup-parent", &cgroup];
        let command = [observer_tests::podman::IMAGE, "workload", "exit", &code_text];
        ensure!(podman.code(&[&args[..], &command].concat())? == code);
        expected.push((name, code));
    }
    for (name, code) in expected {
        let is_it = |line: &Value| {
            is(line, "container_stop") && line["event"]["workload"]["container"] == name.as_str()
        };
        let stop = lines.wait_for(&format!("the end of {name}"), PATIENCE, is_it).await?;
        ensure!(detail(&stop)["code"].as_i64() == Some(code.into()), "{stop}");
        let id = stop["event"]["workload"]["container_id"].as_str().context("no id")?;
        one(&lines, id, "container_start").await?;
        named(&lines, id, &name)?;
    }
    nothing_lost(&lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_pod_are_told_apart() -> Result<()> {
    let podman = Podman::start()?;
    let daemon = daemon(&podman).await?;
    let lines = watch(&daemon, []).await?;
    let pod = podman.name("pod");
    let infra = ["--infra-image", observer_tests::podman::IMAGE, "--infra-command", "/bin/workload pause"];
    let make = ["pod", "create", "--name", &pod, "--network=none", "--cgroup-parent", &podman.cgroup()];
    let pod_id = podman.run(&[&make[..], &infra].concat())?;
    let (server, client) = (podman.name("server"), podman.name("client"));
    let serve = ["workload", "serve", "--port", "7002"];
    let server_id = podman.container(&server, &["--pod", &pod], &serve)?;
    one(&lines, &server_id, "container_start").await?;
    let connect = ["workload", "connect", "--to", "127.0.0.1:7002", "--count", "2"];
    let client_id = podman.container(&client, &["--pod", &pod], &connect)?;
    let stop = one(&lines, &client_id, "container_stop").await?;
    ensure!(detail(&stop)["code"] == 0, "{stop}");
    // The pod is a cgroup of its own, named by an id like a container's, and no container.
    let told = lines.matching(|line| is_of(line, &pod_id));
    ensure!(told.is_empty(), "{told:#?}");
    let path = podman.inspect(&server)?["State"]["CgroupPath"].as_str().unwrap_or_default().to_owned();
    ensure!(path.contains(&pod_id) && path.contains(&server_id), "the pod has no cgroup: {path}");
    for (id, name, event_type) in [(&client_id, &client, "tcp_connect"), (&server_id, &server, "tcp_accept")]
    {
        let is_it = |line: &Value| is_of(line, id) && is(line, event_type);
        let found = lines.wait_count(event_type, PATIENCE, 2, is_it).await?;
        ensure!(found.len() == 2, "{found:#?}");
        named(&lines, id, name)?;
    }
    nothing_lost(&lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_run_already_are_known() -> Result<()> {
    let podman = Podman::start()?;
    let name = podman.name("early");
    let id = podman.container(&name, &[], &["workload", "sleep", "600"])?;
    let daemon = daemon(&podman).await?;
    let lines = watch(&daemon, []).await?;
    podman.run(&["exec", &name, "true", "early"])?;
    let exec = one(&lines, &id, "process_exec").await?;
    ensure!(arguments(&exec) == ["true", "early"], "{exec}");
    podman.run(&["kill", "--signal", "KILL", &name])?;
    one(&lines, &id, "container_stop").await?;
    let started = lines.matching(|line| is_of(line, &id) && is(line, "container_start"));
    ensure!(started.is_empty(), "it started before: {started:#?}");
    named(&lines, &id, &name)?;
    // The source says that it is there.
    let output = observer_tests::client::run(daemon.socket(), ["status"]).await?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find(|line| line.contains("podman")).context("no source podman")?;
    ensure!(line.contains(&podman.storage().display().to_string()), "{line}");
    nothing_lost(&lines)
}
