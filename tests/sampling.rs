//! A live connection is listed with the counters that the kernel itself shows for it.

use anyhow::{Context, Result, ensure};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Pod, Testbed, client, eventually};
use serde_json::Value;

/// What `ss` says of the one connection of a namespace to a port, as it would be counted here: bytes sent and
/// received, segments sent and received.
fn shown(pod: &Pod, filter: &[&str]) -> Result<[u64; 4]> {
    let text = pod.netns().output("ss", ["-Htin", "state", "established"].iter().chain(filter))?;
    ensure!(text.matches("bytes_received:").count() == 1, "not one connection: {text}");
    let field = |name: &str| {
        let word = text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix(':'));
        word.map_or(Ok(0), str::parse::<u64>).context("no number")
    };
    Ok([
        field("bytes_sent")? - field("bytes_retrans")?,
        field("bytes_received")?,
        field("segs_out")?,
        field("segs_in")?,
    ])
}

fn listed(connection: &Value) -> Result<[u64; 4]> {
    let mut figures = [0; 4];
    let fields = ["sent_bytes", "received_bytes", "sent_segments", "received_segments"];
    for (figure, field) in figures.iter_mut().zip(fields) {
        // In JSON 64-bit numbers are text, and zero is left out.
        let value = &connection["counters"][field];
        let text = if value.is_null() { "0".to_owned() } else { value.to_string().replace('"', "") };
        *figure = text.parse().with_context(|| format!("no {field} in {connection}"))?;
    }
    Ok(figures)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_connection_is_listed_with_the_kernels_figures() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let server = testbed.pod("sampling", "server").run().await?;
    let serve = server.container("serve", ["workload", "serve", "--port", "8080"]);
    serve.start_until("listening").await?;
    let holder = testbed.pod("sampling", "holder").run().await?;
    let to = format!("{}:8080", server.ip()?);
    let argv =
        ["workload", "connect", "--to", &to, "--send", "123457", "--receive", "123457", "--hold", "600"];
    holder.container("connect", argv).start().await?;

    for (pod, container, outgoing, filter) in [
        (&holder, "connect", true, ["dport", "=", ":8080"]),
        (&server, "serve", false, ["sport", "=", ":8080"]),
    ] {
        let connection = eventually(PATIENCE, "the connection with all its bytes", async || {
            let lines =
                client::json(daemon.socket(), ["connections", "--port", "8080", "--pod", pod.name()]).await?;
            let own = lines.into_iter().find(|line| line["workload"]["pod"] == pod.name());
            let Some(own) = own else { return Ok(Err(Value::Null)) };
            Ok(if listed(&own)? == shown(pod, &filter)? && listed(&own)?[..2] == [123_457; 2] {
                Ok(own)
            } else {
                Err(own)
            })
        })
        .await?;
        ensure!(connection["workload"]["namespace"] == "sampling", "{connection}");
        ensure!(connection["workload"]["container"] == container, "{connection}");
        ensure!(connection["state"] == "ESTABLISHED", "{connection}");
        let tcp = &connection["tcp"];
        ensure!(tcp["outgoing"].as_bool().unwrap_or(false) == outgoing, "{connection}");
        ensure!(tcp["source"]["workload"]["pod"] == holder.name(), "{connection}");
        ensure!(tcp["destination"]["workload"]["pod"] == server.name(), "{connection}");
        ensure!(tcp["destination"]["port"] == 8080, "{connection}");
        ensure!(!connection["counters"]["rtt_ns"].is_null(), "{connection}");
    }
    holder.remove().await?;
    eventually(PATIENCE, "the list to be empty", async || {
        let lines =
            client::json(daemon.socket(), ["connections", "--port", "8080", "-n", "sampling"]).await?;
        Ok(if lines.is_empty() { Ok(()) } else { Err(lines) })
    })
    .await?;
    server.remove().await
}
