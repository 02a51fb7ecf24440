//! Windows of several nodes, where one of them has less to tell than the other: nobody waits for what will not come, and nobody is said
//! to be late.

use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use observer_tests::client::json;
use observer_tests::nodes::{Node, Nodes, Options};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Testbed, eventually};
use prost_types::Timestamp;
use serde_json::Value;

/// The past that is asked for: all of it.
const PAST: [&str; 3] = ["summary", "--since", "1h"];

/// The ends of windows in an answer.
fn ends(lines: &[Value]) -> Vec<&Value> {
    lines.iter().map(|line| &line["window_end"]).filter(|end| end.is_object()).collect()
}

fn is_behind(line: &Value) -> bool {
    line["node_status"]["state"] == "NODE_STATE_BEHIND"
}

/// Waits until a daemon has so many windows of the past, and tells how many it has.
async fn recorded(daemon: &Daemon, count: usize) -> Result<usize> {
    eventually(PATIENCE, "recorded windows", || async {
        let told = ends(&json(daemon.socket(), PAST).await?).len();
        Ok(if told >= count { Ok(told) } else { Err(told) })
    })
    .await
}

async fn end(nodes: [Node; 2]) -> Result<()> {
    for node in nodes {
        drop(node.daemon);
        node.place.remove().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_begins_later_holds_nobody_up() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let nodes = Nodes::new("relay-past")?;
    let folders = ["long", "short"].map(|name| nodes.folder().join(name).to_string_lossy().into_owned());
    let flags = folders.each_ref().map(|folder| ["--record-dir", folder.as_str()]);
    let of = |args| Options { args, ..Options::default() };
    let long = nodes.start(testbed, "long", of(&flags[0])).await?;
    recorded(&long.daemon, 3).await?;
    let short = nodes.start(testbed, "short", of(&flags[1])).await?;
    let addresses = ["--node".to_owned(), long.address()?, "--node".to_owned(), short.address()?];
    let relay = nodes.relay().args(addresses).start().await?;
    let each = recorded(&short.daemon, 1).await? + recorded(&long.daemon, 3).await?;
    let told = json(relay.socket(), PAST).await?;
    ensure!(!told.iter().any(is_behind), "{told:?}");
    let ends = ends(&told);
    let count = |end: &Value| end["nodes"].as_u64().unwrap_or(0);
    ensure!(ends.iter().map(|end| count(end)).sum::<u64>() >= each as u64, "{ends:?}");
    ensure!(count(ends[0]) == 1 && ends.iter().any(|end| count(end) == 2), "{ends:?}");
    let start = |end: &&Value| -> Result<SystemTime> {
        let time: Timestamp = end["window_start"].as_str().context("no start")?.parse()?;
        Ok(time.try_into()?)
    };
    let starts = ends.iter().map(start).collect::<Result<Vec<_>>>()?;
    ensure!(starts.is_sorted(), "{starts:?}");
    drop(relay);
    end([long, short]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_down_and_not_asked_for_is_not_waited_for() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let nodes = Nodes::new("relay-down")?;
    let up = nodes.start(testbed, "up", Options::default()).await?;
    let mut down = nodes.start(testbed, "down", Options::default()).await?;
    let addresses = ["--node".to_owned(), up.address()?, "--node".to_owned(), down.address()?];
    let relay = nodes.relay().args(addresses).start().await?;
    let states = async |expected: [&str; 2]| {
        eventually(PATIENCE, "the states of the nodes", || async {
            let status = json(relay.socket(), ["status"]).await?.pop().context("no status")?;
            let is = |name: &str, state: &str| {
                let all = status["relay"]["nodes"].as_array();
                all.is_some_and(|all| all.iter().any(|one| one["name"] == name && one["state"] == state))
            };
            let both = is("up", expected[0]) && is("down", expected[1]);
            Ok(if both { Ok(()) } else { Err(status["relay"].to_string()) })
        })
        .await
    };
    states(["NODE_STATE_CONNECTED"; 2]).await?;
    down.daemon.kill().await?;
    states(["NODE_STATE_CONNECTED", "NODE_STATE_UNAVAILABLE"]).await?;
    let stream = relay.follow(["summary", "-f", "--window", "1s", "--node-name", "up"])?;
    let is_end = |line: &Value| line["window_end"].is_object();
    stream.wait_count("windows", PATIENCE, 5, is_end).await?;
    ensure!(stream.matching(is_behind).is_empty(), "{}", stream.account());
    ensure!(
        stream.matching(is_end).iter().all(|end| end["window_end"]["nodes"] == 1),
        "{}",
        stream.account()
    );
    drop(stream);
    drop(relay);
    end([up, down]).await
}
