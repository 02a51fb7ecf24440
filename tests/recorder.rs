//! The flight recorder: what happened before a restart, a kill or a full disk is there, and what is missing is said.

#![allow(clippy::disallowed_methods, reason = "it asks for what happened since a moment of its own")]

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{Event, Filter, Gap, GapReason, NodeStatus, Resume, WatchEventsRequest};
use observer_tests::daemon::DaemonBuilder;
use observer_tests::losses::is_own;
use observer_tests::{Daemon, NetnsPair, Watch, workload};
use prost_types::Timestamp;
use tempfile::TempDir;

/// Connections of a part; each is an attempt, an acceptance and two ends.
const COUNT: u64 = 100;

/// What came, in order.
#[derive(Debug)]
enum Came {
    /// The state that the stream begins with, or whose numbers follow.
    State(NodeStatus),
    History,
    Event(Event),
    Gap(Gap),
}

fn recording(folder: &TempDir) -> DaemonBuilder {
    Daemon::bare().args(["--record-dir", &folder.path().join("records").to_string_lossy()])
}

fn ports(ports: &[u32]) -> WatchEventsRequest {
    let allow = vec![Filter { ports: ports.to_vec(), ..Filter::default() }];
    WatchEventsRequest { allow, ..WatchEventsRequest::default() }
}

/// All that there is.
fn all(request: WatchEventsRequest) -> WatchEventsRequest {
    WatchEventsRequest { since: Some(Timestamp::default()), ..request }
}

async fn read(daemon: &Daemon, request: WatchEventsRequest) -> Result<Vec<Came>> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    let mut stream = client.watch_events(request).await?.into_inner();
    let mut came = Vec::new();
    while let Some(message) = stream.message().await? {
        match message.payload {
            Some(Payload::Event(event)) => came.push(Came::Event(event)),
            Some(Payload::Gap(gap)) => came.push(Came::Gap(gap)),
            Some(Payload::NodeStatus(status)) => came.push(Came::State(status)),
            Some(Payload::History(_)) => came.push(Came::History),
            Some(Payload::Lost(lost)) if !is_own(&lost) => {}
            other => anyhow::bail!("{other:?}"),
        }
    }
    Ok(came)
}

/// The events with the start of the run that they are of.
fn events(came: &[Came]) -> Vec<(Timestamp, Event)> {
    let mut run = Timestamp::default();
    let mut events = Vec::new();
    for one in came {
        match one {
            Came::State(status) => run = status.start_time.unwrap_or(run),
            Came::Event(event) => events.push((run, event.clone())),
            Came::History | Came::Gap(_) => {}
        }
    }
    events
}

fn gaps(came: &[Came]) -> Vec<Gap> {
    let gap = |one: &Came| if let Came::Gap(gap) = one { Some(gap.clone()) } else { None };
    came.iter().filter_map(gap).collect()
}

/// Makes connections to a port, and gives the events of it as a live client got them.
async fn live(daemon: &Daemon, pair: &NetnsPair, port: u16) -> Result<Vec<Event>> {
    let watch = Watch::filtered(daemon, ports(&[port.into()]).allow, Vec::new()).await?;
    workload::connections(&pair.left().netns, port, COUNT).await?;
    watch.wait_count("all of it", 4 * COUNT as usize, |_| true).await?;
    watch.settle(|_| true).await?;
    Ok(watch.events(|_| true))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_a_restart_is_there() -> Result<()> {
    let (pair, folder) = (NetnsPair::new()?, tempfile::tempdir()?);
    let mut daemon = recording(&folder).start().await?;
    let first = live(&daemon, &pair, 7341).await?;
    daemon.stop().await?;
    let daemon = recording(&folder).start().await?;
    let second = live(&daemon, &pair, 7342).await?;

    let came = read(&daemon, all(ports(&[7341, 7342]))).await?;
    let told = events(&came);
    let runs: Vec<Timestamp> = told.iter().map(|(run, _)| *run).collect();
    let told: Vec<Event> = told.into_iter().map(|(_, event)| event).collect();
    ensure!(told == [first.clone(), second.clone()].concat(), "{} events: {came:#?}", told.len());
    let seconds = runs.iter().map(|run| (run.seconds, run.nanos));
    ensure!(seconds.is_sorted() && runs[0] != runs[runs.len() - 1], "{runs:?}");
    let between = gaps(&came);
    ensure!(between.len() == 1 && between[0].reason() == GapReason::NotRunning, "{between:?}");
    ensure!(between[0].start_time == runs.last().copied(), "{between:?}");
    let place = came.iter().position(|one| matches!(one, Came::Gap(_))).context("no gap")?;
    ensure!(events(&came[..place]).len() == first.len(), "the gap is at {place}");

    // Where a client of the first run was cut off, it goes on.
    let cut = &first[first.len() / 2];
    let resume = Some(Resume { sequence: cut.sequence, start_time: Some(runs[0]) });
    let came = read(&daemon, WatchEventsRequest { resume, ..ports(&[7341, 7342]) }).await?;
    let told: Vec<Event> = events(&came).into_iter().map(|(_, event)| event).collect();
    ensure!(told == [&first[first.len() / 2 + 1..], &second].concat(), "{came:#?}");

    // The newest ones of both.
    let last = second.len() + 7;
    let came = read(&daemon, WatchEventsRequest { last: last as u32, ..ports(&[7341, 7342]) }).await?;
    let told: Vec<Event> = events(&came).into_iter().map(|(_, event)| event).collect();
    ensure!(told == [&first[first.len() - 7..], &second].concat(), "{} of {last}: {came:#?}", told.len());

    // The oldest ones, and what was until then.
    let came = read(&daemon, WatchEventsRequest { first: 5, ..ports(&[7341, 7342]) }).await?;
    let told: Vec<Event> = events(&came).into_iter().map(|(_, event)| event).collect();
    ensure!(told == first[..5], "{came:#?}");
    let until = first.last().and_then(|event| event.time);
    let came = read(&daemon, WatchEventsRequest { until, ..ports(&[7341, 7342]) }).await?;
    let told: Vec<Event> = events(&came).into_iter().map(|(_, event)| event).collect();
    ensure!(told == first, "{came:#?}");
    Ok(())
}
