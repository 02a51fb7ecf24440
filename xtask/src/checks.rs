//! `cargo xtask test`: every check as a named, timed step; the first that fails ends it.

mod ahead;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use self::ahead::Ahead;
use crate::command::{cargo, check};
use crate::setup::{self, Scope};
use crate::{tidy, toolchain, workspace};

/// One step, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Install what is missing
    Setup,
    /// Is all Rust code formatted?
    Format,
    /// The project's own rules, see `cargo xtask tidy`
    Tidy,
    /// Clippy over all code as the host compiles it, warnings denied
    Clippy,
    /// Clippy over the probes as the kernel's target compiles them, warnings denied
    ClippyBpf,
    /// Unit and contract tests
    Unit,
    /// The observer in release
    Build,
    /// Real kernel, real containers
    EndToEnd,
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The steps that this one cannot do without.
    fn needs(self) -> &'static [Self] {
        match self {
            Self::Setup | Self::Format | Self::Tidy => &[],
            Self::Clippy | Self::ClippyBpf | Self::Unit | Self::Build => &[Self::Setup],
            Self::EndToEnd => &[Self::Setup, Self::Build],
        }
    }

    fn run(self, end_to_end_arguments: &[String]) -> Result<()> {
        let everything = ["--locked", "--workspace"];
        match self {
            Self::Setup => setup::run(Scope::Tests),
            Self::Format => {
                check(&mut cargo(&["fmt", "--all", "--check"])).context("format it with `cargo fmt --all`")
            }
            Self::Tidy => tidy::run(),
            Self::Clippy => {
                check(cargo(&["clippy"]).args(everything).args(["--all-targets", "--", "-D", "warnings"]))
            }
            Self::ClippyBpf => check(&mut clippy_bpf()?),
            Self::Unit => check(cargo(&["test"]).args(everything).args([
                "--exclude",
                "observer-tests",
                "--exclude",
                "observer-bench",
            ])),
            Self::Build => check(&mut build()),
            Self::EndToEnd => check(&mut end_to_end(end_to_end_arguments)),
        }
    }
}

/// Runs them all, or one with what it needs.
#[expect(clippy::disallowed_methods, reason = "the user is told how long each step took")]
pub(crate) fn run(only: Option<Step>, end_to_end_arguments: &[String]) -> Result<()> {
    let steps = chosen(only);
    let mut done: Vec<(Step, Duration)> = Vec::new();
    let mut ahead = None;
    for (at, &step) in steps.iter().enumerate() {
        println!("\n=== {} ({} of {})", step.name(), at + 1, steps.len());
        let started = Instant::now();
        let result = match (step, ahead.take()) {
            (Step::Build, Some(building)) => Ahead::finish(building),
            (_, before) => {
                ahead = before;
                step.run(end_to_end_arguments)
            }
        };
        done.push((step, started.elapsed()));
        if let Err(error) = result {
            summarize(&done, false);
            let name = step.name();
            bail!("step `{name}` failed: {error:#}\nTo run it alone: cargo xtask test --only {name}");
        }
        // Its last minutes use one processor alone: they pass beside the steps that come before it.
        if step == Step::Setup && only.is_none() {
            ahead = Some(Ahead::start(build())?);
        }
    }
    summarize(&done, true);
    Ok(())
}

/// Builds what the end-to-end tests run.
fn build() -> Command {
    cargo(&["build", "--locked", "--release", "--package", "observer"])
}

fn chosen(only: Option<Step>) -> Vec<Step> {
    let wanted = |step: &Step| only.is_none_or(|only| *step == only || only.needs().contains(step));
    Step::value_variants().iter().copied().filter(wanted).collect()
}

fn summarize(done: &[(Step, Duration)], passed: bool) {
    println!("\n=== summary");
    for (at, (step, took)) in done.iter().enumerate() {
        let state = if passed || at + 1 < done.len() { "ok" } else { "FAILED" };
        println!("{:<12} {state:<6} {:>7.1} s", step.name(), took.as_secs_f32());
    }
}

/// The probes' own clippy, of the toolchain that builds them: the host's has no library source for that target, and
/// what it would see of the probes without the target is an empty `main`.
fn clippy_bpf() -> Result<Command> {
    let hint = "run `cargo xtask setup --tests`";
    let toolchain =
        toolchain::find_toolchain().with_context(|| format!("no toolchain for the probes; {hint}"))?;
    let linker = toolchain::find_bpf_linker().with_context(|| format!("no bpf-linker; {hint}"))?;
    let clippy = toolchain.clippy().with_context(|| format!("no clippy for the probes; {hint}"))?;
    let own_cargo = toolchain.cargo.clone();
    let driver = toolchain::Toolchain { cargo: clippy, ..toolchain };
    let mut command = toolchain::cargo_for_probes(&driver, &linker, &["clippy"]);
    command
        .current_dir(workspace::root())
        .env("CARGO", own_cargo)
        .arg("--target-dir")
        .arg(workspace::target_directory().join("probes"))
        .args(["--", "-D", "warnings"]);
    Ok(command)
}

fn end_to_end(arguments: &[String]) -> Command {
    let mut command =
        cargo(&["test", "--locked", "--package", "observer-tests", "--package", "observer-bench"]);
    command
        .env("OBSERVER_BIN", workspace::observer_binary())
        .env("OBSERVER_PYTHON", workspace::python_environment().join("bin/python"));
    if !arguments.is_empty() {
        command.arg("--").args(arguments);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_steps_run_unless_one_is_chosen() {
        assert_eq!(chosen(None), Step::value_variants());
        assert_eq!(chosen(Some(Step::Tidy)), [Step::Tidy]);
        assert_eq!(chosen(Some(Step::EndToEnd)), [Step::Setup, Step::Build, Step::EndToEnd]);
    }

    #[test]
    fn a_step_runs_after_all_that_it_needs() {
        for step in Step::value_variants() {
            assert!(step.needs().iter().all(|needed| (*needed as u8) < *step as u8), "{step:?}");
        }
    }
}
