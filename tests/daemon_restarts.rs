//! A daemon that is killed in the middle of a flood and started again: the kernel is clean, live connections are taken
//! over, and clients know that numbers and totals began anew.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it tells what it measured, and when")]

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{GetStatusRequest, NodeStatus, WatchEventsRequest};
use observer_tests::client::{command, observer};
use observer_tests::crowd::listed;
use observer_tests::edges::EdgeSum;
use observer_tests::events::{is, process};
use observer_tests::wait::PATIENCE;
use observer_tests::{Crowd, Daemon, Edges, Footprint, Lines, NetnsPair, eventually, workload};
use serde_json::Value;

/// Live over the restart.
const CONNECTIONS: u64 = 300;
const PORT: u16 = 7301;
/// The flood, of which the daemon is to see the middle.
const FLOOD: [&str; 3] = ["--count", "1000000", "--summary"];

fn bare() -> observer_tests::daemon::DaemonBuilder {
    Daemon::bare().args(["--cri-endpoint", "none"])
}

/// A client command that goes on when the daemon comes back.
fn follower(daemon: &Daemon, args: &[&str]) -> Result<Lines> {
    Lines::spawn("observer", command(daemon.socket(), args.iter().copied())?)
}

/// The first message of a stream.
async fn greeting(daemon: &Daemon) -> Result<NodeStatus> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    let request = WatchEventsRequest { follow: true, ..WatchEventsRequest::default() };
    let first = client.watch_events(request).await?.into_inner().message().await?.context("no message")?;
    match first.payload {
        Some(Payload::NodeStatus(status)) => Ok(status),
        other => anyhow::bail!("{other:?}"),
    }
}

async fn greeted(lines: &Lines, times: usize) -> Result<Vec<Value>> {
    let connected = |line: &Value| line["node_status"]["state"] == "NODE_STATE_CONNECTED";
    lines.wait_count("greeting", PATIENCE, times, connected).await
}

/// A flood of connections and one of processes, until it is dropped.
fn flood(pair: &NetnsPair) -> Result<Vec<Lines>> {
    let connect = ["connect", "--to", "127.0.0.1:80", "--parallel", "2", "--bytes", "10"];
    Ok(vec![
        workload::in_netns(&pair.left().netns, connect.into_iter().chain(FLOOD))?,
        workload::on_host(["exec-storm", "--count", "1000000"])?,
    ])
}

