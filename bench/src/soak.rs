//! The soak: a load for minutes, at whose end all totals are right and memory is what it was.

use anyhow::{Result, ensure};
use observer_tests::soak::{Outcome, Plan, run as soak};
use serde::Serialize;

use crate::machine::Machine;

/// How long and how much.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Minutes
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    minutes: f64,
    /// Connections a second
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    connections: u64,
    /// Execs a second
    #[arg(long, value_name = "N", default_value_t = 200)]
    execs: u64,
    /// A container comes and goes, so often
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1_000)]
    container_every_ms: u64,
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// What is not as it should be.
    faults: Vec<String>,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Report {
    /// An error where something is not as it should be.
    pub(crate) fn verdict(&self) -> Result<()> {
        ensure!(self.faults.is_empty(), "the soak shows faults: {:#?}", self.faults);
        Ok(())
    }
}

/// Runs it, and tells how it goes.
pub(crate) async fn run(args: &Args) -> Result<Report> {
    let machine = Machine::this();
    let &Args { minutes, connections, execs, container_every_ms } = args;
    let seconds = (minutes * 60.0).round().max(1.0) as u64;
    println!("{connections} connections and {execs} execs a second, for {seconds} s");
    let plan = Plan { seconds, connections, execs, container_every_ms };
    let outcome = soak(plan, |line| println!("{line}")).await?;
    println!("{:<40} {:>14} {:>14} {:>8}", "figure", "made", "told", "hidden");
    for figure in &outcome.figures {
        let mark = if figure.holds() { "" } else { "  WRONG" };
        println!("{:<40} {:>14} {:>14} {:>8}{mark}", figure.what, figure.made, figure.told, figure.hidden);
    }
    let memory = outcome.memory;
    println!(
        "lost {}; memory {:.1} MiB in the second quarter, {:.1} in the last, {:.1} at most; {:.1} % of a processor",
        outcome.lost, memory.second_quarter, memory.last_quarter, memory.most, outcome.cpu_percent
    );
    Ok(Report { machine, faults: outcome.faults(), outcome })
}
