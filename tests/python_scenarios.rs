//! A client in another language goes through the same as ours: a daemon that is killed and comes back, and losses that add up.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::Filter;
use observer_tests::python::{API, call_at};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, NetnsPair, Watch, eventually, workload};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Events of a connection over loopback: an attempt, an acceptance, and two ends.
const EACH: usize = 4;
/// They are of these types. A segment that is sent again, on a machine that pauses, is none of them.
const TYPES: [&str; 3] = ["tcp_connect", "tcp_accept", "tcp_close"];

fn is_event(line: &Value) -> bool {
    line.get("event").is_some()
}

/// 64-bit numbers are text in proto3's JSON.
fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn numbers(lines: &Lines) -> Vec<u64> {
    lines.matching(is_event).iter().map(|line| number(&line["event"]["sequence"])).collect()
}

/// The daemon's start, as a stream's first message says it.
async fn started(stream: &Lines) -> Result<Value> {
    let greeting =
        stream.wait_for("the stream's start", PATIENCE, |line| line.get("node_status").is_some()).await?;
    Ok(greeting["node_status"]["start_time"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn python_goes_on_with_a_daemon_that_was_killed() -> Result<()> {
    const COUNT: u64 = 60;
    const PORT: u16 = 7333;
    let pair = NetnsPair::new()?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("observer.sock");
    let start = async || {
        let listen = ["--listen".to_owned(), format!("unix://{}", socket.display())];
        Daemon::bare().args(listen).args(["--history-bytes", "64MiB"]).start().await
    };
    let allow = json!([{"ports": [PORT], "types": TYPES}]);
    let follow = |socket: &Path, resume: Option<Value>| {
        let mut request = json!({"follow": true, "allow": allow});
        if let Some(resume) = resume {
            request["resume"] = resume;
        }
        call_at(&format!("unix://{}", socket.display()), API, "WatchEvents", &request)
    };
    let mut first = start().await?;
    let mut stream = follow(&socket, None)?;
    let start_time = started(&stream).await?;
    workload::connections(&pair.left().netns, PORT, COUNT).await?;
    stream.wait_count("all", PATIENCE, EACH * COUNT as usize, is_event).await?;
    first.kill().await?;
    ensure!(stream.wait().await?.code() == Some(1), "{}", stream.account());
    let last = numbers(&stream).pop().context("nothing")?;
    let resume = json!({"sequence": last.to_string(), "start_time": start_time});

    // What happens while nobody watches is not seen, which is said; what happens after that comes once and whole.
    let second = start().await?;
    let ours =
        Watch::filtered(&second, vec![Filter { ports: vec![PORT.into()], ..Filter::default() }], Vec::new())
            .await?;
    workload::connections(&pair.left().netns, PORT, COUNT).await?;
    ours.wait_count("all", EACH * COUNT as usize, |_| true).await?;
    let again = follow(&socket, Some(resume))?;
    ensure!(started(&again).await? != start_time, "{}", again.account());
    let history = again.wait_for("the memory", PATIENCE, |line| line.get("history").is_some()).await?;
    ensure!(history["history"]["another_run"] == true, "{history}");
    ensure!(history["history"].get("missing").is_none(), "{history}");
    workload::connections(&pair.left().netns, PORT, COUNT).await?;
    ours.wait_count("the rest", 2 * EACH * COUNT as usize, |_| true).await?;
    again.wait_count("both parts", PATIENCE, 2 * EACH * COUNT as usize, is_event).await?;
    let expected: Vec<u64> = ours.sequences(|_| true).into_iter().collect();
    ensure!(numbers(&again) == expected, "{:?} and {expected:?}", numbers(&again));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_python_missed_and_what_it_got_are_all_that_was() -> Result<()> {
    const PORT: u16 = 7334;
    const COUNT: u64 = 4_000;
    let pair = NetnsPair::new()?;
    // So little waits for a client that one which does not read loses most of it.
    let daemon = Daemon::bare().args(["--subscriber-queue", "16"]).start().await?;
    let allow = json!([{"ports": [PORT], "types": TYPES}]);
    let address = format!("unix://{}", daemon.socket().display());
    let stream = call_at(&address, API, "WatchEvents", &json!({"follow": true, "allow": allow}))?;
    started(&stream).await?;
    stream.signal(Signal::STOP)?;
    workload::connections(&pair.left().netns, PORT, COUNT).await?;
    let own = |line: &Value| line["lost"]["source"] == "LOSS_SOURCE_SUBSCRIBER";
    stream.signal(Signal::CONT)?;
    let all = EACH as u64 * COUNT;
    let told = || {
        let lost = stream.matching(own).iter().map(|line| number(&line["lost"]["count"])).sum::<u64>();
        (stream.matching(is_event).len() as u64, lost)
    };
    eventually(PATIENCE, "all to be told or missed", || async {
        let (events, lost) = told();
        Ok((events + lost == all).then_some(()).ok_or(format!("{events} and {lost} of {all}")))
    })
    .await?;
    let (events, lost) = told();
    ensure!(lost > 0 && events > 0, "{events} came and {lost} were lost");
    // Nothing more comes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(told() == (events, lost), "{:?} and {:?}", told(), (events, lost));
    let numbers = numbers(&stream);
    ensure!(numbers.is_sorted_by(|a, b| a < b), "doubles, or out of order");
    Ok(())
}
