//! With a ring made tiny, what was seen and what was reported lost are together what happened, exactly.
//!
//! The whole machine writes into the rings, other tests too. So a second daemon with room for everything is the
//! measure of all that happened; that it saw what the floods made, exactly, is shown by the workload's own figures.
//! Both are stopped by a signal during the flood, so that the one with tiny rings loses most of it.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it tells what it measured, and when")]

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::{Event, EventType, LossSource};
use observer_tests::daemon::DaemonBuilder;
use observer_tests::firings::Firings;
use observer_tests::wait::PATIENCE;
use observer_tests::watch::tcp;
use observer_tests::{Daemon, Lines, NetnsPair, Watch, eventually, workload};
use rustix::process::Signal;
use tokio::sync::Mutex;

/// One flood at a time.
static ALONE: Mutex<()> = Mutex::const_new(());
const TINY: &str = "4KiB";
const CONNECTIONS: usize = 2000;
const EXECS: usize = 500;
/// Floods, each of which adds up.
const ROUNDS: usize = 3;
const TCP: [EventType; 3] = [EventType::TcpConnect, EventType::TcpAccept, EventType::TcpClose];
const PROCESS: [EventType; 2] = [EventType::ProcessExec, EventType::ProcessExit];

/// A daemon and a stream for each type, so that what a stream itself loses is known to be of that type.
struct Observed {
    watches: Vec<(EventType, Watch)>,
    daemon: Daemon,
}

impl Observed {
    async fn start(builder: DaemonBuilder) -> Result<Self> {
        let daemon = builder.start().await?;
        let mut watches = Vec::new();
        for kind in TCP.into_iter().chain(PROCESS) {
            watches.push((kind, Watch::of(&daemon, kind).await?));
        }
        Ok(Self { watches, daemon })
    }

    async fn with_room() -> Result<Self> {
        Self::start(Daemon::bare().with_room()).await
    }

    fn of(&self, kind: EventType) -> Result<&Watch> {
        let found = self.watches.iter().find(|(of, _)| *of == kind);
        Ok(&found.context("no such stream")?.1)
    }

    fn lost(&self, kind: EventType) -> Result<u64> {
        let watch = self.of(kind)?;
        Ok(watch.lost_count(LossSource::Ring, kind.as_str_name())
            + watch.lost_count(LossSource::Subscriber, ""))
    }

    /// How many of one type happened in a span of time, and were seen.
    fn seen(&self, kind: EventType, span: (SystemTime, SystemTime)) -> Result<u64> {
        Ok(self.of(kind)?.count(|event| within(event, span)) as u64)
    }

    fn lost_in_all(&self) -> Result<Vec<u64>> {
        self.watches.iter().map(|(kind, _)| self.lost(*kind)).collect()
    }
}

fn within(event: &Event, (from, until): (SystemTime, SystemTime)) -> bool {
    let time = event.time.and_then(|time| SystemTime::try_from(time).ok());
    time.is_some_and(|time| from <= time && time < until)
}

/// A moment at which the tiny daemon has nothing to report: what is lost later is reported later.
async fn quiet(tiny: &Observed) -> Result<(SystemTime, Vec<u64>)> {
    eventually(PATIENCE, "a moment without losses", async || {
        let before = tiny.lost_in_all()?;
        tokio::time::sleep(Duration::from_millis(600)).await;
        let moment = SystemTime::now();
        tokio::time::sleep(Duration::from_millis(600)).await;
        let after = tiny.lost_in_all()?;
        Ok(if before == after { Ok((moment, after)) } else { Err((before, after)) })
    })
    .await
}

async fn serve(pair: &NetnsPair) -> Result<Lines> {
    let serve = workload::in_netns(&pair.left().netns, ["serve", "--port", "80"])?;
    serve.wait_for("listening", PATIENCE, |line| line["listening"] == 80).await?;
    Ok(serve)
}

fn flood(pair: &NetnsPair) -> Result<Lines> {
    let count = CONNECTIONS.to_string();
    let argv = ["connect", "--to", "127.0.0.1:80", "--count", &count, "--parallel", "2", "--summary"];
    workload::in_netns(&pair.left().netns, argv)
}

async fn check_flood(flood: Lines) -> Result<()> {
    let lines = flood.output().await?;
    let done = lines.iter().any(|line| line["connections"] == CONNECTIONS && line["errors"] == 0);
    ensure!(done, "{lines:?}");
    Ok(())
}

fn of_process(event: &Event, parent: u32) -> bool {
    event.process.as_ref().is_some_and(|process| process.parent_pid == parent)
}

/// The processes that a storm made: execs by it, and the exits of the same.
fn of_storm(observed: &Observed, storm: u32) -> Result<[usize; 2]> {
    let key = |event: &Event| {
        let process = event.process.as_ref()?;
        let start = process.start_time?;
        Some((process.pid, start.seconds, start.nanos))
    };
    let execs = observed.of(EventType::ProcessExec)?.events(|event| of_process(event, storm));
    let made: BTreeSet<_> = execs.iter().filter_map(key).collect();
    let exits =
        observed.of(EventType::ProcessExit)?.count(|event| key(event).is_some_and(|key| made.contains(&key)));
    ensure!(made.len() == execs.len(), "an exec was told twice");
    Ok([execs.len(), exits])
}

