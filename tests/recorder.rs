//! The flight recorder: what happened before a restart, a kill or a full disk is there, and what is missing is said.

#![allow(clippy::disallowed_methods, reason = "it asks for what happened since a moment of its own")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::watch_summaries_response::Payload as Summarized;
use observer_proto::v1::{
    Event, Filter, Gap, GapReason, GetStatusRequest, NodeStatus, Recorder, RecorderState, Resume, Status,
    WatchEventsRequest, WatchSummariesRequest,
};
use observer_tests::daemon::DaemonBuilder;
use observer_tests::losses::is_own;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, NetnsPair, Watch, eventually, workload};
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

/// The numbers of some events.
fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

async fn recorder(daemon: &Daemon) -> Result<(Recorder, Status)> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    let status = client.get_status(GetStatusRequest::default()).await?.into_inner().status;
    let status = status.context("no status")?;
    Ok((status.recorder.clone().context("no recorder")?, status))
}

/// Waits until it records, or does not any more.
async fn wait_state(daemon: &Daemon, state: RecorderState) -> Result<Recorder> {
    eventually(PATIENCE, "the recorder's state", || async {
        let (recorder, _) = recorder(daemon).await?;
        Ok(if recorder.state() == state { Ok(recorder) } else { Err(format!("{recorder:?}")) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_lacks_a_second_at_most_and_says_so() -> Result<()> {
    const KILLS: u16 = 6;
    let (pair, folder) = (NetnsPair::new()?, tempfile::tempdir()?);
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

/// Starts the daemon with a disk of its own that has so much room, mounted so.
fn on_disk(folder: &TempDir, options: &str) -> DaemonBuilder {
    let script =
        format!("mount -t tmpfs -o {options} tmpfs {} && exec \"$0\" \"$@\"", folder.path().display());
    Daemon::bare().through(["unshare", "--mount", "sh", "-c", &script]).args([
        "--record-dir",
        &folder.path().to_string_lossy(),
        "--record-bytes",
        "64MiB",
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_pauses_recording_and_nothing_else() -> Result<()> {
    let (pair, folder) = (NetnsPair::new()?, tempfile::tempdir()?);
    let daemon = on_disk(&folder, "size=16m").start().await?;
    wait_state(&daemon, RecorderState::Recording).await?;
    let before = live(&daemon, &pair, 7371).await?;
    let written = recorder(&daemon).await?.0.commits;
    eventually(PATIENCE, "it to be written", || async {
        let commits = recorder(&daemon).await?.0.commits;
        Ok(if commits > written { Ok(()) } else { Err(commits) })
    })
    .await?;
    // As the daemon sees it.
    let filler = PathBuf::from(format!("/proc/{}/root{}/filler", daemon.pid(), folder.path().display()));
    let filled = std::fs::write(&filler, vec![7; 16 << 20]);
    ensure!(filled.is_err(), "there was room for 16 MiB");
    let missed = live(&daemon, &pair, 7372).await?;
    let paused = wait_state(&daemon, RecorderState::Paused).await?;
    ensure!(paused.reason.contains("the disk is full"), "{paused:?}");
    let (_, status) = recorder(&daemon).await?;
    let capability = status.capabilities.iter().find(|one| one.name == "flight_recorder");
    ensure!(capability.is_some_and(|one| !one.available && one.reason == paused.reason), "{capability:?}");
    ensure!(daemon.stderr().contains("recording is paused: the disk is full"), "{}", daemon.stderr());
    // Clients get all as ever, also what is recorded.
    let more = live(&daemon, &pair, 7373).await?;
    let came = read(&daemon, all(ports(&[7371, 7372, 7373]))).await?;
    let told: Vec<Event> = events(&came).into_iter().map(|(_, event)| event).collect();
    ensure!(told == [before.clone(), missed.clone(), more.clone()].concat(), "{} events", told.len());

    std::fs::remove_file(&filler)?;
    let recorder_ = wait_state(&daemon, RecorderState::Recording).await?;
    ensure!(recorder_.missed_events > 0 && recorder_.errors > 0, "{recorder_:?}");
    let after = live(&daemon, &pair, 7374).await?;
    let came = read(&daemon, all(ports(&[7371, 7374]))).await?;
    let told: Vec<Event> = events(&came).into_iter().map(|(_, event)| event).collect();
    ensure!(told == [before, after].concat(), "{} events", told.len());
    let gaps = gaps(&came);
    let paused = gaps.iter().find(|gap| gap.reason() == GapReason::Paused).context("no gap")?;
    ensure!(paused.count == Some(recorder_.missed_events), "{paused:?} {recorder_:?}");
    ensure!(paused.message.contains("the disk is full"), "{paused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_cannot_be_written_and_files_of_others_are_left_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = on_disk(&folder, "ro").start().await?;
    let paused = wait_state(&daemon, RecorderState::Paused).await?;
    ensure!(paused.reason.contains("Read-only file system"), "{paused:?}");
    drop(daemon);

    // Somebody else's file, and one of a newer version.
    let newer = [&b"observer record\n"[..], &[9, 0, 0, 0], &[0; 9_000]].concat();
    for (bytes, words) in [(b"a poem".to_vec(), "no recording"), (newer, "newer version")] {
        let records = folder.path().join("records");
        std::fs::create_dir_all(&records)?;
        std::fs::write(records.join("observer.redb"), &bytes)?;
        let daemon = recording(&folder).start().await?;
        let refused = wait_state(&daemon, RecorderState::Refused).await?;
        ensure!(refused.reason.contains(words), "{refused:?}");
        ensure!(std::fs::read(records.join("observer.redb"))? == bytes, "it was touched");
        ensure!(read(&daemon, all(ports(&[7381]))).await.is_ok(), "events are not told");
    }

    // One of an older version is moved aside.
    let older = [&b"observer record\n"[..], &[0, 0, 0, 0], &[0; 9_000]].concat();
    let records = folder.path().join("records");
    std::fs::write(records.join("observer.redb"), &older)?;
    let daemon = recording(&folder).start().await?;
    wait_state(&daemon, RecorderState::Recording).await?;
    ensure!(daemon.stderr().contains("older version"), "{}", daemon.stderr());
    let names: Vec<_> =
        std::fs::read_dir(&records)?.map(|one| one.map(|one| one.file_name())).collect::<Result<_, _>>()?;
    ensure!(names.iter().any(|name| name.to_string_lossy().starts_with("observer.redb.old-")), "{names:?}");

    // A second daemon on the same folder says so, and goes on without.
    let second = recording(&folder).start().await?;
    let paused = wait_state(&second, RecorderState::Paused).await?;
    ensure!(paused.reason.contains("another process records there"), "{paused:?}");
    let mode = std::fs::metadata(records.join("observer.redb"))?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
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
    let (mut opened, mut ends) = (0, 0);
    while let Some(message) = stream.message().await? {
        match message.payload {
            Some(Summarized::Summary(summary)) => {
                ensure!(summary.edge.is_some() && summary.diagnosis.is_some(), "{summary:?}");
                opened += summary.tcp.map_or(0, |tcp| tcp.opened);
            }
            Some(Summarized::WindowEnd(_)) => ends += 1,
            Some(Summarized::NodeStatus(_) | Summarized::Lost(_)) | None => {}
        }
    }
    // Each connection is opened on both sides.
    ensure!(first.len() as u64 == 4 * COUNT && opened == 2 * COUNT && ends > 0, "{opened} in {ends}");
    Ok(())
}
