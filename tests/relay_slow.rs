//! A node that is far away, or slow: what it tells comes later, in its place where that is soon enough, and the others' comes when
//! it would without it.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use observer_tests::nodes::{Nodes, Options};
use observer_tests::wait::PATIENCE;
use observer_tests::{SlowLink, Testbed, eventually};
use prost_types::Timestamp;
use serde_json::Value;

/// What the way to the slow node takes, there and back.
const THERE_AND_BACK: Duration = Duration::from_millis(800);

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_node_holds_nobody_up() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let nodes = Nodes::new("relay-slow")?;
    let slow = nodes.start(testbed, "slow", Options::default()).await?;
    let near = nodes.start(testbed, "near", Options::default()).await?;
    let pods = [slow.pod(testbed, "own").await?, near.pod(testbed, "own").await?];
    for pod in &pods {
        pod.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
    }
    // The relay has a place of its own, from which the way to one node is long.
    let place = testbed.pod("relay-slow-nodes", "relay").run().await?;
    let [own, far]: [IpAddr; 2] = [place.ip()?, slow.place.ip()?];
    let _link = SlowLink::between((place.netns(), &[own]), (slow.place.netns(), &[far]), THERE_AND_BACK / 2)?;
    let relay = nodes
        .relay()
        .netns(place.netns())
        .args(["--node".to_owned(), slow.address()?, "--node".to_owned(), near.address()?])
        .args(["--node-timeout", "10s"])
        .start()
        .await?;
    let stream = relay.follow(["events", "-f", "-t", "tcp_accept"])?;
    let greeted = |line: &Value| {
        let status = &line["node_status"];
        status["state"] == "NODE_STATE_CONNECTED" && !status["node_name"].is_null()
    };
    stream.wait_count("both nodes", PATIENCE, 2, greeted).await?;
    for (name, pod) in [("first", &pods[0]), ("second", &pods[1])] {
        let to = format!("{}:8080", pod.ip()?);
        let argv = ["workload", "connect", "--to", &to, "--count", "20", "--rate", "10", "--bytes", "100"];
        pods[1].container(name, argv).start().await?;
    }
    let of = |node: &str| {
        stream.matching(|line| line["event"]["type"] == "tcp_accept" && line["node_name"] == node)
    };
    eventually(PATIENCE, "all of both", || async {
        let counts = (of("slow").len(), of("near").len());
        Ok(if counts == (20, 20) { Ok(()) } else { Err(format!("{counts:?}")) })
    })
    .await?;
    // The slow one's are late by the way to it, and the other's are not.
    let delay = |node: &str| -> Option<Duration> {
        let lines = stream.lines();
        let is = |value: &Value| value["event"]["type"] == "tcp_accept" && value["node_name"] == node;
        let delays = lines.iter().filter(|line| is(&line.value)).filter_map(|line| {
            let time: Timestamp = line.value["event"]["time"].as_str()?.parse().ok()?;
            line.at.duration_since(SystemTime::try_from(time).ok()?).ok()
        });
        let mut delays: Vec<_> = delays.collect();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied()
    };
    let (slow_by, near_by) = (delay("slow"), delay("near"));
    ensure!(slow_by > Some(THERE_AND_BACK / 2) && near_by < slow_by, "{slow_by:?} {near_by:?}");
    for pod in pods {
        pod.remove().await?;
    }
    drop(relay);
    place.remove().await?;
    for node in [slow, near] {
        drop(node.daemon);
        node.place.remove().await?;
    }
    Ok(())
}
