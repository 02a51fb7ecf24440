//! Who stopped reading, whose window is closed, and who does not close: as the kernel's own queues show it.

use anyhow::{Context, Result, ensure};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Pod, Testbed, client, eventually};
use serde_json::{Value, json};

/// The queues of the one connection of a pod to or from a port, as `ss` shows them: received and not read, written
/// and not acknowledged.
fn queues(pod: &Pod, filter: &[&str]) -> Result<[u64; 2]> {
    let text = pod.netns().output("ss", ["-Htn"].iter().chain(filter))?;
    ensure!(text.lines().count() == 1, "not one connection: {text}");
    let mut figures = text.split_whitespace().skip(1).map(str::parse);
    let mut next = || figures.next().context("too few figures")?.context("no number");
    Ok([next()?, next()?])
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

async fn of(daemon: &Daemon, pod: &Pod, port: &str) -> Result<Option<Value>> {
    let lines = client::json(daemon.socket(), ["connections", "--port", port, "--pod", pod.name()]).await?;
    Ok(lines.into_iter().find(|line| line["workload"]["pod"] == pod.name()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stopped_shows_on_both_sides() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let server = testbed.pod("flow", "server").run().await?;
    let stall = server.container("stall", ["workload", "serve", "--port", "8080", "--stall"]);
    stall.start_until("listening").await?;
    let writer = testbed.pod("flow", "writer").run().await?;
    let to = format!("{}:8080", server.ip()?);
    let argv = ["workload", "connect", "--to", &to, "--send", "30000000", "--hold", "600"];
    writer.container("connect", argv).start().await?;

    eventually(2 * PATIENCE, "both ends to show it", async || {
        let [Some(reading), Some(writing)] =
            [of(&daemon, &server, "8080").await?, of(&daemon, &writer, "8080").await?]
        else {
            return Ok(Err(Value::Null));
        };
        let [unread, _] = queues(&server, &["sport", "=", ":8080"])?;
        let [_, unsent] = queues(&writer, &["dport", "=", ":8080"])?;
        let flow = &writing["flow"];
        let waiting = number(&flow["unsent_bytes"]) + number(&flow["unacknowledged_bytes"]);
        let right = unread > 0
            && number(&reading["flow"]["unread_bytes"]) == unread
            && unsent > 0
            && waiting == unsent
            && number(&flow["peer_window_bytes"]) == 0
            && number(&flow["window_closed_ns"]) > 0
            && number(&writing["counters"]["peer_window_limited_ns"]) > 0;
        Ok(if right { Ok(()) } else { Err(json!([reading, writing, unread, unsent])) })
    })
    .await?;
    let table = client::command(daemon.socket(), ["connections", "--port", "8080"])?.output()?;
    let table = String::from_utf8(table.stdout)?;
    ensure!(table.contains("peer's window closed for") && table.contains(" unread"), "{table}");
    writer.remove().await?;
    server.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_accept_stands_beside_the_client_s_latency() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let server = testbed.pod("flow", "late").run().await?;
    let late = ["workload", "serve", "--port", "8082", "--accept-after-ms", "20000"];
    let caller = testbed.pod("flow", "waiting").run().await?;
    server.container("late", late).start_until("listening").await?;
    let to = format!("{}:8082", server.ip()?);
    let argv = ["workload", "connect", "--to", &to, "--send", "100", "--receive", "100", "--hold", "600"];
    caller.container("connect", argv).start().await?;

    let flows = async || -> Result<Option<(Value, Value)>> {
        let [Some(server), Some(caller)] =
            [of(&daemon, &server, "8082").await?, of(&daemon, &caller, "8082").await?]
        else {
            return Ok(None);
        };
        // The client's line has the server's wait, and the server's line the client's latency, once its event is told.
        let joined = server["peer"]["handshake_latency_ns"] == caller["handshake_latency_ns"]
            && number(&caller["handshake_latency_ns"]) > 0
            && server["peer"]["connection_id"] == caller["tcp"]["connection_id"];
        Ok(joined.then(|| (server["flow"].clone(), caller["peer"]["flow"].clone())))
    };
    eventually(PATIENCE, "the wait for accept", async || {
        let Some((own, of_peer)) = flows().await? else { return Ok(Err(Value::Null)) };
        let waits = |flow: &Value| {
            number(&flow["accept_wait_ns"]) > 1_000_000_000 && flow["accept_wait_most_ns"].is_null()
        };
        let unread = number(&own["unread_bytes"]) == 100 && number(&own["unread_ns"]) > 1_000_000_000;
        Ok(if waits(&own) && waits(&of_peer) && unread { Ok(()) } else { Err(json!([own, of_peer])) })
    })
    .await?;
    let mut table = client::command(daemon.socket(), ["connections", "--port", "8082"])?;
    let table = String::from_utf8(table.output()?.stdout)?;
    ensure!(table.contains("peer: not accepted for"), "{table}");
    eventually(2 * PATIENCE, "the accept", async || {
        let Some((own, of_peer)) = flows().await? else { return Ok(Err(Value::Null)) };
        let accepted = |flow: &Value| {
            let (least, most) = (number(&flow["accept_wait_ns"]), number(&flow["accept_wait_most_ns"]));
            flow["accepted"] == true && (1..=30_000_000_000).contains(&least) && most > least
        };
        let read = own["unread_ns"].is_null() && own["unread_bytes"].is_null();
        Ok(if accepted(&own) && accepted(&of_peer) && read { Ok(()) } else { Err(json!([own, of_peer])) })
    })
    .await?;
    caller.remove().await?;
    server.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_does_not_close_is_named_with_the_time() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let server = testbed.pod("flow", "lazy").run().await?;
    // It never accepts, and so never closes.
    let argv = ["workload", "listen-only", "--port", "8081", "--backlog", "5"];
    server.container("lazy", argv).start_until("listening").await?;
    let caller = testbed.pod("flow", "caller").run().await?;
    let to = format!("{}:8081", server.ip()?);
    caller.container("connect", ["workload", "connect", "--to", &to]).start().await?.wait().await?;

    let line = eventually(PATIENCE, "the half-closed connection", async || {
        let line = of(&daemon, &server, "8081").await?.unwrap_or_default();
        Ok(if line["state"] == "CLOSE_WAIT" { Ok(line) } else { Err(line) })
    })
    .await?;
    let (start, closed) = (line["start_time"].as_str(), line["half_closed_time"].as_str());
    ensure!(start.is_some() && start < closed, "{line}");
    ensure!(line["flow"]["accepted"].is_null(), "{line}");
    let table = client::command(daemon.socket(), ["connections", "--port", "8081"])?.output()?;
    let table = String::from_utf8(table.stdout)?;
    ensure!(table.contains("not accepted") && table.contains("peer is done for"), "{table}");
    caller.remove().await?;
    server.remove().await
}
