//! The observer: one binary, the daemon and its client. This library is all of it; the program calls its `main`, and
//! benchmarks its stages.

mod cli;
mod client;
mod config;
mod credentials;
mod daemon;

mod event;
mod loss;
mod privileges;
mod room;
mod session;
mod status;
mod units;

mod probe;

mod decode;

mod inventory;

mod attribute;

mod aggregate;

mod diagnose;

mod trigger;

mod filter;

mod wire;

mod compare;

mod story;

mod record;

mod serve;

mod export;

mod relay;
mod replay;

#[cfg(feature = "bench")]
pub mod bench;

#[cfg(test)]
mod fuzz;

use std::process::ExitCode;

use clap::Parser as _;

/// Does what the command line says.
pub fn main() -> ExitCode {
    cli::run(cli::Cli::parse()).unwrap_or_else(|error| cli::report(&error))
}
