//! Incidents open by themselves within seconds, name the right pod, and tell the cause before the effect.
#![allow(clippy::print_stdout, reason = "it shows what a reader is told")]
#![allow(clippy::disallowed_methods, reason = "it asks for what happened before a moment")]

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use observer_tests::container::ContainerBuilder;
use observer_tests::elsewhere::Elsewhere;
use observer_tests::events::watch;
use observer_tests::guardian::Guardian;
use observer_tests::story::{Line, nanos, tells};
use observer_tests::wait::PATIENCE;
use observer_tests::{Container, Daemon, Lines, Packets, Pod, Testbed, client, eventually};
use serde_json::Value;

/// So soon after a failure its incident has to be told.
const SOON: Duration = Duration::from_secs(5);
/// What a container may use that keeps too much.
const LIMIT: i64 = 64 << 20;

/// The wall clock, in nanoseconds.
fn now() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos())?)
}

/// A daemon that records, and a stream of its incidents.
async fn watching() -> Result<(Daemon, Lines)> {
    let testbed = Testbed::shared().await?;
    let record = Guardian::shared()?.scratch("record")?;
    let record = record.to_str().context("a path that is no text")?;
    let daemon = Daemon::on(testbed)
        .args(["--attribution-hold", "2s"])
        .env("OBSERVER_RECORD_DIR", record)
        .start()
        .await?;
    let changes = daemon.follow(["incident", "list", "-f"])?;
    changes.wait_for("the stream's start", PATIENCE, |line| line.get("node_status").is_some()).await?;
    Ok((daemon, changes))
}

/// The first word of an incident that concerns this pod, and demands that it came soon after that moment.
async fn opens(changes: &Lines, pod: &Pod, failed_ns: u64) -> Result<Value> {
    let is_of = |line: &Value| {
        let workloads = line["incident"]["workloads"].as_array();
        workloads.into_iter().flatten().any(|workload| workload["pod"] == pod.name())
    };
    let line = changes.wait_for(&format!("an incident of {}", pod.name()), 2 * PATIENCE, is_of).await?;
    let told = nanos(&line["time"]).context("no time")?;
    let late = Duration::from_nanos(told.saturating_sub(failed_ns));
    ensure!(late <= SOON, "told {late:?} after it failed: {line}");
    Ok(line["incident"].clone())
}

/// The incident, once its title has all of these words; demands that its story tells these things, by the daemon and
/// elsewhere by the file that it exports, and that both have the same title.
async fn told(daemon: &Daemon, opened: &Value, words: &[&str], lines: &[Line<'_>]) -> Result<Value> {
    let id = opened["id"].as_str().context("no id")?;
    let shown = eventually(2 * PATIENCE, &format!("a title with {words:?}, and the story"), async || {
        let shown = client::json(daemon.socket(), ["incident", "show", id]).await?.remove(0);
        let title = shown["incident"]["title"].as_str().unwrap_or_default();
        if !words.iter().all(|word| title.contains(word)) {
            return Ok(Err(title.to_owned()));
        }
        // What follows from it is told a moment later.
        Ok(tells(timeline(&shown), lines).map(|()| shown).map_err(|error| format!("{error:#}")))
    })
    .await?;
    let output = client::run(daemon.socket(), ["incident", "show", id]).await?;
    println!("{}", String::from_utf8(output.stdout)?);
    keep(daemon, &shown["incident"]).await?;
    let elsewhere = Elsewhere::of(daemon, id).await?;
    let again = elsewhere.json(&["incident", "show", id])?.remove(0);
    tells(timeline(&again), lines).context("by the exported file")?;
    ensure!(again["incident"]["title"] == shown["incident"]["title"], "{}", again["incident"]);
    Ok(shown["incident"].clone())
}

fn timeline(shown: &Value) -> &[Value] {
    shown["timeline"].as_array().map_or(&[], Vec::as_slice)
}

/// A container of a pod that serves on port 8080.
async fn serves(pod: &Pod, more: &[&str]) -> Result<Container> {
    let argv = [&["workload", "serve", "--port", "8080"], more].concat();
    pod.container("app", argv).start_until("listening").await
}

/// A container that asks it again and again.
fn asks<'a>(pod: &'a Pod, server: &Pod, more: &[&str]) -> Result<ContainerBuilder<'a>> {
    let to = format!("{}:8080", server.ip()?);
    Ok(pod.container("app", [&["workload", "connect", "--to", &to], more].concat()))
}

