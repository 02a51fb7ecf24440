//! What the observer costs under known loads: each load is a subcommand, prints a table and writes its results as JSON.
//!
//! `cargo xtask bench` builds all that it needs and runs it.
#![allow(clippy::print_stdout, reason = "its results are its output")]

mod machine;
mod names;
mod soak;
mod sockets;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Measures the observer.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder that the results are written to
    #[arg(long, value_name = "FOLDER")]
    results: PathBuf,
    #[command(subcommand)]
    load: Load,
}

#[derive(Debug, Subcommand)]
enum Load {
    /// Many live sockets, to be read once a second
    Sockets(sockets::Args),
    /// Name servers' answers, and packets that are none
    Names(names::Args),
    /// A load for minutes, at whose end all totals are right and memory is what it was
    Soak(soak::Args),
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { results, load } = Arguments::parse();
    let mut verdict = Ok(());
    let (name, report) = match load {
        Load::Sockets(args) => ("sockets", serde_json::to_string_pretty(&sockets::run(&args).await?)?),
        Load::Soak(args) => {
            let report = soak::run(&args).await?;
            verdict = report.verdict();
            ("soak", serde_json::to_string_pretty(&report)?)
        }
        Load::Names(args) => ("names", serde_json::to_string_pretty(&names::run(&args).await?)?),
    };
    let path = results.join(format!("{name}.json"));
    let text = report + "\n";
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written to {}", path.display());
    verdict
}
