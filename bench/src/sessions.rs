//! Debugging sessions: what one on a pod that rests costs a pod that works, by rounds with and without it in turn.

use std::time::Duration;

use anyhow::{Context, Result};
use observer_proto::v1::DebugRequest;
use observer_tests::debugging::{attached, on_pod};
use observer_tests::steady::cgroup_of;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Debugging, Steady, Testbed, eventually};
use serde::Serialize;

use crate::machine::Machine;

/// The loads, each with what `workload steady` is told.
const LOADS: [(&str, &[&str]); 4] = [
    ("requests", &["requests", "--port", "7260"]),
    ("connections", &["connections", "--port", "7261"]),
    ("bulk", &["bulk", "--port", "7262"]),
    ("exec", &["exec"]),
];

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rounds, each without, with, and without again
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How long each part of a round takes
    #[arg(long, value_name = "MILLISECONDS")]
    milliseconds: Option<u64>,
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// The programs that a session attaches here.
    programs: Vec<String>,
    loads: Vec<Kept>,
}

/// What is left of a load's rate, of its rate without a session: the median, and the quarters of rounds below and above.
#[derive(Debug, Serialize)]
struct Kept {
    load: &'static str,
    /// How much it did a second without.
    rate: f64,
    /// With a session.
    with: [f64; 3],
    /// Without, of another time without: the noise.
    without: [f64; 3],
    /// The time that 99 % of the requests are below, with a session for each without.
    p99: [f64; 3],
}

/// Measures all of it.
pub(crate) async fn run(args: &Args, quick: bool) -> Result<Report> {
    let (rounds, length) = if quick { (2, 100) } else { (40, 300) };
    let rounds = args.rounds.unwrap_or(rounds);
    let length = Duration::from_millis(args.milliseconds.unwrap_or(length));
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).args(["--log", "warn"]).start().await?;
    let (rests, works) =
        (testbed.pod("bench", "rests").run().await?, testbed.pod("bench", "works").run().await?);
    rests.container("rest", ["sleep", "100000"]).start().await?;
    let inside = works.container("rest", ["sleep", "100000"]).start().await?;
    let cgroup = cgroup_of(&inside).await?;
    let before = attached(&daemon)?;
    let request = || DebugRequest {
        duration: Duration::from_mins(10).try_into().ok(),
        max_cpu_share: Some(1.0),
        ..on_pod(&rests)
    };
    let with = Debugging::open(&daemon, request()).await?;
    let programs: Vec<String> =
        attached(&daemon)?.into_iter().filter(|program| !before.contains(program)).collect();
    drop(with);
    println!("a session attaches {programs:?}");
    let mut loads = Vec::new();
    for (load, words) in LOADS {
        let words: Vec<&str> = words.iter().copied().chain(["--cpu", "1"]).collect();
        let mut steady = Steady::start(works.netns(), Some(&cgroup), words)?;
        let run = |steady: &mut Steady| -> Result<(f64, f64)> {
            steady.begin(length, None)?;
            let done = steady.done()?;
            Ok((done.count as f64 / done.elapsed.as_secs_f64(), done.p99_ns as f64))
        };
        run(&mut steady)?;
        let (mut rates, mut kept, mut noise, mut slower) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let first = run(&mut steady)?;
            let session = Debugging::open(&daemon, request()).await?;
            let with = run(&mut steady)?;
            drop(session);
            eventually(PATIENCE, "the deeper programs to be gone", async || {
                let now = attached(&daemon)?;
                Ok(if now == before { Ok(()) } else { Err(now) })
            })
            .await?;
            let last = run(&mut steady)?;
            let without = f64::midpoint(first.0, last.0);
            rates.push(without);
            kept.push(with.0 / without);
            noise.push(last.0 / first.0);
            slower.push(with.1 / f64::midpoint(first.1, last.1).max(1.0));
        }
        let [with, without, p99] = [kept, noise, slower].map(quarters);
        println!("{load}: kept {with:?}, noise {without:?}, p99 {p99:?}");
        let rate = quarters(rates).first().copied().context("no rounds")?;
        loads.push(Kept { load, rate, with, without, p99 });
    }
    rests.remove().await?;
    works.remove().await?;
    Ok(Report { machine: Machine::this(), programs, loads })
}

/// The median, and what a quarter of them is below and above, with three decimals.
fn quarters(mut all: Vec<f64>) -> [f64; 3] {
    all.sort_by(f64::total_cmp);
    let at = |part: usize| all.get(all.len() * part / 4).copied().unwrap_or_default();
    [2, 1, 3].map(|part| (at(part) * 1000.0).round() / 1000.0)
}
