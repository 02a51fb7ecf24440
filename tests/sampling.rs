//! A live connection is listed with the counters that the kernel itself shows for it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Pod, Testbed, client, eventually};
use serde_json::{Value, json};

/// One figure by its name here.
type Figures = BTreeMap<&'static str, u64>;

/// What `ss` says of the one connection of a namespace to a port, by the names and in the units of the API.
fn shown(pod: &Pod, filter: &[&str]) -> Result<Figures> {
    let text = pod.netns().output("ss", ["-Htin", "state", "established"].iter().chain(filter))?;
    ensure!(text.matches("bytes_received:").count() == 1, "not one connection: {text}");
    let word =
        |name: &str| text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix(':'));
    let field = |name: &str| word(name).map_or(Ok(0), str::parse::<u64>).context("no number");
    // Milliseconds with three decimals; the mean deviation follows a slash.
    let time = |text: Option<&str>| -> Result<u64> {
        let milliseconds: f64 = text.context("no time")?.parse()?;
        Ok((milliseconds * 1000.0).round() as u64)
    };
    let mut rtt = word("rtt").context("no rtt")?.split('/');
    Ok(BTreeMap::from([
        ("sent_bytes", field("bytes_sent")? - field("bytes_retrans")?),
        ("received_bytes", field("bytes_received")?),
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
            let shown = shown(pod, &filter)?;
            let listed = listed(&own, &shown);
            let talked = listed["sent_bytes"] == 123_457 && listed["received_bytes"] == 123_457;
            Ok(if listed == shown && talked { Ok(own) } else { Err(json!([shown, listed])) })
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
        ensure!(connection["flow"]["accepted"] == true && connection["adopted"].is_null(), "{connection}");
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
