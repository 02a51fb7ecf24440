//! The memory of events: what was asked for comes once and in order, what is not there any more is counted, and who was
//! cut off goes on where that was.

#![allow(clippy::disallowed_methods, reason = "it asks for what happened since a moment of its own")]

use std::collections::BTreeSet;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{
    Event, Filter, GetStatusRequest, History, NodeState, NodeStatus, Resume, WatchEventsRequest,
    WatchEventsResponse,
};
use observer_tests::losses::is_own;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, NetnsPair, Watch, eventually, workload};
use tonic::Streaming;

/// Connections of a part; each is an attempt, an acceptance and two ends.
const COUNT: u64 = 300;

/// Also for what other tests of this machine do at the same time.
const ROOM: [&str; 2] = ["--history-bytes", "64MiB"];

/// What came of the memory.
#[derive(Debug, Default)]
struct Read {
    history: Option<History>,
    events: Vec<Event>,
}

impl Read {
    fn numbers(&self) -> Vec<u64> {
        self.events.iter().map(|event| event.sequence).collect()
    }
}

async fn open(daemon: &Daemon, request: WatchEventsRequest) -> Result<Streaming<WatchEventsResponse>> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    Ok(client.watch_events(request).await?.into_inner())
}

/// Reads a stream to its end.
async fn read(daemon: &Daemon, request: WatchEventsRequest) -> Result<Read> {
    let (mut stream, mut read) = (open(daemon, request).await?, Read::default());
    while let Some(message) = stream.message().await? {
        match message.payload {
            Some(Payload::Event(event)) => read.events.push(event),
            Some(Payload::History(history)) => read.history = Some(history),
            Some(Payload::NodeStatus(_)) => {}
            Some(Payload::Lost(lost)) if !is_own(&lost) => {}
            other => anyhow::bail!("{other:?}"),
        }
    }
    Ok(read)
}

/// Connections over loopback to a port of a namespace.
async fn connect(pair: &NetnsPair, port: u16) -> Result<()> {
    workload::connections(&pair.left().netns, port, COUNT).await
}

