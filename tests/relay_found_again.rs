//! A node that is not found for a while: that is said, and when it is found again each of its events comes once, also those of
//! the time between, and also where its daemon was started anew meanwhile.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use observer_tests::client::json;
use observer_tests::kubernetes::endpoint_slice;
use observer_tests::nodes::{Nodes, Options};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, KubernetesApi, Lines, Pod, Testbed, eventually};
use serde_json::Value;

/// Connections that a pod makes at a time.
const EACH: usize = 5;

/// What is told of the node's connections: the number of each, by the run of the daemon.
fn told(stream: &Lines) -> Vec<(String, u64)> {
    let mut run = String::new();
    let mut told = Vec::new();
    for line in stream.values() {
        if let Some(started) = line["node_status"]["start_time"].as_str() {
            started.clone_into(&mut run);
        }
        if line["event"]["type"] == "tcp_connect" {
            told.push((run.clone(), line["event"]["sequence"].as_u64().unwrap_or_default()));
        }
    }
    told
}

/// A pod connects to itself.
async fn connect(pod: &Pod, name: &str) -> Result<()> {
    let (to, count) = (format!("{}:8080", pod.ip()?), EACH.to_string());
    pod.container(name, ["workload", "connect", "--to", &to, "--count", &count, "--bytes", "9"])
        .start()
        .await?;
    Ok(())
}

async fn all(stream: &Lines, times: usize) -> Result<()> {
    eventually(PATIENCE, "all connections", || async {
        let count = told(stream).len();
        Ok(if count >= times * EACH { Ok(()) } else { Err(format!("{count}: {}", stream.account())) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_found_again_tells_each_thing_once() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let nodes = Nodes::new("relay-again")?;
    let folder = nodes.folder().join("recording");
    let recording = ["--record-dir", folder.to_str().context("a folder")?];
    let options = Options { args: &recording, ..Options::default() };
    let mut node = nodes.start(testbed, "again", options).await?;
    let pod = node.pod(testbed, "own").await?;
    pod.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
    let api = KubernetesApi::start().await?;
    let slice = endpoint_slice("observer", "nodes", node.place.ip()?, 4246, true);
    api.put(&slice)?;
    let relay =
        nodes.relay().arg("--nodes-service=observer/nodes").arg(format!("--kubernetes={}", api.kubeconfig()));
    let relay = relay.start().await?;
    let is = |state: &'static str| {
        move |line: &Value| {
            line["node_status"]["state"] == format!("NODE_STATE_{state}")
                && line["node_status"]["node_name"] == "again"
        }
    };
    let stream = relay.follow(["events", "-f", "-t", "tcp_connect"])?;
    let summaries = relay.follow(["summary", "-f", "--window", "1s"])?;
    let incidents = relay.follow(["incident", "list", "-f"])?;
    for one in [&stream, &summaries, &incidents] {
        one.wait_for("the node", PATIENCE, is("CONNECTED")).await?;
    }
    connect(&pod, "first").await?;
    all(&stream, 1).await?;

    // Its daemon lives and is not found, and then it is.
    let away = async |times: usize| {
        api.delete::<EndpointSlice>("observer", "nodes-slice")?;
        for one in [&stream, &summaries, &incidents] {
            one.wait_count("that it has gone", PATIENCE, times, is("GONE")).await?;
        }
        anyhow::Ok(())
    };
    let back = async |times: usize| {
        api.put(&slice)?;
        for one in [&stream, &summaries, &incidents] {
            one.wait_count("the node again", PATIENCE, times, is("CONNECTED")).await?;
        }
        anyhow::Ok(())
    };
    away(1).await?;
    connect(&pod, "unseen").await?;
    back(2).await?;
    all(&stream, 2).await?;
    connect(&pod, "third").await?;
    all(&stream, 3).await?;

    // It is started anew while it is not found.
    away(2).await?;
    connect(&pod, "late").await?;
    eventually(PATIENCE, "the daemon to have seen it", || async {
        let seen =
            json(node.daemon.socket(), ["events", "--all", "-t", "tcp_connect", "-n", &node.namespace])
                .await?;
        let seen = seen.iter().filter(|line| line["event"].is_object()).count();
        Ok(if seen == 4 * EACH { Ok(()) } else { Err(format!("{seen}")) })
    })
    .await?;
    node.daemon.stop().await?;
    node.daemon = nodes.daemon(testbed, "again", &node.place, options)?.start().await?;
    connect(&pod, "anew").await?;
    back(3).await?;
    all(&stream, 5).await?;
    connect(&pod, "last").await?;
    all(&stream, 6).await?;

    let told = told(&stream);
    let once: HashSet<_> = told.iter().collect();
    ensure!(told.len() == 6 * EACH && once.len() == told.len(), "{told:?}: {}", stream.account());
    ensure!(once.iter().map(|(run, _)| run).collect::<HashSet<_>>().len() == 2, "{told:?}");
    // Nobody counts it as two.
    let windows =
        summaries.matching(|line| line["window_end"]["nodes"].as_u64().is_some_and(|nodes| nodes > 1));
    ensure!(windows.is_empty(), "{windows:?}");
    let status = json(relay.socket(), ["status"]).await?;
    let nodes = status[0].pointer("/relay/nodes").and_then(Value::as_array).context("no nodes")?;
    ensure!(nodes.len() == 1 && nodes[0]["streams"] == 3, "{nodes:?}");
    drop::<(Daemon, Lines, Lines, Lines)>((relay, stream, summaries, incidents));
    pod.remove().await?;
    drop(node.daemon);
    node.place.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_later_is_called_by_its_address_until_then() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let nodes = Nodes::new("relay-later")?;
    let place = testbed.pod("relay-later-nodes", "later").run().await?;
    let daemon = nodes.daemon(testbed, "later", &place, Options::default())?;
    let address = format!("tls://{}:4246", place.ip()?);
    let relay = nodes.relay().args(["--node", &address]).start().await?;
    let stream = relay.follow(["events", "-f"])?;
    let says = |name: &str, state: &str, words: &str| {
        let (name, state, words) = (name.to_owned(), format!("NODE_STATE_{state}"), words.to_owned());
        move |line: &Value| {
            let status = &line["node_status"];
            status["node_name"] == name
                && (status["state"] == state || (state.ends_with("UNSPECIFIED") && status["state"].is_null()))
                && status["message"].as_str().unwrap_or_default().contains(&words)
        }
    };
    stream
        .wait_for("that it is not there", PATIENCE, says(&address, "UNAVAILABLE", "nobody listens"))
        .await?;
    let daemon = daemon.start().await?;
    stream
        .wait_for("who that is", PATIENCE, says(&address, "UNSPECIFIED", "that is later, which is"))
        .await?;
    stream.wait_for("the node", PATIENCE, says("later", "CONNECTED", "")).await?;
    drop((stream, relay, daemon));
    place.remove().await
}
