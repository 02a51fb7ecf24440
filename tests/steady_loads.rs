//! Proves that what the loads of the benchmarks say they did is what the observer tells: else their figures are of
//! something else.

use std::time::Duration;

use anyhow::{Result, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, EventType};
use observer_tests::edges::EdgeSum;
use observer_tests::wait::PATIENCE;
use observer_tests::watch::tcp;
use observer_tests::{Daemon, Edges, NetnsPair, Steady, Watch, eventually};

const LENGTH: Duration = Duration::from_millis(500);
/// Bytes sent each way on a connection, or with a request.
const BYTES: u64 = 100;
/// Connections of the load of requests.
const CONNECTIONS: u64 = 16;

async fn daemon() -> Result<Daemon> {
    Daemon::bare().args(["--cri-endpoint", "none"]).start().await
}

/// Runs a load twice, as measurements do; gives how often it did it.
fn twice(load: &mut Steady, rate: u64) -> Result<u64> {
    let mut sum = 0;
    for _ in 0..2 {
        load.begin(LENGTH, Some(rate))?;
        let done = load.done()?;
        ensure!(done.count > 0 && done.elapsed >= LENGTH, "{done:?}");
        sum += done.count;
    }
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_requests_are_as_many_as_are_told() -> Result<()> {
    let pair = NetnsPair::new()?;
    let daemon = daemon().await?;
    let edges = Edges::start(&daemon).await?;
    let netns = &pair.left().netns;
    let mut load = Steady::start(netns, None, ["connections", "--port", "7281", "--cpu", "0"])?;
    let made = twice(&mut load, 1000)?;
    let bytes = made * BYTES;
    let sum = EdgeSum { opened: made, closed: made, live: 0, sent_bytes: bytes, received_bytes: bytes };
    edges.reach(7281, sum).await?;

    let mut load = Steady::start(netns, None, ["requests", "--port", "7282"])?;
    let bytes = twice(&mut load, 1000)? * BYTES;
    let opened = 2 * CONNECTIONS;
    let sum = EdgeSum { opened, closed: opened, live: 0, sent_bytes: bytes, received_bytes: bytes };
    edges.reach(7282, sum).await?;
    ensure!(edges.lost_events() == 0, "{:?}", edges.lost());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_across_namespaces_are_as_many_as_are_told() -> Result<()> {
    let pair = NetnsPair::new()?;
    let daemon = daemon().await?;
    let edges = Edges::start(&daemon).await?;
    let (left, right) = (pair.left(), pair.right());
    let (to, there) = (right.ip.to_string(), right.netns.path().display().to_string());
    let args = ["connections", "--port", "7283", "--to", &to, "--listen-in", &there];
    let mut load = Steady::start(&left.netns, None, args)?;
    let made = twice(&mut load, 500)?;
    let bytes = made * BYTES;
    let sum = EdgeSum { opened: made, closed: made, live: 0, sent_bytes: bytes, received_bytes: bytes };
    edges.reach(7283, sum).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_aborted_is_six_events() -> Result<()> {
    let pair = NetnsPair::new()?;
    let daemon = daemon().await?;
    let netns = pair.left().netns.inode()?;
    let ours = |event: &Event| tcp(event).is_some_and(|tcp| u64::from(tcp.netns) == netns);
    let watch = Watch::all(&daemon).await?;
    let mut load = Steady::start(&pair.left().netns, None, ["aborted", "--port", "7284"])?;
    let made = twice(&mut load, 300)? as usize;
    watch.wait_count("its events", 6 * made, ours).await?;
    watch.settle(ours).await?;
    let of = |event_type| watch.count(|event| ours(event) && event.r#type() == event_type);
    let told =
        [EventType::TcpConnect, EventType::TcpAccept, EventType::TcpReset, EventType::TcpClose].map(of);
    ensure!(told == [made, made, 2 * made, 2 * made], "{told:?} of {made} connections");
    ensure!(watch.count(ours) == 6 * made, "{} of {made} connections", watch.count(ours));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn execs_are_as_many_as_are_told() -> Result<()> {
    let pair = NetnsPair::new()?;
    let daemon = daemon().await?;
    let watch = Watch::of(&daemon, EventType::ProcessExec).await?;
    let mut load = Steady::start(&pair.left().netns, None, ["exec", "--port", "7285"])?;
    let pid = load.pid();
    let made = twice(&mut load, 200)? as usize;
    let ours = |event: &Event| {
        event.process.as_ref().is_some_and(|process| process.parent_pid == pid)
            && matches!(&event.detail, Some(Detail::ProcessExec(exec)) if exec.arguments.len() == 5)
    };
    watch.wait_count("its execs", made, ours).await?;
    watch.settle(ours).await?;
    ensure!(watch.count(ours) == made, "{} of {made}", watch.count(ours));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_in_bulk_are_as_many_as_are_told() -> Result<()> {
    let pair = NetnsPair::new()?;
    let daemon = daemon().await?;
    let edges = Edges::start(&daemon).await?;
    let mut load = Steady::start(&pair.left().netns, None, ["bulk", "--port", "7286"])?;
    let bytes = twice(&mut load, 1000)?;
    let closed = |sum: &EdgeSum| sum.closed == 2;
    let [asking, asked] = eventually(PATIENCE, "both connections' ends", async || {
        let told = edges.of(7286);
        Ok(if told.iter().all(closed) { Ok(told) } else { Err(told) })
    })
    .await?;
    ensure!(asked.received_bytes == bytes && asked.sent_bytes == 0, "{asked:?}, {bytes} read");
    ensure!(asking.sent_bytes == bytes && asking.received_bytes == 0, "{asking:?}, {bytes} read");
    Ok(())
}
