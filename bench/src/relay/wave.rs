//! Nodes that go and come back, and a client that does not read: what is lost is said, and nobody else is harmed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use observer_proto::v1::WatchEventsRequest;
use observer_proto::v1::observer_client::ObserverClient;
use serde::Serialize;

use super::site::Site;
use super::steps::{Timing, settle};
use super::summaries::seconds;
use super::tally::{Account, Latency};
use crate::spread::mib;

/// How long nodes are away.
const AWAY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_mins(1);
/// Events a second while a client does not read.
const STALLED_RATE: u64 = 10_000;

/// A tenth of the nodes at once.
#[derive(Debug, Serialize)]
pub(super) struct Wave {
    /// So many were cut off, and the daemons of so many others were killed and started anew.
    cut_off: usize,
    restarted: usize,
    away_s: f64,
    per_second: u64,
    /// After they were back, until the relay said that all nodes are connected, and until the client's stream said so.
    connected_after_s: f64,
    told_after_s: f64,
    /// Of all nodes.
    account: Account,
    /// Events of all nodes meanwhile: those of nodes that were away come late.
    latency: Latency,
}

/// Measures.
pub(super) async fn wave(site: &mut Site, rate: u64, timing: Timing) -> Result<Wave> {
    let client = site.follow().await?;
    let before = settle(site, &client).await?;
    site.rate(rate)?;
    tokio::time::sleep(timing.warm).await;
    let _warm = client.tally().latency();
    let (twentieth, tenth) = (site.count / 20, site.count / 10);
    site.away("cut", 0..twentieth, AWAY)?;
    site.away("restart", twentieth..tenth, AWAY)?;
    tokio::time::sleep(AWAY).await;
    let back = Instant::now();
    site.wait_connected().await?;
    let connected_after_s = seconds(back);
    client.wait_connected(site.count, PATIENCE).await?;
    let told_after_s = seconds(back);
    site.rate(0)?;
    let account = settle(site, &client).await?.since(before);
    let latency = client.tally().latency();
    let wave = Wave {
        cut_off: twentieth,
        restarted: tenth - twentieth,
        away_s: AWAY.as_secs_f64(),
        per_second: rate,
        connected_after_s,
        told_after_s,
        account,
        latency,
    };
    println!("{wave:?}");
    Ok(wave)
}

/// A client that opens a stream and reads nothing.
#[derive(Debug, Serialize)]
pub(super) struct Stalled {
    seconds: f64,
    per_second: u64,
    resident_mib_before: f64,
    resident_mib: f64,
    /// Another client meanwhile.
    other: Account,
    other_latency: Latency,
}

/// Measures.
pub(super) async fn stalled(site: &mut Site, timing: Timing) -> Result<Stalled> {
    let other = site.follow().await?;
    let (before, account) = (site.relay.memory()?.0, settle(site, &other).await?);
    let mut client = ObserverClient::new(site.relay.channel().await?);
    let request = WatchEventsRequest { follow: true, ..WatchEventsRequest::default() };
    let stream = client.watch_events(request).await?;
    site.rate(STALLED_RATE)?;
    let _warm = other.tally().latency();
    let began = Instant::now();
    tokio::time::sleep(timing.idle).await;
    let (latency, (resident, _)) = (other.tally().latency(), site.relay.memory()?);
    site.rate(0)?;
    let found = Stalled {
        seconds: seconds(began),
        per_second: STALLED_RATE,
        resident_mib_before: mib(before),
        resident_mib: mib(resident),
        other: settle(site, &other).await?.since(account),
        other_latency: latency,
    };
    drop(stream);
    println!("{found:?}");
    ensure!(found.other.received > 0, "a client that does not read stops another one");
    Ok(found)
}