fn ports(ports: &[u32]) -> WatchEventsRequest {
    let allow = vec![Filter { ports: ports.to_vec(), ..Filter::default() }];
    WatchEventsRequest { allow, ..WatchEventsRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_comes_once_and_in_order() -> Result<()> {
    let pair = NetnsPair::new()?;
    let daemon = Daemon::bare().args(ROOM).start().await?;
    let watch = Watch::filtered(&daemon, ports(&[7321, 7322]).allow, Vec::new()).await?;
    connect(&pair, 7321).await?;
    watch.wait_count("the first part", 4 * COUNT as usize, |_| true).await?;
    let between = SystemTime::now();
    connect(&pair, 7322).await?;
    watch.wait_count("both parts", 8 * COUNT as usize, |_| true).await?;
    watch.settle(|_| true).await?;
    let all = watch.events(|_| true);
    let (since, until) = (Some(between.into()), Some(between.into()));
    let numbers = |is_it: &dyn Fn(&Event) -> bool| -> Vec<u64> {
        all.iter().filter(|event| is_it(event)).map(|event| event.sequence).collect()
    };
    let time = |event: &Event| event.time.and_then(|time| SystemTime::try_from(time).ok());
    let before = numbers(&|event| time(event).is_some_and(|time| time <= between));
    let after = numbers(&|event| time(event).is_some_and(|time| time >= between));
    let every = numbers(&|_| true);
    ensure!(before.len() >= 1000 && after.len() >= 1000, "{} and {}", before.len(), after.len());
    let epoch = Some(SystemTime::UNIX_EPOCH.into());
    let of = || ports(&[7321, 7322]);
    for (request, expected) in [
        (WatchEventsRequest { since: epoch, ..of() }, &every[..]),
        (WatchEventsRequest { since, ..of() }, &after),
        (WatchEventsRequest { until, ..of() }, &before),
        (WatchEventsRequest { first: 700, ..of() }, &every[..700]),
        (WatchEventsRequest { since, first: 700, ..of() }, &after[..700]),
        (WatchEventsRequest { last: 700, ..of() }, &every[every.len() - 700..]),
        (WatchEventsRequest { until, last: 700, ..of() }, &before[before.len() - 700..]),
        (WatchEventsRequest { last: 1_000_000, ..of() }, &every),
    ] {
        let read = read(&daemon, request.clone()).await?;
        ensure!(read.numbers() == expected, "{request:?}: {} of {}", read.events.len(), expected.len());
        ensure!(read.history.is_some_and(|history| history.missing == 0), "{request:?}: {:?}", read.history);
    }
    let nothing = read(&daemon, of()).await?;
    ensure!(nothing.events.is_empty() && nothing.history.is_none(), "{nothing:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_counted() -> Result<()> {
    let pair = NetnsPair::new()?;
    let daemon = Daemon::bare().args(["--history-bytes", "256KiB"]).start().await?;
    let watch = Watch::filtered(&daemon, ports(&[7323]).allow, Vec::new()).await?;
    connect(&pair, 7323).await?;
    watch.wait_count("all", 4 * COUNT as usize, |_| true).await?;
    watch.settle(|_| true).await?;
    let client = ObserverClient::new(daemon.channel().await?);
    let all = WatchEventsRequest { since: Some(SystemTime::UNIX_EPOCH.into()), ..Default::default() };
    // Whatever else this machine does may come between the two.
    eventually(PATIENCE, "a moment in which nothing happens", async || {
        let mut client = client.clone();
        let read = read(&daemon, all.clone()).await?;
        let status =
            client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")?;
        let happened: u64 = status.events.iter().map(|of| of.count).sum();
        let history = read.history.context("no history")?;
        let (there, missing) = (read.events.len() as u64, history.missing);
        ensure!(there > 100 && missing > 100, "{there} are there, {missing} missing");
        ensure!(history.oldest == read.events.first().and_then(|event| event.time), "{history:?}");
        let table = status.tables.iter().find(|table| table.name == "history_bytes").context("no table")?;
        ensure!(table.capacity == 256 << 10 && table.entries <= table.capacity, "{table:?}");
        ensure!(table.entries > 200 << 10, "{table:?}");
        Ok(if there + missing == happened { Ok(()) } else { Err((there, missing, happened)) })
    })
    .await
}

/// Takes messages until so many events came, or for good.
async fn take(
    stream: &mut Streaming<WatchEventsResponse>,
    count: usize,
) -> Result<(NodeStatus, Option<History>, Vec<Event>)> {
    let (mut greeting, mut history, mut events) = (None, None, Vec::new());
    while events.len() < count {
        match stream.message().await?.context("the stream ended")?.payload {
            Some(Payload::NodeStatus(status)) if status.state() == NodeState::Following => {}
            Some(Payload::NodeStatus(status)) => greeting = Some(status),
            Some(Payload::History(of)) => history = Some(of),
            Some(Payload::Event(event)) => events.push(event),
            Some(Payload::Lost(lost)) if !is_own(&lost) => {}
            other => anyhow::bail!("{other:?}"),
        }
    }
    Ok((greeting.context("no greeting")?, history, events))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_goes_on_where_that_was() -> Result<()> {
    let pair = NetnsPair::new()?;
    let mut daemon = Daemon::bare().args(ROOM).start().await?;
    let watch = Watch::filtered(&daemon, ports(&[7324]).allow, Vec::new()).await?;
    let following = |resume| WatchEventsRequest { follow: true, resume, ..ports(&[7324]) };
    let mut stream = open(&daemon, following(None)).await?;
    let all = async {
        connect(&pair, 7324).await?;
        watch.wait_count("all", 4 * COUNT as usize, |_| true).await
    };
    // It reads a hundred and hangs up, again and again, while things happen.
    let reading = async {
        let (mut numbers, mut missing) = (Vec::new(), 0);
        let mut of = following(None);
        while numbers.len() < 4 * COUNT as usize {
            let (status, history, events) = take(&mut stream, 100).await?;
            missing += history.map_or(0, |history| history.missing);
            numbers.extend(events.iter().map(|event| event.sequence));
            let sequence = numbers.last().copied().unwrap_or(0);
            of.resume = Some(Resume { sequence, start_time: status.start_time });
            stream = open(&daemon, of.clone()).await?;
        }
        anyhow::Ok((numbers, missing, of.resume))
    };
    let (all, reading) = tokio::join!(all, reading);
    all?;
    let (numbers, missing, resume) = reading?;
    watch.settle(|_| true).await?;
    let expected: Vec<u64> = watch.sequences(|_| true).into_iter().collect();
    ensure!(numbers == expected && missing == 0, "{} of {}, {missing}", numbers.len(), expected.len());

    // The daemon is another one: what that saw comes, and nothing of before.
    let listen = format!("unix://{}", daemon.socket().display());
    daemon.stop().await?;
    let again = Daemon::bare().args(ROOM).arg("--listen").arg(listen).start().await?;
    let watch = Watch::filtered(&again, ports(&[7325]).allow, Vec::new()).await?;
    connect(&pair, 7325).await?;
    watch.wait_count("all", 4 * COUNT as usize, |_| true).await?;
    watch.settle(|_| true).await?;
    let request = WatchEventsRequest { resume, ..ports(&[7325]) };
    let read = read(&again, request).await?;
    let history = read.history.context("no history")?;
    ensure!(history.another_run && history.missing == 0, "{history:?}");
    let told: BTreeSet<u64> = read.numbers().into_iter().collect();
    ensure!(told == watch.sequences(|_| true) && told.len() == read.events.len(), "{} told", told.len());
    Ok(())
}
