//! What the observer costs under known loads: each load is a subcommand, prints what it finds and writes it as JSON;
//! `report` makes a table and a picture of all that was written, with a verdict on each budget.
//!
//! `cargo xtask bench` builds all that it needs and runs it.
#![allow(clippy::print_stdout, reason = "its results are its output")]
#![allow(clippy::disallowed_methods, reason = "what it measures is time")]

mod machine;
mod spread;

mod contender;
mod listen;
mod programs;
mod setting;

mod calls;
mod rounds;

mod code;
mod exporters;
mod idle;
mod names;
mod recording;
mod relay;
mod sessions;
mod soak;
mod sockets;
mod subscribers;
mod throughput;

mod budgets;
mod picture;
mod report;
mod tables;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde::Serialize;

/// Measures the observer.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder that the results are written to
    #[arg(long, value_name = "FOLDER", global = true, default_value = "bench/results")]
    results: PathBuf,
    /// Measure for moments only: shows that it works, and roughly what comes out
    #[arg(long, global = true)]
    quick: bool,
    #[command(subcommand)]
    load: Load,
}

#[derive(Debug, Subcommand)]
enum Load {
    /// Connections that are opened, used and closed
    Connections(throughput::Args),
    /// Requests on long connections
    Requests(throughput::Args),
    /// As many bytes as go through a connection
    Bulk(throughput::Args),
    /// Processes that are made and end
    Exec(throughput::Args),
    /// Clients that follow all events, and as many events as reach them
    Subscribers(subscribers::Args),
    /// Many live sockets, to be read once a second
    Sockets(sockets::Args),
    /// Name servers' answers, and packets that are none
    Names(names::Args),
    /// Debugging sessions on a pod that rests, beside one that works
    Sessions(sessions::Args),
    /// A load for minutes, at whose end all totals are right and memory is what it was
    Soak(soak::Args),
    /// Nothing
    Idle(idle::Args),
    /// The stages' code: takes up what criterion and the count of allocations have written
    Code(code::Args),
    /// Recording and reading it again: takes up what `cargo bench --bench recording` printed
    Recording(recording::Args),
    /// Exporters: takes up what `cargo bench --bench exporters` printed
    Exporters(exporters::Args),
    /// A relay over 100, 300 and 1,000 simulated daemons
    Relay(relay::Args),
    /// Makes the table and the picture of the results that there are
    Report(report::Args),
    /// Clients that count what they get, for the other subcommands
    #[command(hide = true)]
    Listen(listen::Args),
    /// Simulated daemons, for the relay
    #[command(hide = true)]
    Nodes(relay::nodes::Args),
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { results, quick, load } = Arguments::parse();
    let mut verdict = Ok(());
    let (name, text) = match load {
        Load::Connections(args) => {
            ("connections", json(&throughput::run(throughput::CONNECTIONS, &args, quick).await?)?)
        }
        Load::Requests(args) => {
            ("requests", json(&throughput::run(throughput::REQUESTS, &args, quick).await?)?)
        }
        Load::Bulk(args) => ("bulk", json(&throughput::run(throughput::BULK, &args, quick).await?)?),
        Load::Exec(args) => ("exec", json(&throughput::run(throughput::EXEC, &args, quick).await?)?),
        Load::Subscribers(args) => ("subscribers", json(&subscribers::run(&args, quick).await?)?),
        Load::Sockets(args) => ("sockets", json(&sockets::run(&args, quick).await?)?),
        Load::Names(args) => ("names", json(&names::run(&args, quick).await?)?),
        Load::Sessions(args) => ("sessions", json(&Box::pin(sessions::run(&args, quick)).await?)?),
        Load::Idle(args) => ("idle", json(&idle::run(&args, quick).await?)?),
        Load::Code(args) => ("code", json(&code::run(&args)?)?),
        Load::Recording(args) => ("recording", json(&recording::run(&args)?)?),
        Load::Exporters(args) => ("exporters", json(&exporters::run(&args)?)?),
        Load::Relay(args) => {
            let report = Box::pin(relay::run(&args, quick)).await?;
            verdict = report.verdict();
            ("relay", json(&report)?)
        }
        Load::Report(args) => return report::run(&args, &results),
        Load::Listen(args) => return listen::run(&args).await,
        Load::Nodes(args) => return relay::nodes::run(&args).await,
        Load::Soak(args) => {
            let report = soak::run(&args).await?;
            verdict = report.verdict();
            ("soak", json(&report)?)
        }
    };
    std::fs::create_dir_all(&results).with_context(|| format!("cannot make {}", results.display()))?;
    let path = results.join(format!("{name}.json"));
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written to {}", path.display());
    verdict
}

fn json(report: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}
