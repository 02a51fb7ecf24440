//! The stages' code: what criterion measured of it, and how often it asks for memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::machine::Machine;
use crate::spread::round;

/// Where to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Criterion's folder
    #[arg(long, value_name = "FOLDER", default_value = "target/criterion")]
    criterion: PathBuf,
    /// What `cargo bench --bench allocations` printed
    #[arg(long, value_name = "FILE")]
    allocations: PathBuf,
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// By what is done: nanoseconds for each record or event.
    stages: BTreeMap<String, Estimate>,
    /// By stages: how often memory is asked for, for each event, when all tables are as full as they get.
    allocations_per_event: BTreeMap<String, f64>,
}

/// A median, and the interval that it lies in with 95 %.
#[derive(Debug, Serialize)]
struct Estimate {
    ns: f64,
    from: f64,
    to: f64,
}

/// Takes up the figures.
pub(crate) fn run(args: &Args) -> Result<Report> {
    let mut stages = BTreeMap::new();
    let folder = args.criterion.join("stages");
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("nothing in {}: cargo bench -p observer-bench", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Criterion's own summary of all of them is among them.
        let Ok(estimates) = fs::read_to_string(entry.path().join("new/estimates.json")) else { continue };
        let benchmark: Value =
            serde_json::from_str(&fs::read_to_string(entry.path().join("new/benchmark.json"))?)?;
        let estimates: Value = serde_json::from_str(&estimates)?;
        let elements = benchmark["throughput"]["Elements"].as_f64().context("no number of elements")?;
        let median = &estimates["median"];
        let figure = |value: &Value| {
            value.as_f64().map(|ns| round(ns / elements, 1)).context("criterion's estimate is no number")
        };
        let interval = &median["confidence_interval"];
        let estimate = Estimate {
            ns: figure(&median["point_estimate"])?,
            from: figure(&interval["lower_bound"])?,
            to: figure(&interval["upper_bound"])?,
        };
        println!("{name:<24} {:>8.1} ns ({:.1} to {:.1})", estimate.ns, estimate.from, estimate.to);
        stages.insert(name, estimate);
    }
    let counted = fs::read_to_string(&args.allocations)
        .with_context(|| format!("cannot read {}", args.allocations.display()))?;
    let allocations_per_event: BTreeMap<String, f64> = serde_json::from_str(counted.trim())?;
    for (name, count) in &allocations_per_event {
        println!("{name:<24} {count:>8.2} allocations an event");
    }
    Ok(Report { machine: Machine::this(), stages, allocations_per_event })
}
