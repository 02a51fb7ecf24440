//! Recording what happens, and reading it again: takes up what `cargo bench --bench recording` printed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::spread::Spread;

/// Where to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What `cargo bench --bench recording` printed, a line for each run
    #[arg(long, value_name = "FILE")]
    runs: PathBuf,
}

/// What one run found.
#[derive(Debug, Deserialize, Serialize)]
struct Run {
    /// Events that were recorded.
    events: u64,
    /// Processor time of recording one, all threads and the kernel's part included.
    cpu_ns_an_event: f64,
    /// The same of 20,000 a second.
    percent_of_a_core_at_20000_a_second: f64,
    /// Time that went by.
    elapsed_ns_an_event: f64,
    /// What an event takes before it is compressed.
    encoded_bytes_an_event: u64,
    /// What it takes on disk, with everything that is there beside it.
    disk_bytes_an_event: u64,
    /// Transactions, one a second.
    commits: u64,
    /// Events that were read again.
    replayed: u64,
    /// Of these, what the filter let pass.
    passed: u64,
    /// How long a million took.
    replay_s_a_million: f64,
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    percent_of_a_core_at_20000_a_second: Spread,
    replay_s_a_million: Spread,
    runs: Vec<Run>,
}

/// Takes up the figures.
pub(crate) fn run(args: &Args) -> Result<Report> {
    let text =
        fs::read_to_string(&args.runs).with_context(|| format!("cannot read {}", args.runs.display()))?;
    let runs: Vec<Run> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(!runs.is_empty(), "there is no run in {}", args.runs.display());
    let of = |figure: fn(&Run) -> f64, decimals| {
        Spread::of(&runs.iter().map(figure).collect::<Vec<_>>(), decimals)
    };
    let percent = of(|run| run.percent_of_a_core_at_20000_a_second, 2);
    let replay = of(|run| run.replay_s_a_million, 3);
    println!("recording 20,000 events a second   {} % of a processor", percent.median);
    println!("a million events through a filter  {} s", replay.median);
    Ok(Report {
        machine: Machine::this(),
        percent_of_a_core_at_20000_a_second: percent,
        replay_s_a_million: replay,
        runs,
    })
}
