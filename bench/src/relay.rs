//! A relay over simulated daemons: what each node and each event costs it, and what merging adds to an event's way.
//!
//! Relay, daemons and clients share the processors of this machine; what is measured is the relay's process alone.

mod follow;
pub(crate) mod nodes;
mod site;
mod steps;
mod summaries;
mod tally;
mod wave;

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use self::site::{Site, Started};
use self::steps::{Step, Timing};
use self::summaries::Windows;
use self::wave::{Stalled, Wave};
use crate::machine::Machine;
use crate::spread::{mib, round};

/// Rates at which the largest number of nodes is measured; the others at the second one.
const RATES: [u64; 3] = [1_000, 5_000, 10_000];
/// Each further one is so many hundredths of the one before, up to so many.
const STEP: u64 = 150;
const FURTHER: usize = 6;
/// The rate with several clients, and while nodes go and come.
const USUAL_RATE: u64 = 5_000;
/// Nodes that are followed beside the relay as well.
const DIRECT: usize = 20;
/// What merging may add at 99 % of the events.
const MOST_ADDED_MS: f64 = 1_000.0;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// So many nodes
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [100, 300, 1000])]
    nodes: Vec<usize>,
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    processors_for_all: usize,
    sizes: Vec<Size>,
    /// What each node more takes, from the fewest of these to the most: connected, and followed by one client.
    kib_a_further_node: Option<f64>,
    kib_a_further_node_followed: Option<f64>,
    three_clients: Option<Step>,
    summaries: Option<Windows>,
    stalled_client: Option<Stalled>,
    wave: Option<Wave>,
}

/// A relay over so many nodes.
#[derive(Debug, Serialize)]
struct Size {
    nodes: usize,
    connected_after_s: f64,
    /// The processor time of connecting to one: TLS on both sides, and the first answers.
    connect_cpu_ms_a_node: f64,
    resident_mib: f64,
    /// With one client that follows the events of all nodes.
    resident_mib_followed: f64,
    followed_after_s: f64,
    /// Of one processor, where nothing happens.
    idle_cpu_share_followed: f64,
    rates: Vec<Step>,
    resident_mib_at_the_most: f64,
}

impl Report {
    /// What must hold of every run: events that are told come within a second, where the relay keeps up.
    pub(crate) fn verdict(&self) -> Result<()> {
        for step in self.sizes.iter().flat_map(|size| &size.rates).filter(|step| step.kept_up) {
            ensure!(
                step.added_p99_ms < MOST_ADDED_MS,
                "merging adds {} ms at p99 with {} events a second",
                step.added_p99_ms,
                step.per_second
            );
        }
        Ok(())
    }
}

/// Measures all of it.
pub(crate) async fn run(args: &Args, quick: bool) -> Result<Report> {
    let machine = Machine::this();
    let timing = Timing::new(quick);
    let mut report = Report {
        machine,
        processors_for_all: std::thread::available_parallelism()?.get(),
        sizes: Vec::new(),
        kib_a_further_node: None,
        kib_a_further_node_followed: None,
        three_clients: None,
        summaries: None,
        stalled_client: None,
        wave: None,
    };
    let most = args.nodes.iter().copied().max().unwrap_or(0);
    for &nodes in &args.nodes {
        let (mut size, mut site) = size(nodes, timing).await?;
        let alone = site.follow().await?;
        let direct = site.follow_directly(DIRECT).await?;
        let clients = [alone];
        let rates = if nodes == most { RATES.to_vec() } else { vec![USUAL_RATE] };
        for rate in rates {
            size.rates.push(steps::step(&mut site, &clients, Some(&direct), rate, timing).await?);
        }
        if nodes == most {
            search(&mut size, &mut site, &clients, &direct, timing).await?;
            drop((clients, direct));
            let three = [site.follow().await?, site.follow().await?, site.follow().await?];
            report.three_clients = Some(steps::step(&mut site, &three, None, USUAL_RATE, timing).await?);
            drop(three);
            report.summaries = Some(summaries::measure(&site, timing).await?);
            report.stalled_client = Some(wave::stalled(&mut site, timing).await?);
            report.wave = Some(wave::wave(&mut site, USUAL_RATE, timing).await?);
        }
        size.resident_mib_at_the_most = mib(site.relay.memory()?.1);
        report.sizes.push(size);
    }
    report.kib_a_further_node = further(&report.sizes, |size| size.resident_mib);
    report.kib_a_further_node_followed = further(&report.sizes, |size| size.resident_mib_followed);
    Ok(report)
}

/// What each node more takes, where there are two sizes to compare.
fn further(sizes: &[Size], mib: fn(&Size) -> f64) -> Option<f64> {
    let (least, most) =
        (sizes.iter().min_by_key(|size| size.nodes)?, sizes.iter().max_by_key(|size| size.nodes)?);
    let nodes = most.nodes.checked_sub(least.nodes).filter(|nodes| *nodes > 0)?;
    Some(round((mib(most) - mib(least)) * 1024.0 / nodes as f64, 1))
}

/// A relay that comes up, and has nothing to do.
async fn size(nodes: usize, timing: Timing) -> Result<(Size, Site)> {
    let Started { site, connected_after, cpu } = Site::start(nodes).await?;
    tokio::time::sleep(timing.warm).await;
    let (resident, _) = site.relay.memory()?;
    let began = std::time::Instant::now();
    let client = site.follow().await?;
    let followed_after = began.elapsed();
    let idle_cpu_share_followed = idle(&site, timing).await?;
    let (followed, _) = site.relay.memory()?;
    drop(client);
    let size = Size {
        nodes,
        connected_after_s: round(connected_after.as_secs_f64(), 2),
        connect_cpu_ms_a_node: round(cpu.as_secs_f64() * 1e3 / nodes as f64, 2),
        resident_mib: mib(resident),
        resident_mib_followed: mib(followed),
        followed_after_s: round(followed_after.as_secs_f64(), 2),
        idle_cpu_share_followed,
        rates: Vec::new(),
        resident_mib_at_the_most: 0.0,
    };
    println!(
        "{nodes} nodes: connected after {} s ({} ms of a processor each), {} MiB, {} followed; idle {} of a processor",
        size.connected_after_s,
        size.connect_cpu_ms_a_node,
        size.resident_mib,
        size.resident_mib_followed,
        size.idle_cpu_share_followed
    );
    Ok((size, site))
}

/// The part of a processor that it takes where nothing happens.
async fn idle(site: &Site, timing: Timing) -> Result<f64> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = site.cpu()?;
    tokio::time::sleep(timing.idle).await;
    Ok(round(site.cpu_since(before)? / timing.idle.as_secs_f64(), 4))
}

/// Goes on until it cannot keep up.
async fn search(
    size: &mut Size,
    site: &mut Site,
    clients: &[follow::Follower],
    direct: &follow::Follower,
    timing: Timing,
) -> Result<()> {
    let mut rate = RATES.iter().copied().max().unwrap_or(USUAL_RATE);
    for _ in 0..FURTHER {
        if size.rates.last().is_some_and(|step| !step.kept_up) {
            break;
        }
        rate = rate * STEP / 100;
        size.rates.push(steps::step(site, clients, Some(direct), rate, timing).await?);
    }
    Ok(())
}
