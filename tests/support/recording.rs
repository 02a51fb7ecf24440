//! A daemon that records, and what is read of it.

use anyhow::{Context, Result};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{
    Event, Filter, Gap, GetStatusRequest, NodeStatus, Recorder, RecorderState, Status, WatchEventsRequest,
};
use prost_types::Timestamp;
use tempfile::TempDir;

use crate::daemon::DaemonBuilder;
use crate::losses::is_own;
use crate::wait::{PATIENCE, eventually};
use crate::{Daemon, NetnsPair, Watch, workload};

/// Connections of a part; each is an attempt, an acceptance and two ends.
pub const COUNT: u64 = 100;

/// What came of a stream, in order.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "most are the large one")]
pub enum Came {
    /// The state that the stream begins with, or whose numbers follow.
    State(NodeStatus),
    /// How far back all reaches.
    History,
    /// An event.
    Event(Event),
    /// Something that is missing.
    Gap(Gap),
}

/// A daemon that records in a folder.
pub fn recording(folder: &TempDir) -> DaemonBuilder {
    Daemon::bare().args(["--record-dir", &folder.path().join("records").to_string_lossy()])
}

/// Events of these ports.
pub fn ports(ports: &[u32]) -> WatchEventsRequest {
    let allow = vec![Filter { ports: ports.to_vec(), ..Filter::default() }];
    WatchEventsRequest { allow, ..WatchEventsRequest::default() }
}

/// All that there is.
pub fn all(request: WatchEventsRequest) -> WatchEventsRequest {
    WatchEventsRequest { since: Some(Timestamp::default()), ..request }
}

/// Reads a stream to its end.
pub async fn read(daemon: &Daemon, request: WatchEventsRequest) -> Result<Vec<Came>> {
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
pub fn events(came: &[Came]) -> Vec<(Timestamp, Event)> {
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

/// What is missing.
pub fn gaps(came: &[Came]) -> Vec<Gap> {
    let gap = |one: &Came| if let Came::Gap(gap) = one { Some(gap.clone()) } else { None };
    came.iter().filter_map(gap).collect()
}

/// Makes connections to a port, and gives the events of it as a live client got them.
pub async fn live(daemon: &Daemon, pair: &NetnsPair, port: u16) -> Result<Vec<Event>> {
    let watch = Watch::filtered(daemon, ports(&[port.into()]).allow, Vec::new()).await?;
    workload::connections(&pair.left().netns, port, COUNT).await?;
    watch.wait_count("all of it", 4 * COUNT as usize, |_| true).await?;
    watch.settle(|_| true).await?;
    Ok(watch.events(|_| true))
}

/// The numbers of some events.
pub fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

/// What the recorder and the daemon say of themselves.
pub async fn recorder(daemon: &Daemon) -> Result<(Recorder, Status)> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    let status = client.get_status(GetStatusRequest::default()).await?.into_inner().status;
    let status = status.context("no status")?;
    Ok((status.recorder.clone().context("no recorder")?, status))
}

/// Waits until it records, or does not any more.
pub async fn wait_state(daemon: &Daemon, state: RecorderState) -> Result<Recorder> {
    eventually(PATIENCE, "the recorder's state", || async {
        let (recorder, _) = recorder(daemon).await?;
        Ok(if recorder.state() == state { Ok(recorder) } else { Err(format!("{recorder:?}")) })
    })
    .await
}
