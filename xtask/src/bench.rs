//! `cargo xtask bench`: builds the observer and its loads, measures what it costs, and keeps the results in bench/results.

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::command::{cargo, check};
use crate::setup::{self, Scope};
use crate::workspace;

/// What the observer has to bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// 20,000 and 100,000 live sockets, read once a second
    Sockets,
    /// Name servers' answers, and packets that are none, with names being read
    Names,
}

impl Load {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Measures those loads, or all.
pub(crate) fn run(loads: &[Load], arguments: &[String]) -> Result<()> {
    setup::run(Scope::Tests)?;
    check(&mut cargo(&["build", "--locked", "--release", "--package", "observer"]))?;
    // The loads are the tests' own programs, and the kernel does their work: they need no optimisation.
    check(&mut cargo(&["build", "--locked", "--package", "observer-tests", "--package", "observer-bench"]))?;
    let program = workspace::target_directory().join("debug/observer-bench");
    let results = workspace::root().join("bench/results");
    for load in if loads.is_empty() { Load::value_variants() } else { loads } {
        let mut command = std::process::Command::new(&program);
        command.env("OBSERVER_BIN", workspace::observer_binary()).arg("--results").arg(&results);
        check(command.arg(load.name()).args(arguments)).context("nothing was measured")?;
    }
    Ok(())
}
