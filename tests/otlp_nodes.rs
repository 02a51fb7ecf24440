//! The two sides of a connection between two nodes are told by two daemons, and belong together.
//!
//! A machine has one kernel, and a daemon sees all of it. So the packet that has the other side established waits until another
//! daemon, of another name, has taken the first one's place.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::exporting::configured;
use observer_tests::otlp_receiver::{Receiver, attribute, items, number};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, NetnsPair, SlowLink, eventually, workload};
use serde_json::Value;
use std::net::IpAddr;

/// A connection each, as times of 64 s have a border in between now and then.
const PORTS: [u16; 3] = [7606, 7607, 7608];
const PERIOD_NS: u64 = 64_000_000_000;

/// A daemon that calls the node so.
async fn node(name: &str, receiver: &Receiver) -> Result<Daemon> {
    let text = format!(
        "[otlp.{name}]\nendpoint = 'http://127.0.0.1:{}'\nmetrics = false\nlogs = false\n",
        receiver.grpc
    );
    configured(&text)?.args(["--node-name", name]).start().await
}

/// Waits for the span of a port that a node tells.
async fn span(receiver: &Receiver, name: &str, port: u16) -> Result<Value> {
    eventually(PATIENCE, name, || async {
        let spans = items(&receiver.of("grpc", "traces"));
        let fits = |span: &&Value| {
            attribute(&span["resource"], "host.name") == name
                && attribute(&span["attributes"], "destination.port") == port.to_string()
        };
        let found: Vec<Value> = spans.iter().filter(fits).cloned().collect();
        Ok(if let [found] = found.as_slice() { Ok(found.clone()) } else { Err(format!("{spans:?}")) })
    })
    .await
}

/// The spans of both sides of a connection to that port, each as its own node tells it.
async fn both(receiver: &Receiver, pair: &NetnsPair, link: &SlowLink, port: u16) -> Result<[Value; 2]> {
    let (from, to) = (pair.left(), pair.right());
    let text = port.to_string();
    let serve = workload::in_netns(&to.netns, ["serve", "--port", &text])?;
    serve.wait_for("listening", PATIENCE, |line| line["listening"].as_u64().is_some()).await?;
    let mut first = node("first", receiver).await?;
    link.hold();
    let mut connect =
        workload::in_netns(&from.netns, ["connect", "--to", &format!("{}:{port}", to.ip), "--linger0"])?;
    connect.wait().await?;
    let client = span(receiver, "first", port).await?;
    ensure!(first.stop().await?.success(), "{}", first.stderr());
    let mut second = node("second", receiver).await?;
    link.release();
    let server = span(receiver, "second", port).await?;
    ensure!(second.stop().await?.success(), "{}", second.stderr());
    Ok([client, server])
}

/// The links of a span to another one.
fn links(from: &Value, to: &Value) -> usize {
    let is_it = |link: &&Value| link["span_id"] == to["span_id"] && link["trace_id"] == to["trace_id"];
    from["links"].as_array().into_iter().flatten().filter(is_it).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sides_of_a_connection_between_two_nodes_are_in_one_trace() -> Result<()> {
    let receiver = Receiver::start().await?;
    let pair = NetnsPair::new()?;
    let [left, right] = [pair.left(), pair.right()];
    let addresses = [left, right].map(|side| [IpAddr::from(side.ip)]);
    let link = SlowLink::between(
        (&left.netns, &addresses[0]),
        (&right.netns, &addresses[1]),
        Duration::from_millis(1),
    )?;
    let mut told = None;
    for port in PORTS {
        let [client, server] = both(&receiver, &pair, &link, port).await?;
        let established = |span: &Value| {
            let notes = span["events"].as_array().cloned().unwrap_or_default();
            let note = notes.iter().find(|note| note["name"] == "established");
            note.map(|note| number(&note["time_unix_nano"]) / PERIOD_NS)
        };
        let is_same = established(&client).context("no time")? == established(&server).context("no time")?;
        told = Some([client, server]).filter(|_| is_same);
        if is_same {
            break;
        }
    }
    let [client, server] = told.context("three times in a row a border of 64 s lay in between")?;
    ensure!(
        client["kind"] == "SPAN_KIND_CLIENT" && server["kind"] == "SPAN_KIND_SERVER",
        "{client} and {server}"
    );
    ensure!(client["trace_id"] == server["trace_id"], "{client} and {server}");
    ensure!(client["span_id"] != server["span_id"], "{client} and {server}");
    ensure!(links(&client, &server) == 1 && links(&server, &client) == 1, "{client} and {server}");
    // Nobody is the parent of what another node tells.
    ensure!(
        client["parent_span_id"].is_null() && server["parent_span_id"].is_null(),
        "{client} and {server}"
    );
    for span in [&client, &server] {
        ensure!(attribute(&span["attributes"], "error.type") == "reset", "{span}");
        ensure!(span["status"]["code"] == "STATUS_CODE_ERROR", "{span}");
    }
    let port = |span: &Value| attribute(&span["attributes"], "source.port");
    ensure!(port(&client) == port(&server) && !port(&client).is_empty(), "{client} and {server}");
    Ok(())
}
