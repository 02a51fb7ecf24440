//! `cargo xtask soak`: a load for minutes, at whose end all totals must be right and memory what it was.

use anyhow::Result;

use crate::command::{cargo, check};
use crate::setup::{self, Scope};
use crate::workspace;

/// Builds the observer and the load, and runs it; the result is kept in bench/results.
pub(crate) fn run(minutes: f64, arguments: &[String]) -> Result<()> {
    setup::run(Scope::Tests)?;
    check(&mut cargo(&["build", "--locked", "--release", "--package", "observer"]))?;
    check(&mut cargo(&["build", "--locked", "--package", "observer-tests", "--package", "observer-bench"]))?;
    let mut command = std::process::Command::new(workspace::target_directory().join("debug/observer-bench"));
    command.env("OBSERVER_BIN", workspace::observer_binary());
    command.arg("--results").arg(workspace::root().join("bench/results"));
    check(command.arg("soak").arg("--minutes").arg(minutes.to_string()).args(arguments))
}
