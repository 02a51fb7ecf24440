//! The flight recorder: what happened before a restart or a kill is there, and what is missing is said.

#![allow(clippy::disallowed_methods, reason = "it asks for what happened since a moment of its own")]

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_summaries_response::Payload as Summarized;
use observer_proto::v1::{Event, Filter, GapReason, Resume, WatchEventsRequest, WatchSummariesRequest};
use observer_tests::recording::{COUNT, Came, all, events, gaps, live, numbers, ports, read, recording};
use observer_tests::wait::PATIENCE;
use observer_tests::{NetnsPair, Watch, eventually, workload};
use prost_types::Timestamp;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_lacks_a_second_at_most_and_says_so() -> Result<()> {
    const KILLS: u16 = 6;
    // In memory: what is shown is the daemon's pace, not the disk's.
    let (pair, folder) = (NetnsPair::new()?, tempfile::tempdir_in("/dev/shm")?);
    let mut parts = Vec::new();
    for kill in 0..KILLS {
        let mut daemon = recording(&folder).start().await?;
        let first = live(&daemon, &pair, 7350 + kill).await?;
        // What was told a second ago is on disk, whenever the daemon is killed.
        let told = SystemTime::now();
        let watch = Watch::filtered(&daemon, ports(&[u32::from(7360 + kill)]).allow, Vec::new()).await?;
        eventually(PATIENCE, "a second", || async {
            workload::connections(&pair.left().netns, 7360 + kill, 5).await?;
            let passed = told.elapsed().unwrap_or_default();
            let wanted = Duration::from_millis(1_000 + u64::from(kill) * 67);
            Ok(if passed > wanted { Ok(()) } else { Err("not yet") })
        })
        .await?;
        daemon.kill().await?;
        parts.push((first, watch.events(|_| true)));
    }
    let daemon = recording(&folder).start().await?;
    let all_ports: Vec<u32> = (7350..7350 + u32::from(KILLS)).chain(7360..7360 + u32::from(KILLS)).collect();
    let came = read(&daemon, all(ports(&all_ports))).await?;
    let told = events(&came);
    for (before, after) in &parts {
        let of = |event: &Event| (event.sequence, event.time);
        let ends = [before.first(), before.last()].map(|event| event.map(of));
        let place = told.iter().position(|(_, event)| Some(of(event)) == ends[0]).context("not there")?;
        let run = told[place].0;
        let there: Vec<Event> =
            told.iter().filter(|(of, _)| *of == run).map(|(_, event)| event.clone()).collect();
        ensure!(there.starts_with(before), "{:?} of {:?}", numbers(&there), numbers(before));
        // The rest is what a client got, up to somewhere, and nothing twice.
        let rest = numbers(&there[before.len()..]);
        ensure!(rest.is_sorted_by(|a, b| a < b), "{rest:?}");
        let live = numbers(after);
        ensure!(live.starts_with(&rest) || rest.starts_with(&live), "{rest:?} of {live:?}");
    }
    let killed = gaps(&came);
    ensure!(killed.len() == usize::from(KILLS), "{killed:?}");
    ensure!(killed.iter().all(|gap| gap.reason() == GapReason::Killed), "{killed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn summaries_of_the_past_are_there() -> Result<()> {
    let (pair, folder) = (NetnsPair::new()?, tempfile::tempdir()?);
    let mut daemon = recording(&folder).start().await?;
    let begun = SystemTime::now();
    let first = live(&daemon, &pair, 7391).await?;
    daemon.stop().await?;
    let daemon = recording(&folder).start().await?;
    let allow = vec![Filter { ports: vec![7391], ..Filter::default() }];
    let since = Some(Timestamp::from(begun - Duration::from_secs(20)));
    let window = Some(prost_types::Duration { seconds: 3_600, nanos: 0 });
    let request = WatchSummariesRequest { allow, since, window, ..WatchSummariesRequest::default() };
    let mut client = ObserverClient::new(daemon.channel().await?);
    let mut stream = client.watch_summaries(request).await?.into_inner();
    let (mut opened, mut ends, mut gaps) = (0, 0, Vec::new());
    while let Some(message) = stream.message().await? {
        match message.payload {
            Some(Summarized::Summary(summary)) => {
                ensure!(summary.edge.is_some() && summary.diagnosis.is_some(), "{summary:?}");
                opened += summary.tcp.map_or(0, |tcp| tcp.opened);
            }
            Some(Summarized::WindowEnd(_)) => ends += 1,
            Some(Summarized::Gap(gap)) => gaps.push(gap.reason()),
            Some(Summarized::NodeStatus(_) | Summarized::Lost(_)) | None => {}
        }
    }
    // Each connection is opened on both sides.
    ensure!(first.len() as u64 == 4 * COUNT && opened == 2 * COUNT && ends > 0, "{opened} in {ends}");
    ensure!(gaps.contains(&GapReason::NotRunning), "{gaps:?}");
    Ok(())
}
