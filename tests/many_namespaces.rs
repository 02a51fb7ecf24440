//! Ten thousand network namespaces: the daemon starts as ever, finds what is in the last one, and what it had no time to
//! search is told.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::EventType;
use observer_proto::v1::event::Detail;
use observer_tests::guardian::Guardian;
use observer_tests::wait::PATIENCE;
use observer_tests::watch::to_port;
use observer_tests::{Daemon, Lines, Watch, client, eventually, workload};
use serde_json::Value;
use tokio::sync::Mutex;

/// One test at a time: a namespace takes a quarter of a MiB of the kernel's memory.
static ALONE: Mutex<()> = Mutex::const_new(());
/// The kernel makes a thousand in a second or two, on a machine that is not busy.
const MAKING: Duration = Duration::from_mins(10);
/// With whatever else runs on the machine, an answer may take its time.
const ANSWER: &str = "30s";

/// The namespaces, with a connection in the last one, and a daemon that came later and sees their mounts.
async fn start(count: usize, port: &str, more: &[&str]) -> Result<(Daemon, Lines)> {
    let dir = Guardian::shared()?.scratch("namespaces")?;
    let (mounts, count) = (dir.join("mounts").display().to_string(), count.to_string());
    let argv = ["namespaces", "--count", &count, "--port", port, "--dir", &mounts];
    let holder = workload::on_host(argv.iter().chain(more).copied())?;
    let made = holder.wait_for("namespaces", MAKING, |line| line.get("made").is_some()).await?;
    println!("{made}");
    // Mounts of a mount namespace of the holder's own, so that they go with it, whatever happens.
    let enter = dir.join("observer");
    let (pid, observer) = (holder.pid(), client::observer()?);
    let script =
        format!("#!/bin/sh\nexec nsenter --mount=/proc/{pid}/ns/mnt -- {} \"$@\"\n", observer.display());
    fs::write(&enter, script)?;
    fs::set_permissions(&enter, fs::Permissions::from_mode(0o700))?;
    let daemon = Daemon::bare().binary(enter).arg("--enter-namespaces").start().await?;
    Ok((daemon, holder))
}

async fn listed(daemon: &Daemon, what: &[&str], port: &str) -> Result<Vec<Value>> {
    let args = ["connections", "--timeout", ANSWER, "--port", port];
    client::json(daemon.socket(), args.iter().chain(what).copied()).await
}

/// How many network namespaces the daemon says that it has not searched.
async fn unsearched(daemon: &Daemon) -> Result<u64> {
    let status = client::json(daemon.socket(), ["status", "--timeout", ANSWER]).await?;
    let losses = status[0]["losses"].as_array().cloned().unwrap_or_default();
    let counts = losses
        .iter()
        .filter(|loss| loss["source"] == "LOSS_SOURCE_NETNS")
        .filter_map(|loss| loss["count"].as_u64());
    Ok(counts.sum())
}

/// Waits until the connection's end that a process holds is listed, and then either the one that nobody holds or that
/// namespaces were not searched. Gives whether both are listed, and how many namespaces were not searched.
async fn both_or_told(daemon: &Daemon, port: &str) -> Result<(bool, u64)> {
    eventually(PATIENCE, "the connection in the last one", async || {
        let lines = listed(daemon, &[], port).await?;
        let outgoing = |line: &&Value| line["tcp"]["outgoing"] == true;
        ensure!(lines.iter().all(|line| line["adopted"] == true), "{lines:?}");
        let asking = lines.iter().filter(outgoing).count();
        let asked: Vec<&Value> = lines.iter().filter(|line| !outgoing(line)).collect();
        ensure!(asking <= 1 && asked.len() <= 1, "{lines:?}");
        ensure!(asked.iter().all(|line| line["flow"].get("accepted").is_none()), "{lines:?}");
        let told = unsearched(daemon).await?;
        let both = asked.len() == 1;
        Ok(if asking == 1 && (both || told > 0) { Ok((both, told)) } else { Err((lines, told)) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_last_of_ten_thousand_namespaces_is_found() -> Result<()> {
    let _alone = ALONE.lock().await;
    // What else the machine runs costs one that comes before them as much.
    let before = Daemon::bare().start().await?;
    unsearched(&before).await?;
    let usual = before.memory()?.1;
    drop(before);
    let (daemon, mut holder) = start(10_000, "7701", &[]).await?;
    let (both, told) = both_or_told(&daemon, "7701").await?;
    let (resident, most) = daemon.memory()?;
    println!(
        "both ends: {both}, not searched: {told}; {} MiB resident, {} at most, {:?} of CPU",
        resident >> 20,
        most >> 20,
        daemon.cpu()?
    );
    ensure!(most < 2 * usual, "{most} bytes instead of {usual}");
    let watch = Watch::of(&daemon, EventType::TcpClose).await?;
    holder.stop().await?;
    let ours = |event: &_| to_port(event, 7701);
    watch.wait_count("closes", if both { 2 } else { 1 }, ours).await?;
    for event in watch.events(ours) {
        let Some(Detail::TcpClose(close)) = event.detail else { anyhow::bail!("{event:?}") };
        ensure!(close.duration_ns.is_none(), "its start was not seen: {close:?}");
        ensure!(close.counters.context("no counters")?.sent_bytes == 0, "{close:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_that_there_is_no_time_for_are_told() -> Result<()> {
    const COUNT: usize = 4000;
    let _alone = ALONE.lock().await;
    let (daemon, mut holder) = start(COUNT, "7711", &["--listen"]).await?;
    // What a process holds is found without a visit.
    eventually(PATIENCE, "all listeners", async || {
        let count = listed(&daemon, &["--listeners"], "7712").await?.len();
        Ok(if count == COUNT { Ok(()) } else { Err(count) })
    })
    .await?;
    let (both, told) = both_or_told(&daemon, "7711").await?;
    println!("both ends: {both}, not searched: {told}");
    if told > 0 {
        let said =
            String::from_utf8(client::run(daemon.socket(), ["status", "--timeout", ANSWER]).await?.stdout)?;
        ensure!(said.contains("not searched for older connections"), "{said}");
    }
    holder.stop().await?;
    Ok(())
}