/// Where recordings are wanted (`observer/src/story/recordings`), writes what the story was made of.
async fn keep(daemon: &Daemon, incident: &Value) -> Result<()> {
    let Some(folder) = std::env::var_os("OBSERVER_RECORDINGS").map(PathBuf::from) else { return Ok(()) };
    let name = incident["workloads"][0]["namespace"].as_str().context("no namespace")?;
    let events = client::run(daemon.socket(), ["events", "-n", name, "--all", "-o", "json"]).await?;
    std::fs::write(folder.join(format!("{name}.events.json")), events.stdout)?;
    Ok(std::fs::write(folder.join(format!("{name}.incident.json")), format!("{incident}\n"))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_that_stops_answering_leads_to_a_crash_loop() -> Result<()> {
    let (daemon, changes) = watching().await?;
    let events = watch(&daemon, ["-n", "oomloop"]).await?;
    let testbed = Testbed::shared().await?;
    let dependency = testbed.pod("oomloop", "dependency").run().await?;
    serves(&dependency, &[]).await?;
    let pod = testbed.pod("oomloop", "cart").run().await?;
    let to = format!("{}:8080", dependency.ip()?);
    let argv = ["workload", "buffer", "--to", &to, "--interval-ms", "50", "--kib", "512"];
    let run =
        async |attempt: u32| pod.container("app", argv).attempt(attempt).memory_limit(LIMIT).start().await;
    let mut container = run(0).await?;
    let connected = |line: &Value| line["event"]["type"] == "tcp_connect";
    events.wait_count("its first connections", PATIENCE, 20, connected).await?;
    let loss = dependency.lose(100, &Packets::tcp().to_port(8080))?;
    let mut opened = None;
    for attempt in 1..=3 {
        container.wait_reason("OOMKilled").await?;
        if opened.is_none() {
            let is_kill = |line: &Value| line["event"]["type"] == "oom_kill";
            let kill = events.wait_for("the kill", PATIENCE, is_kill).await?;
            let killed = nanos(&kill["event"]["time"]).context("no time")?;
            opened = Some(opens(&changes, &pod, killed).await?);
        }
        if attempt < 3 {
            container = run(attempt).await?;
        }
    }
    let opened = opened.context("no incident")?;
    let name = format!("oomloop/{}: container app killed for memory (limit 64 MiB)", pod.name());
    let (app, server) = (format!("oomloop/{}", pod.name()), format!("oomloop/{}:8080", dependency.name()));
    let limit = "OOM killer at its limit of 64 MiB (exit 137)";
    let lines = [
        Line("CAUSE", &[&app, "no answer from", &server, "had succeeded"]),
        Line("FAILURE", &[&app, limit]),
        Line("CONTEXT", &["connections of", &server, "no answer"]),
        Line("CONSEQUENCE", &[&app, "was started again (restart 1)"]),
        Line("FAILURE", &[&app, "(restart 1)", limit]),
        Line("FAILURE", &[&app, "(restart 2)", limit]),
        Line("FAILURE", &[&app, "crash loop"]),
    ];
    let incident = told(&daemon, &opened, &[&name, "again and again"], &lines).await?;
    let firings = incident["firings"].as_array().context("no firings")?;
    ensure!(firings.iter().any(|one| one["kind"] == "TRIGGER_KIND_CRASH_LOOP"), "{incident}");
    loss.stop()?;
    pod.remove().await?;
    dependency.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_accepting_is_told_before_who_waits_for_it() -> Result<()> {
    let (daemon, changes) = watching().await?;
    let testbed = Testbed::shared().await?;
    let server = testbed.pod("stuck", "api").run().await?;
    let container = serves(&server, &["--accept", "60"]).await?;
    let caller = testbed.pod("stuck", "web").run().await?;
    let load = ["--count", "100000", "--parallel", "4", "--interval-ms", "20", "--bytes", "100"];
    asks(&caller, &server, &load)?.start().await?;
    container.wait_json("that it stops", |line| line["accepting"] == false).await?;
    let opened = opens(&changes, &server, now()?).await?;
    let own = format!("stuck/{}", server.name());
    let title = format!("{own} does not accept connections on :8080");
    let lines = [
        Line("CAUSE", &[&own, "stops accepting connections on :8080"]),
        Line("FAILURE", &[&own, "not accepted by its process"]),
    ];
    told(&daemon, &opened, &[&title], &lines).await?;
    caller.remove().await?;
    server.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_link_between_two_pods_is_told_as_that() -> Result<()> {
    let (daemon, changes) = watching().await?;
    let testbed = Testbed::shared().await?;
    let server = testbed.pod("link", "b").run().await?;
    serves(&server, &[]).await?;
    let caller = testbed.pod("link", "a").run().await?;
    let load = ["--count", "100000", "--parallel", "4", "--interval-ms", "10", "--bytes", "20000"];
    let loss = server.lose(20, &Packets::data().to_port(8080))?;
    asks(&caller, &server, &load)?.start_until("remote").await?;
    let opened = opens(&changes, &server, now()?).await?;
    let (a, b) = (format!("link/{}", caller.name()), format!("link/{}:8080", server.name()));
    let lines = [
        Line("CAUSE", &["segments between", &a, &b, "get lost", "sent again"]),
        Line("FAILURE", &[&a, &b, "were sent again for a reason"]),
    ];
    told(&daemon, &opened, &[&format!("{a} <-> {b}: "), " of segments lost"], &lines).await?;
    loss.stop()?;
    caller.remove().await?;
    server.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_enters_a_container_and_kills_its_process_is_named_first() -> Result<()> {
    let (daemon, changes) = watching().await?;
    let testbed = Testbed::shared().await?;
    // Where processes are shared no container's process is the first of its namespace, which ignores signals.
    let pod = testbed.pod("entered", "cart").share_processes().run().await?;
    let container = serves(&pod, &[]).await?;
    let caller = testbed.pod("entered", "web").run().await?;
    let load = ["--count", "3", "--parallel", "3", "--bytes", "10", "--hold", "600"];
    asks(&caller, &pod, &load)?.start().await?;
    let lines = watch(&daemon, ["-n", "entered", "--all", "-t", "tcp_accept"]).await?;
    lines.wait_count("its connections", PATIENCE, 3, |line| line["event"]["type"] == "tcp_accept").await?;
    let script = "for p in /proc/[0-9]*; do read c < $p/comm; if [ \"$c\" = workload ]; then kill -KILL ${p#/proc/}; fi; done";
    let killed = container.exec(["sh", "-c", script]).await;
    let failed = now()?;
    println!("the command ended: {killed:?}");
    let opened = opens(&changes, &pod, failed).await?;
    let title =
        format!("entered/{}: container app killed by somebody who entered it (SIGKILL from sh)", pod.name());
    let own = format!("container app of entered/{}", pod.name());
    let lost = format!("entered/{} lost 3", caller.name());
    let lines = [
        Line("ACTION", &["somebody came into", &own, "sh -c"]),
        Line("CAUSE", &["sh (pid ", "had come into the container from outside", "sent SIGKILL", &own]),
        Line("FAILURE", &[&own, "was killed by SIGKILL (exit 137)"]),
        Line("CONSEQUENCE", &["3 connections ended with", &own, &lost]),
    ];
    told(&daemon, &opened, &[&title], &lines).await?;
    caller.remove().await?;
    pod.remove().await
}
