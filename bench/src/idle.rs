//! A daemon on a machine that does nothing: how soon it watches, and what it is there for all the same.

use std::time::Duration;

use anyhow::{Context, Result};
use observer_proto::v1::GetStatusRequest;
use observer_proto::v1::observer_client::ObserverClient;
use observer_tests::Daemon;
use serde::Serialize;

use crate::contender::cpu;
use crate::machine::Machine;
use crate::spread::{Spread, mib, round};

/// How often and how long to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Starts
    #[arg(long, value_name = "N")]
    starts: Option<usize>,
    /// Seconds that the last one is left alone
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    starts: usize,
    /// From the start of the process until all probes were attached.
    attach_ms: Spread,
    seconds: u64,
    /// Of one processor, with nobody who follows.
    cpu_share: f64,
    resident_mib: f64,
    most_resident_mib: f64,
}

/// Measures.
pub(crate) async fn run(args: &Args, quick: bool) -> Result<Report> {
    let machine = Machine::this();
    let starts = args.starts.unwrap_or(if quick { 2 } else { 15 });
    let seconds = args.seconds.unwrap_or(if quick { 1 } else { 20 });
    let mut attach = Vec::new();
    let mut last = None;
    for _ in 0..starts.max(1) {
        drop(last.take());
        let daemon = Daemon::bare().args(["--cri-endpoint", "none", "--log", "warn"]).start().await?;
        let mut client = ObserverClient::new(daemon.channel().await?);
        let status =
            client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")?;
        attach.push(status.attach_duration_ns as f64 / 1e6);
        last = Some(daemon);
    }
    let daemon = last.context("no daemon")?;
    let before = cpu(daemon.pid())?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = cpu(daemon.pid())?.saturating_sub(before);
    let (resident, most) = daemon.memory()?;
    let report = Report {
        machine,
        starts: starts.max(1),
        attach_ms: Spread::of(&attach, 1),
        seconds,
        cpu_share: round(used.as_secs_f64() / seconds as f64, 4),
        resident_mib: mib(resident),
        most_resident_mib: mib(most),
    };
    println!(
        "idle: attached after {:.0} ms (at most {:.0}), {:.1} MiB, {:.2} % of a processor",
        report.attach_ms.median,
        report.attach_ms.most,
        report.resident_mib,
        report.cpu_share * 100.0
    );
    Ok(report)
}
