//! `cargo xtask bench`: builds the observer and its loads, measures what it costs, and keeps the results in bench/results.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::command::{cargo, check};
use crate::setup::{self, Scope};
use crate::workspace;

/// What the observer has to bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// Connections that are opened, used and closed
    Connections,
    /// Requests on long connections
    Requests,
    /// As many bytes as go through a connection
    Bulk,
    /// Processes that are made and end
    Exec,
    /// 1, 10 and 100 clients, and as many events as reach them
    Subscribers,
    /// 20,000 and 100,000 live sockets, read once a second
    Sockets,
    /// Name servers' answers, and packets that are none, with names being read
    Names,
    /// Debugging sessions on a pod that rests, beside one that works
    Sessions,
    /// What happens being recorded, and read again
    Recording,
    /// Metrics of 10,000 pods that come and go, lines of JSON, endpoints that are dead
    Exporters,
    /// A relay over 100, 300 and 1,000 simulated daemons
    Relay,
    /// Nothing
    Idle,
    /// The stages' code alone, with criterion, and how often it asks for memory
    Code,
}

impl Load {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Measures those loads, or all, and makes the table and the picture of all results that there are then. What a quick
/// look finds is kept apart, since its figures mean little.
pub(crate) fn run(loads: &[Load], quick: bool, arguments: &[String]) -> Result<()> {
    setup::run(Scope::Tests)?;
    check(&mut cargo(&["build", "--locked", "--release", "--package", "observer"]))?;
    // In release, too: clients and loads share the processors with what they measure.
    check(cargo(&["build", "--locked", "--release"]).args([
        "--package",
        "observer-tests",
        "--package",
        "observer-bench",
    ]))?;
    let results = if quick {
        workspace::target_directory().join("bench-quick")
    } else {
        workspace::root().join("bench/results")
    };
    fs::create_dir_all(&results)?;
    let bench = |words: &[&str]| {
        let mut command = Command::new(workspace::target_directory().join("release/observer-bench"));
        command.env("OBSERVER_BIN", workspace::observer_binary());
        command.arg("--results").arg(&results).args(quick.then_some("--quick")).args(words);
        command
    };
    for load in if loads.is_empty() { Load::value_variants() } else { loads } {
        let mut command = bench(&[&load.name()]);
        if *load == Load::Recording {
            command.arg("--runs").arg(recording(quick)?);
        }
        if *load == Load::Exporters {
            command.arg("--runs").arg(exporters(quick)?);
        }
        if *load == Load::Code {
            let allocations = code(quick)?;
            let criterion = workspace::target_directory().join("criterion");
            command.arg("--criterion").arg(criterion).arg("--allocations").arg(allocations);
        }
        check(command.args(arguments)).context("nothing was measured")?;
    }
    let mut report = bench(&["report"]);
    if !quick {
        report.arg("--readme").arg(workspace::root().join("README.md"));
    }
    check(&mut report)
}

/// Records three times, a line for each; gives the file with the lines.
fn recording(quick: bool) -> Result<PathBuf> {
    let path = workspace::target_directory().join("recording.jsonl");
    let file = File::create(&path)?;
    for _ in 0..if quick { 1 } else { 3 } {
        let mut bench = cargo(&["bench", "--locked", "--package", "observer-bench", "--bench", "recording"]);
        check(bench.stdout(file.try_clone()?))?;
    }
    Ok(path)
}

/// Runs exporters, some minutes; gives the file with a line for each part of each turn.
fn exporters(quick: bool) -> Result<PathBuf> {
    let path = workspace::target_directory().join("exporters.jsonl");
    let mut bench = cargo(&["bench", "--locked", "--package", "observer-bench", "--bench", "exporters"]);
    bench.args(quick.then_some(["--", "--quick"]).into_iter().flatten());
    check(bench.stdout(File::create(&path)?))?;
    Ok(path)
}

/// Runs the code's own benchmarks; gives the file with the counts of allocations.
fn code(quick: bool) -> Result<PathBuf> {
    let bench = |name: &str| {
        let mut command = cargo(&["bench", "--locked", "--package", "observer-bench", "--bench"]);
        command.arg(name);
        command
    };
    let mut stages = bench("stages");
    if quick {
        stages.args(["--", "--warm-up-time", "0.2", "--measurement-time", "0.5", "--sample-size", "10"]);
    }
    check(&mut stages)?;
    let file = workspace::target_directory().join("allocations.json");
    check(bench("allocations").stdout(File::create(&file)?))?;
    Ok(file)
}
