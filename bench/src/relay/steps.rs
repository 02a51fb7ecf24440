//! Events at one rate: what they cost the relay, and how long they take through it and without it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::follow::Follower;
use super::site::Site;
use super::tally::{Account, Latency};
use crate::spread::{mib, round};

/// How long what is on its way may take after the last event.
const SETTLE: Duration = Duration::from_mins(1);
/// An event that takes longer than that through a relay was not kept up with.
const BEHIND_MS: f64 = 1_500.0;
/// This part of the events has to be made, and of these to be delivered, while it is measured.
const ENOUGH: f64 = 0.9;

/// How long each part takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) idle: Duration,
    pub(super) warm: Duration,
    pub(super) length: Duration,
}

impl Timing {
    /// As long as it takes, or for moments.
    pub(super) const fn new(quick: bool) -> Self {
        let (idle, warm, length) = if quick { (1_000, 500, 1_000) } else { (10_000, 1_000, 5_000) };
        Self {
            idle: Duration::from_millis(idle),
            warm: Duration::from_millis(warm),
            length: Duration::from_millis(length),
        }
    }
}

/// What came out at one rate.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    pub(super) clients: usize,
    /// What was asked for, and what the nodes made of it.
    pub(super) asked_per_second: u64,
    pub(super) per_second: u64,
    /// The relay's processor time, of one processor.
    cpu_share: f64,
    /// The same for a thousand events that reach a client.
    cpu_ms_for_1000_events: f64,
    /// From an event's time to a client's receipt.
    by_relay: Latency,
    directly: Option<Latency>,
    /// What the way through the relay adds, merging and all.
    added_p50_ms: f64,
    pub(super) added_p99_ms: f64,
    /// Of each client; what was sent is what it received and what it was told as lost, node by node.
    accounts: Vec<Account>,
    /// Nothing was lost, nothing came late, and no more was on its way in the end than in the beginning.
    pub(super) kept_up: bool,
    resident_mib: f64,
}

/// Measures.
pub(super) async fn step(
    site: &mut Site,
    clients: &[Follower],
    direct: Option<&Follower>,
    rate: u64,
    timing: Timing,
) -> Result<Step> {
    let mut before = Vec::new();
    for client in clients {
        before.push(settle(site, client).await?);
    }
    site.rate(rate)?;
    tokio::time::sleep(timing.warm).await;
    for client in clients.iter().chain(direct) {
        // What came until now is not measured.
        let _warm = client.tally().latency();
    }
    let (began, made, cpu) = (Instant::now(), site.made()?, site.cpu()?);
    tokio::time::sleep(timing.length).await;
    let (elapsed, made, cpu) = (began.elapsed().as_secs_f64(), site.made()? - made, site.cpu_since(cpu)?);
    let latencies: Vec<_> = clients.iter().map(|client| client.tally().latency()).collect();
    let by_relay =
        latencies.iter().copied().max_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms)).context("no client")?;
    let directly = direct.map(|direct| direct.tally().latency());
    let (resident, _) = site.relay.memory()?;
    site.rate(0)?;
    let mut accounts = Vec::new();
    for (client, before) in clients.iter().zip(before) {
        accounts.push(settle(site, client).await?.since(before));
    }
    if let Some(direct) = direct {
        settle(site, direct).await?;
    }
    let delivered: u64 = latencies.iter().map(|latency| latency.events).sum();
    let alone = directly.unwrap_or_default();
    let lost: u64 = accounts.iter().map(|account| account.told_as_lost).sum();
    let step = Step {
        clients: clients.len(),
        asked_per_second: rate,
        per_second: (made as f64 / elapsed) as u64,
        cpu_share: round(cpu / elapsed, 3),
        cpu_ms_for_1000_events: round(cpu * 1e6 / (delivered as f64).max(1.0), 2),
        by_relay,
        directly,
        added_p50_ms: round(by_relay.p50_ms - alone.p50_ms, 2),
        added_p99_ms: round(by_relay.p99_ms - alone.p99_ms, 2),
        accounts,
        kept_up: lost == 0
            && by_relay.p99_ms < BEHIND_MS
            && made as f64 / elapsed > ENOUGH * rate as f64
            && delivered as f64 > ENOUGH * (made * clients.len() as u64) as f64,
        resident_mib: mib(resident),
    };
    println!(
        "{} nodes, {} clients: {} events/s, {} of a processor, {} ms for 1,000; p50 {} p99 {} most {} ms, directly {} {} {}; {lost} lost, kept up: {}",
        site.count,
        step.clients,
        step.per_second,
        step.cpu_share,
        step.cpu_ms_for_1000_events,
        by_relay.p50_ms,
        by_relay.p99_ms,
        by_relay.most_ms,
        alone.p50_ms,
        alone.p99_ms,
        alone.most_ms,
        step.kept_up
    );
    Ok(step)
}

/// Waits until each event was told to that client, or told as lost.
pub(super) async fn settle(site: &mut Site, client: &Follower) -> Result<Account> {
    let began = Instant::now();
    loop {
        let sent = site.sent()?;
        let found = {
            let tally = client.tally();
            if let Some(why) = &tally.ended {
                bail!("a client's stream is over: {why}");
            }
            tally.account(&sent)
        };
        match found {
            Ok(account) => return Ok(account),
            Err(error) if began.elapsed() > SETTLE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