/// Some process, and its exec in a stream.
async fn sees_processes(lines: &Lines) -> Result<Value> {
    let program = workload::on_host(["exit", "0"])?;
    let pid = u64::from(program.pid());
    let is_it = |line: &Value| is(line, "process_exec") && process(line).0 == pid;
    lines.wait_for("an exec on the host", PATIENCE, is_it).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_flood_it_comes_back_and_clients_know() -> Result<()> {
    let pair = NetnsPair::new()?;
    let netns = &pair.left().netns;
    let serve = workload::in_netns(netns, ["serve", "--port", "80", "--echo"])?;
    serve.wait_for("listening", PATIENCE, |line| line["listening"] == 80).await?;
    let mut first = bare().start().await?;
    let mut crowd = Crowd::start(netns, PORT, CONNECTIONS, 1000)?;
    crowd.opened()?;
    crowd.send(7)?;
    let _flood = flood(&pair)?;
    let json = follower(&first, &["events", "-f", "-o", "json", "-t", "process_exec"])?;
    let compact = follower(&first, &["events", "-f", "-t", "process_exec"])?;
    let summaries = follower(&first, &["summary", "-f", "--window", "1s", "-o", "json", "--port", "7301"])?;
    let old = greeted(&json, 1).await?.remove(0);
    greeted(&summaries, 1).await?;
    let seen = sees_processes(&json).await?;
    let footprint = Footprint::of(&first).await?;
    let started = greeting(&first).await?.start_time.context("no time")?;

    first.kill().await?;
    footprint.gone().await?;
    let killed = Instant::now();
    let mut second =
        bare().arg("--listen").arg(format!("unix://{}", first.socket().display())).start().await?;
    println!("back after {:?}", killed.elapsed());

    // The new daemon says so to everybody.
    let again = greeting(&second).await?.start_time.context("no time")?;
    ensure!((again.seconds, again.nanos) > (started.seconds, started.nanos), "{started:?} {again:?}");
    let mut client = ObserverClient::new(second.channel().await?);
    let status = client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")?;
    ensure!(status.start_time == Some(again), "{again:?} {:?}", status.start_time);

    // Those who followed go on by themselves, and know it.
    let new = greeted(&json, 2).await?.remove(1);
    let start_time = |line: &Value| line["node_status"]["start_time"].as_str().map(str::to_owned);
    ensure!(start_time(&old).is_some() && start_time(&new) > start_time(&old), "{old} {new}");
    ensure!(json.stderr().contains("the connection to the daemon broke; waiting 60 s"), "{}", json.stderr());
    let later = sees_processes(&json).await?;
    let sequence = |line: &Value| line["event"]["sequence"].as_u64().context("no number");
    let after: Vec<Value> = json.values().into_iter().skip_while(|line| *line != new).collect();
    let first_after = after.iter().find(|line| line.get("event").is_some()).context("no event")?;
    ensure!(sequence(first_after)? < sequence(&later)?, "{first_after} {later}");
    println!("number {} before, {} as the first after", sequence(&seen)?, sequence(first_after)?);
    greeted(&summaries, 2).await?;
    eventually(PATIENCE, "the restart in lines for people", async || {
        let said = compact.other().join("\n");
        Ok(if said.contains("the daemon was started anew at ") { Ok(()) } else { Err(compact.stderr()) })
    })
    .await?;

    // Connections from before are there, with what they do from now on.
    eventually(PATIENCE, "the older connections", async || {
        let listed = listed(&second, &[PORT]).await?;
        Ok(if listed == 2 * CONNECTIONS { Ok(()) } else { Err(listed) })
    })
    .await?;
    let edges = Edges::start(&second).await?;
    // The first reading is where counting begins.
    let adopted = EdgeSum { live: CONNECTIONS, ..EdgeSum::default() };
    edges.reach(PORT, adopted).await?;
    crowd.send(50)?;
    let bytes = CONNECTIONS * 50;
    edges.reach(PORT, EdgeSum { sent_bytes: bytes, received_bytes: bytes, ..adopted }).await?;
    crowd.close(CONNECTIONS)?;
    let closed =
        EdgeSum { closed: CONNECTIONS, live: 0, sent_bytes: bytes, received_bytes: bytes, opened: 0 };
    edges.reach(PORT, closed).await?;

    let footprint = Footprint::of(&second).await?;
    second.stop().await?;
    footprint.gone().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_waits_as_long_as_it_is_told() -> Result<()> {
    let mut daemon = bare().start().await?;
    let mut patient = follower(&daemon, &["events", "-f", "-o", "json", "--reconnect", "1s"])?;
    let mut at_once = follower(&daemon, &["summary", "-f", "-o", "json", "--reconnect", "0s"])?;
    greeted(&patient, 1).await?;
    greeted(&at_once, 1).await?;
    let asked = Instant::now();
    daemon.stop().await?;
    let ended = at_once.wait().await?;
    ensure!(ended.code() == Some(0), "{ended}: {}", at_once.account());
    let ended = patient.wait().await?;
    ensure!(ended.code() == Some(1) && asked.elapsed().as_secs() >= 1, "{ended}: {}", patient.account());
    let said = patient.stderr();
    ensure!(said.contains("the daemon stopped; waiting 1 s"), "{said}");
    ensure!(said.contains("cannot reach the observer daemon"), "{said}");
    let refused = Command::new(observer()?).args(["events", "-f", "--reconnect", "soon"]).output()?;
    ensure!(refused.status.code() == Some(2), "{refused:?}");
    Ok(())
}
