//! The observer: one binary, the daemon and its client.

mod cli;
mod client;
mod config;
mod daemon;

mod event;
mod loss;
mod privileges;
mod room;
mod status;

mod probe;

mod decode;

mod inventory;

mod attribute;

mod aggregate;

mod diagnose;

mod serve;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse()).unwrap_or_else(|error| cli::report(&error))
}
