//! Many live sockets: what a pass over them costs, what they take in memory, and that nothing of them is lost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::GetStatusRequest;
use observer_proto::v1::observer_client::ObserverClient;
use observer_tests::crowd::{established, listed};
use observer_tests::edges::EdgeSum;
use observer_tests::losses::own;
use observer_tests::{Crowd, Daemon, Edges, NetnsPair, Pod, Testbed, passes};
use serde::Serialize;

use crate::machine::Machine;
use crate::spread::mib;

/// Connections of one process: both ends are its own, and it may open 20,000 files on many machines.
const CROWD: u64 = 9000;
/// Connections opened in a second, by all.
const RATE: u64 = 5000;
const PODS: usize = 5;
/// Bytes sent on each connection, both ways.
const BYTES: u64 = 100;
/// Seconds in which the daemon has nothing to read but the machine's own sockets.
const IDLE_PASSES: usize = 5;
/// Listening ports, from this on.
const FIRST_PORT: u16 = 7200;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Live sockets; may be repeated
    #[arg(long, value_name = "N")]
    sockets: Vec<u64>,
    /// Passes over them
    #[arg(long, value_name = "N")]
    passes: Option<usize>,
    /// Containers that run beside them
    #[arg(long, value_name = "N")]
    containers: Option<usize>,
}

/// The same with nothing left open.
struct Extent {
    sockets: Vec<u64>,
    passes: usize,
    containers: usize,
}

impl Extent {
    fn of(args: &Args, quick: bool) -> Self {
        let (sockets, passes, containers) =
            if quick { (&[2000][..], 3, 5) } else { (&[20_000, 100_000][..], 30, 50) };
        Self {
            sockets: if args.sockets.is_empty() { sockets.to_vec() } else { args.sockets.clone() },
            passes: args.passes.unwrap_or(passes),
            containers: args.containers.unwrap_or(containers),
        }
    }
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    sockets: u64,
    containers: usize,
    passes: usize,
    /// Processor time of a second with a pass, less one of an idle daemon.
    pass_ms: Spread,
    /// Processor time of a second of an idle daemon whose summaries are followed.
    idle_ms: f64,
    resident_mib: f64,
    most_resident_mib: f64,
    idle_resident_mib: f64,
    lost: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    least: f64,
    p10: f64,
    median: f64,
    p90: f64,
    most: f64,
}

/// Measures one number of sockets after the other, each with a daemon of its own.
pub(crate) async fn run(args: &Args, quick: bool) -> Result<Report> {
    let machine = Machine::this();
    let extent = Extent::of(args, quick);
    let testbed = Testbed::shared().await?;
    let pods = containers(testbed, extent.containers).await?;
    let mut rows = Vec::new();
    println!("sockets  pass: median (least to most) ms  idle ms  resident MiB (most, idle)  lost");
    for &sockets in &extent.sockets {
        let row = measure(testbed, sockets, &extent).await.with_context(|| format!("{sockets} sockets"))?;
        let Row {
            sockets, pass_ms, idle_ms, resident_mib, most_resident_mib, idle_resident_mib, lost, ..
        } = &row;
        let Spread { least, median, most, .. } = pass_ms;
        println!(
            "{sockets:>7}  {median:>12.1} ({least:.1} to {most:.1})  {idle_ms:>15.1}  \
             {resident_mib:>12.1} ({most_resident_mib:.1}, {idle_resident_mib:.1})  {lost:>10}"
        );
        rows.push(row);
    }
    for pod in pods {
        pod.remove().await?;
    }
    Ok(Report { machine, rows })
}

async fn containers(testbed: &Testbed, count: usize) -> Result<Vec<Pod>> {
    let mut pods = Vec::new();
    for _ in 0..PODS.min(count) {
        pods.push(testbed.pod("bench", "pod").run().await?);
    }
    for number in 0..count {
        let name = format!("c{number}");
        pods[number % PODS].container(&name, ["workload", "pause"]).start().await?;
    }
    Ok(pods)
}

async fn measure(testbed: &Testbed, sockets: u64, extent: &Extent) -> Result<Row> {
    let pair = NetnsPair::new()?;
    let netns = &pair.left().netns;
    let daemon = Daemon::on(testbed).args(["--log", "warn"]).start().await?;
    let edges = Edges::start(&daemon).await?;
    let idle = passes::median(&passes::measure(&daemon, &edges, IDLE_PASSES).await?);
    let (idle_resident, _) = daemon.memory()?;

    let connections = sockets / 2;
    let count = connections.div_ceil(CROWD);
    let mut crowds = Vec::new();
    for (port, number) in (FIRST_PORT..).zip(0..count) {
        let own = connections * (number + 1) / count - connections * number / count;
        crowds.push(Crowd::start(netns, port, own, RATE / count)?);
    }
    for crowd in &crowds {
        crowd.opened()?;
    }
    let mut sum = EdgeSum::default();
    for crowd in &crowds {
        sum = EdgeSum { opened: crowd.connections(), live: crowd.connections(), ..sum };
        edges.reach(crowd.port(), sum).await?;
    }
    let ports: Vec<u16> = crowds.iter().map(Crowd::port).collect();
    let (here, told) = (established(netns)?, listed(&daemon, &ports).await?);
    ensure!([here, told] == [2 * connections; 2], "ss counts {here}, listed are {told}");

    let used = passes::measure(&daemon, &edges, extent.passes).await?;
    let (resident, most) = daemon.memory()?;
    for crowd in &mut crowds {
        let opened = crowd.connections();
        let bytes = opened * BYTES;
        crowd.send(BYTES)?;
        sum = EdgeSum { opened, live: opened, closed: 0, sent_bytes: bytes, received_bytes: bytes };
        edges.reach(crowd.port(), sum).await?;
        crowd.close(opened)?;
        edges.reach(crowd.port(), EdgeSum { closed: opened, live: 0, ..sum }).await?;
    }
    let mut client = ObserverClient::new(daemon.channel().await?);
    let status = client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")?;
    ensure!(own(&status).is_empty(), "lost: {:?}", status.losses);
    Ok(Row {
        sockets: here,
        containers: extent.containers,
        passes: used.len(),
        pass_ms: spread(&used, idle),
        idle_ms: ms(idle),
        resident_mib: mib(resident),
        most_resident_mib: mib(most),
        idle_resident_mib: mib(idle_resident),
        lost: edges.lost_events(),
    })
}

fn spread(sorted: &[Duration], idle: Duration) -> Spread {
    let at = |part: usize| {
        let used = sorted.get((sorted.len().saturating_sub(1)) * part / 100).copied().unwrap_or_default();
        ms(used.saturating_sub(idle))
    };
    Spread { least: at(0), p10: at(10), median: at(50), p90: at(90), most: at(100) }
}

/// Milliseconds with one decimal.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
