//! The project's own commands: what cargo cannot do.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its user")]

mod workspace;

mod command;
mod toolchain;

mod setup;

mod bench;
mod fuzz;
mod image;
mod kernels;
mod soak;

mod run;
mod signals;

mod checks;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sets the observer up, runs it, tests it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building the observer needs, and skip what is there
    ///
    /// Says what it installs and why. Where it may not install (neither root nor sudo without a password, or no
    /// apt), it prints the exact commands and ends with exit code 1.
    Setup {
        /// Install what the tests need as well: containerd, runc, tools that give the ground truth, a Python
        /// client, other kernels and a machine to boot them in
        #[arg(long)]
        tests: bool,
    },
    /// Set up, build in release, start the daemon and follow it in the terminal until Ctrl-C
    ///
    /// The daemon listens on a socket in a private folder of its own, so it never meets another daemon, and is
    /// stopped when the client ends. Without root, daemon and client are started through sudo.
    Run {
        /// More arguments for `observer daemon`, after `--`
        #[arg(last = true)]
        daemon: Vec<String>,
    },
    /// Set up and run every check: format, lints for host and BPF, tidy, unit and end-to-end tests
    ///
    /// Stops at the first step that fails, and names it. This is what CI runs.
    #[command(visible_alias = "ci")]
    Test {
        /// Run one step alone, with the steps that it cannot do without
        #[arg(long, value_name = "STEP")]
        only: Option<checks::Step>,
        /// Arguments for the end-to-end tests, after `--`: a name to filter by, --nocapture
        #[arg(last = true)]
        tests: Vec<String>,
    },
    /// Set up, build in release, and run the tests that boot other kernels in virtual machines
    ///
    /// Of Debian's kernels docs/kernels.md has a table of what the observer can do there, which this writes.
    Kernels {
        /// Only these: 6.1, 6.12, newest; SUITE:PACKAGE of Debian's; the path of a folder with vmlinuz and modules
        #[arg(value_name = "KERNEL", value_parser = kernels::choice)]
        choices: Vec<kernels::Choice>,
    },
    /// Set up, build in release, and measure what the observer costs; the results go to bench/results
    ///
    /// Takes 20 minutes, and means something only on a machine that does nothing else.
    Bench {
        /// Only these loads
        #[arg(value_name = "LOAD")]
        loads: Vec<bench::Load>,
        /// Measure for moments only, and keep the results in target/bench-quick
        #[arg(long)]
        quick: bool,
        /// Arguments for the load, after `--`: see `-- --help`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Set up, build in release, and load the observer for minutes: every total has to be right, and memory flat
    ///
    /// Real pods connect, execute, come and go. The result goes to bench/results/soak.json.
    Soak {
        /// How long
        #[arg(long, value_name = "N", default_value_t = 20.0)]
        minutes: f64,
        /// More arguments for the load, after `--`: see `-- --help`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Try changed inputs on requests, filters, files and configurations, guided by what each of them reaches
    ///
    /// The unit tests do that for a moment. What is found is kept in target/fuzz, for the next run; an input that fails, beside
    /// the seeds in observer/src/fuzz/corpus. See docs/fuzzing.md.
    Fuzz {
        /// How long each target is tried
        #[arg(long, value_name = "N", default_value_t = 60.0)]
        seconds: f64,
        /// Only these targets, such as `requests`
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
    },
    /// Write an image of the observer, in OCI's layout, of the release binary and the libraries that it needs
    ///
    /// It is the same, byte for byte, for the same binary and packages. SOURCE_DATE_EPOCH sets the time that all of it has.
    /// See docs/kubernetes.md.
    Image(image::Arguments),
    /// Check what compiler and clippy do not: the size of files, their first line, the order of the stages
    Tidy,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Setup { tests: false } => setup::run(setup::Scope::Build).map(|()| ExitCode::SUCCESS),
        Task::Setup { tests: true } => setup::run(setup::Scope::Tests).map(|()| ExitCode::SUCCESS),
        Task::Run { daemon } => run::run(&daemon),
        Task::Test { only, tests } => checks::run(only, &tests).map(|()| ExitCode::SUCCESS),
        Task::Kernels { choices } => kernels::run(&choices).map(|()| ExitCode::SUCCESS),
        Task::Bench { loads, quick, arguments } => {
            bench::run(&loads, quick, &arguments).map(|()| ExitCode::SUCCESS)
        }
        Task::Soak { minutes, arguments } => soak::run(minutes, &arguments).map(|()| ExitCode::SUCCESS),
        Task::Fuzz { seconds, targets } => fuzz::run(seconds, &targets).map(|()| ExitCode::SUCCESS),
        Task::Image(arguments) => image::run(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Tidy => tidy::run().map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
