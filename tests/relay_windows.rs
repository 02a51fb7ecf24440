//! Windows of several nodes, where one of them has less to tell than the other: nobody waits for what will not come, and nobody is said
//! to be late.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use observer_tests::client::json;
use observer_tests::nodes::{Node, Nodes, Options};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Testbed, eventually};
use prost_types::Timestamp;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The past that is asked for: all of it.
const PAST: [&str; 3] = ["summary", "--since", "1h"];

/// A clock may be corrected by so much.
const CORRECTED: Duration = Duration::from_millis(20);

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

/// From when to when a window is.
fn time(end: &Value) -> Result<[SystemTime; 2]> {
    let start: Timestamp = end["window_start"].as_str().context("no start")?.parse()?;
    let start = SystemTime::try_from(start)?;
    Ok([start, start + Duration::from_nanos(end["window_ns"].as_u64().context("no length")?)])
}

/// A way to an address that can be cut.
#[derive(Default)]
struct Way {
    cut: AtomicBool,
    connections: Mutex<JoinSet<()>>,
}

impl Way {
    async fn to(address: String) -> Result<(SocketAddr, Arc<Self>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = listener.local_addr()?;
        let way = Arc::<Self>::default();
        let kept = Arc::clone(&way);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let address = address.clone();
                if kept.cut.load(Ordering::SeqCst) {
                    continue;
                }
                kept.connections.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(address).await {
                        let _cut = copy_bidirectional(&mut near, &mut far).await.is_err();
                    }
                });
            }
        });
        Ok((own, way))
    }

    fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
        if cut {
            self.connections.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        }
    }
}

async fn end(nodes: impl IntoIterator<Item = Node>) -> Result<()> {
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
    let starts = ends.iter().map(|end| Ok(time(end)?[0])).collect::<Result<Vec<_>>>()?;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_tells_no_second_twice() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let nodes = Nodes::new("relay-back")?;
    let node = nodes.start(testbed, "back", Options::default()).await?;
    let (address, way) = Way::to(node.address()?.trim_start_matches("tls://").to_owned()).await?;
    let relay = nodes.relay().args(["--node".to_owned(), format!("tls://{address}")]).start().await?;
    let stream = relay.follow(["summary", "-f", "--window", "20s"])?;
    let is_end = |line: &Value| line["window_end"].is_object();
    stream.wait_count("a window", 2 * PATIENCE, 1, is_end).await?;
    way.cut(true);
    let meanwhile = node.daemon.follow(["summary", "-f", "--window", "1s"])?;
    meanwhile.wait_count("seconds that nobody is told", PATIENCE, 3, is_end).await?;
    way.cut(false);
    let is_back = |line: &Value| {
        line["node_status"]["state"] == "NODE_STATE_CONNECTED" && !line["node_status"]["node_name"].is_null()
    };
    stream.wait_count("that it is back", PATIENCE, 2, is_back).await?;
    let before = stream.matching(is_end).len();
    stream.wait_count("windows after that", 2 * PATIENCE, before + 1, is_end).await?;
    let told = stream.matching(is_end);
    let times = told.iter().map(|line| time(&line["window_end"])).collect::<Result<Vec<_>>>()?;
    let mut missing = Duration::ZERO;
    for pair in times.windows(2) {
        // Clocks are corrected now and then, by less than that.
        let between = (pair[1][0] + CORRECTED).duration_since(pair[0][1]);
        let between = between.with_context(|| format!("{pair:?} overlap: {}", stream.account()))?;
        missing += between.saturating_sub(2 * CORRECTED);
    }
    // What is missing between them is said.
    let said = stream.matching(|line| is_behind(line) && line["node_status"]["node_name"] == "back");
    let said = said.first().and_then(|line| line["node_status"]["message"].as_str()).unwrap_or_default();
    let seconds = said.rsplit_once("figures lack ").and_then(|(_, words)| words.strip_suffix(" s"));
    let seconds: f64 = seconds.with_context(|| stream.account())?.parse()?;
    ensure!(missing > CORRECTED, "{missing:?}: {}", stream.account());
    ensure!((seconds - missing.as_secs_f64()).abs() < 0.2, "{missing:?}, {said}: {}", stream.account());
    drop(stream);
    drop(relay);
    end([node]).await
}
