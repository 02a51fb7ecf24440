//! Live connections are listed with the counters that the kernel itself shows for them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Packets, Pod, Testbed, client, eventually};
use serde_json::{Value, json};

/// One figure by its name here.
type Figures = BTreeMap<&'static str, u64>;

/// Connections in the pods at a time.
const COUNT: usize = 25;

/// What `ss` says of the connections of a namespace to a port, by the port of the side that asked.
fn shown(pod: &Pod, outgoing: bool, filter: &[&str]) -> Result<BTreeMap<u64, Figures>> {
    let text = pod.netns().output("ss", ["-HtinO", "state", "established"].iter().chain(filter))?;
    text.lines()
        .map(|line| {
            // Two queues, this end, the other end.
            let end = line.split_whitespace().nth(if outgoing { 2 } else { 3 }).context("no end")?;
            let (_, port) = end.rsplit_once(':').context("no port")?;
            Ok((port.parse()?, figures(line)?))
        })
        .collect()
}

/// What `ss` says of one connection, by the names and in the units of the API.
fn figures(text: &str) -> Result<Figures> {
    let word =
        |name: &str| text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix(':'));
    let field = |name: &str| word(name).map_or(Ok(0), str::parse::<u64>).context("no number");
    // Milliseconds with three decimals; the mean deviation follows a slash.
    let time = |text: Option<&str>| -> Result<u64> {
        let milliseconds: f64 = text.context("no time")?.parse()?;
        Ok((milliseconds * 1000.0).round() as u64)
    };
    // Those that are under way now, a slash, and all.
    let again = |text: &str| -> Result<u64> { Ok(text.split_once('/').context("no slash")?.1.parse()?) };
    let mut rtt = word("rtt").context("no rtt")?.split('/');
    Ok(BTreeMap::from([
        ("sent_bytes", field("bytes_sent")? - field("bytes_retrans")?),
        ("received_bytes", field("bytes_received")?),
        ("retransmitted_segments", word("retrans").map_or(Ok(0), again)?),
        ("sent_segments", field("segs_out")?),
        ("received_segments", field("segs_in")?),
        ("delivered_segments", field("delivered")?),
        ("spurious_retransmits", field("dsack_dups")?),
        ("reorderings", field("reord_seen")?),
        ("rtt_ns", time(rtt.next())?),
        ("rtt_variation_ns", time(rtt.next())?),
        ("min_rtt_ns", time(word("minrtt"))?),
        ("congestion_window", field("cwnd")?),
        ("mss", field("mss")?),
        ("peer_window_bytes", field("snd_wnd")?),
    ]))
}

fn listed(connection: &Value, like: &Figures) -> Figures {
    let figure = |name: &&'static str| {
        let value =
            [&connection["counters"], &connection["flow"]].into_iter().find_map(|of| of[*name].as_u64());
        let value = value.unwrap_or(0);
        // `ss` shows whole microseconds.
        (*name, if name.ends_with("_ns") { value / 1000 } else { value })
    };
    like.keys().map(figure).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn held_connections_are_listed_with_the_kernels_figures() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let server = testbed.pod("sampling", "server").run().await?;
    let serve = server.container("serve", ["workload", "serve", "--port", "8080"]);
    serve.start_until("listening").await?;
    let holder = testbed.pod("sampling", "holder").run().await?;
    let to = format!("{}:8080", server.ip()?);
    // Some of it has to be sent again.
    let losses =
        [server.lose(8, &Packets::data().to_port(8080))?, holder.lose(8, &Packets::data().from_port(8080))?];
    let count = COUNT.to_string();
    let argv = ["workload", "connect", "--to", &to, "--count", &count, "--parallel", &count];
    let argv = argv.into_iter().chain(["--send", "123457", "--receive", "123457", "--hold", "600"]);
    holder.container("connect", argv).start().await?;

    for (pod, container, outgoing, filter) in [
        (&holder, "connect", true, ["dport", "=", ":8080"]),
        (&server, "serve", false, ["sport", "=", ":8080"]),
    ] {
        let connections = eventually(PATIENCE, "the connections with all their bytes", async || {
            let lines =
                client::json(daemon.socket(), ["connections", "--port", "8080", "--pod", pod.name()]).await?;
            let own: Vec<Value> =
                lines.into_iter().filter(|line| line["workload"]["pod"] == pod.name()).collect();
            let shown = shown(pod, outgoing, &filter)?;
            let port = |line: &Value| line["tcp"]["source"]["port"].as_u64().unwrap_or(0);
            let listed: BTreeMap<u64, Figures> = own
                .iter()
                .filter_map(|line| Some((port(line), listed(line, shown.get(&port(line))?))))
                .collect();
            let talked =
                listed.values().all(|of| of["sent_bytes"] == 123_457 && of["received_bytes"] == 123_457);
            let all = [own.len(), shown.len(), listed.len()] == [COUNT; 3];
            Ok(if all && talked && listed == shown { Ok(own) } else { Err(json!([shown, listed])) })
        })
        .await?;
        for connection in &connections {
            ensure!(connection["workload"]["namespace"] == "sampling", "{connection}");
            ensure!(connection["workload"]["container"] == container, "{connection}");
            ensure!(connection["state"] == "ESTABLISHED", "{connection}");
            let tcp = &connection["tcp"];
            ensure!(tcp["outgoing"].as_bool().unwrap_or(false) == outgoing, "{connection}");
            ensure!(tcp["source"]["workload"]["pod"] == holder.name(), "{connection}");
            ensure!(tcp["destination"]["workload"]["pod"] == server.name(), "{connection}");
            ensure!(tcp["destination"]["port"] == 8080, "{connection}");
            ensure!(
                connection["flow"]["accepted"] == true && connection["adopted"].is_null(),
                "{connection}"
            );
        }
        let again = connections.iter().map(|line| &line["counters"]["retransmitted_segments"]);
        ensure!(again.filter_map(Value::as_u64).sum::<u64>() > 0, "nothing was lost: {connections:?}");
    }
    drop(losses);
    holder.remove().await?;
    eventually(PATIENCE, "the list to be empty", async || {
        let lines =
            client::json(daemon.socket(), ["connections", "--port", "8080", "-n", "sampling"]).await?;
        Ok(if lines.is_empty() { Ok(()) } else { Err(lines) })
    })
    .await?;
    server.remove().await
}