/// Runs floods: what was seen and lost by the tiny one is, type by type, what the one with room saw, and that is what
/// the flood made. The flood lets the one with room go on after it.
async fn adds_up(kinds: &[EventType], mut flood: impl AsyncFnMut(&Observed) -> Result<()>) -> Result<()> {
    let roomy = Observed::with_room().await?;
    let rings = ["--network-ring-bytes", TINY, "--process-ring-bytes", TINY];
    let tiny = Observed::start(Daemon::bare().args(rings)).await?;
    for round in 1..=ROUNDS {
        let (start, lost_before) = quiet(&tiny).await?;
        tiny.daemon.signal(Signal::STOP)?;
        roomy.daemon.signal(Signal::STOP)?;
        let flooded = flood(&roomy).await;
        tiny.daemon.signal(Signal::CONT)?;
        flooded?;
        for (index, (kind, _)) in
            tiny.watches.iter().enumerate().filter(|(_, (kind, _))| kinds.contains(kind))
        {
            eventually(PATIENCE, "the first losses to be reported", async || {
                let lost = tiny.lost(*kind)?;
                Ok(if lost > lost_before[index] { Ok(()) } else { Err(lost) })
            })
            .await?;
        }
        let (end, lost_after) = quiet(&tiny).await?;
        for (index, (kind, _)) in
            tiny.watches.iter().enumerate().filter(|(_, (kind, _))| kinds.contains(kind))
        {
            let (seen, made) = (tiny.seen(*kind, (start, end))?, roomy.seen(*kind, (start, end))?);
            let lost = lost_after[index] - lost_before[index];
            let account =
                format!("round {round}, {}: {seen} seen + {lost} lost, {made} made", kind.as_str_name());
            println!("{account}");
            ensure!(roomy.lost(*kind)? == 0, "the one with room lost some: {account}");
            ensure!(lost > 0, "this was no flood: {account}");
            ensure!(seen + lost == made, "{account}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_adds_up() -> Result<()> {
    let _alone = ALONE.lock().await;
    let pair = NetnsPair::new()?;
    let _serve = serve(&pair).await?;
    let netns = pair.left().netns.inode()?;
    let mut before = [0; TCP.len()];
    adds_up(&TCP, async |roomy| {
        let firings = Firings::start(&roomy.daemon)?;
        check_flood(flood(&pair)?).await?;
        let hidden = firings.unseen()? as usize;
        roomy.daemon.signal(Signal::CONT)?;
        let ours = |event: &Event| tcp(event).is_some_and(|tcp| u64::from(tcp.netns) == netns);
        for (kind, before) in TCP.into_iter().zip(&mut before) {
            let expected = if kind == EventType::TcpClose { 2 * CONNECTIONS } else { CONNECTIONS };
            roomy.of(kind)?.settle(ours).await?;
            let all = roomy.of(kind)?.count(ours);
            let seen = all - std::mem::replace(before, all);
            let account = format!("{}: {seen} seen, {expected} made", kind.as_str_name());
            // What the kernel hides from programs it hides from both daemons.
            ensure!(seen <= expected && seen + hidden >= expected, "{account}, {hidden} hidden");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_execs_adds_up() -> Result<()> {
    let _alone = ALONE.lock().await;
    adds_up(&PROCESS, async |roomy| {
        let storm = workload::on_host(["exec-storm", "--count", &EXECS.to_string()])?;
        let pid = storm.pid();
        storm.output().await?;
        roomy.daemon.signal(Signal::CONT)?;
        roomy.of(EventType::ProcessExit)?.settle(|event| of_process(event, pid)).await?;
        let told = of_storm(roomy, pid)?;
        ensure!(told == [EXECS; 2], "{told:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_loses_no_process() -> Result<()> {
    let _alone = ALONE.lock().await;
    let pair = NetnsPair::new()?;
    let _serve = serve(&pair).await?;
    let observed = Observed::start(Daemon::bare().args(["--network-ring-bytes", TINY])).await?;
    let flood = flood(&pair)?;
    let count = EXECS.to_string();
    let storm = workload::on_host(["exec-storm", "--count", &count])?;
    let pid = storm.pid();
    storm.output().await?;
    check_flood(flood).await?;
    eventually(PATIENCE, "the storm's execs and exits", async || {
        let told = of_storm(&observed, pid)?;
        Ok(if told == [EXECS; 2] { Ok(()) } else { Err(told) })
    })
    .await?;
    eventually(PATIENCE, "lost connections", async || {
        let lost = observed.lost(EventType::TcpConnect)?;
        Ok(if lost > 0 { Ok(()) } else { Err(lost) })
    })
    .await?;
    for kind in PROCESS {
        ensure!(observed.lost(kind)? == 0, "{} lost", kind.as_str_name());
    }
    println!("{} connects lost, no exec, no exit", observed.lost(EventType::TcpConnect)?);
    Ok(())
}
