//! `cargo xtask fuzz`: the unit tests' fuzz targets for longer, with the compiler's counters of what each input reaches.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::command::{cargo, check};
use crate::setup::{self, Scope};
use crate::workspace;

/// Has LLVM count how often each edge of the code is taken, where `observer/src/fuzz/coverage.rs` finds it.
const COUNTED: [&str; 4] = [
    "-Copt-level=2",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
];

/// Builds the tests of the observer with counters, and runs the targets one after the other for so long each. What they find
/// is kept in the target folder, and the next run goes on with it.
pub(crate) fn run(seconds: f64, targets: &[String]) -> Result<()> {
    setup::run(Scope::Build)?;
    let folder = workspace::target_directory().join("fuzz");
    let mut tests = Command::new(built(&folder)?);
    // As with `cargo test`.
    tests.current_dir(workspace::root().join("observer"));
    tests.env("OBSERVER_FUZZ_SECONDS", seconds.to_string()).env("OBSERVER_FUZZ_FOUND", folder.join("found"));
    tests.args(["--nocapture", "--test-threads=1"]);
    if targets.is_empty() {
        tests.arg("fuzz_");
    }
    check(tests.args(targets.iter().map(|target| format!("fuzz_{target}"))))
}

/// Builds them, and gives the program's path.
fn built(folder: &std::path::Path) -> Result<String> {
    let mut build = cargo(&["rustc", "--locked", "--package", "observer", "--lib", "--profile", "test"]);
    build
        .arg("--target-dir")
        .arg(folder)
        .args(["--message-format", "json-render-diagnostics", "--"])
        .args(COUNTED);
    let output = build.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    anyhow::ensure!(output.status.success(), "the build failed");
    // Each line is an object, and one of them names the program.
    let text = String::from_utf8(output.stdout).context("cargo said what is no text")?;
    let path = text.split_once("\"executable\":\"").and_then(|(_, rest)| rest.split('"').next());
    Ok(path.context("cargo names no program")?.to_owned())
}
