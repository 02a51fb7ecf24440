//! Summaries of all nodes: what a window of them costs the relay.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{WatchSummariesRequest, WindowEnd};
use serde::Serialize;

use super::nodes::unix_ns;
use super::site::Site;
use super::steps::Timing;
use crate::spread::{mib, round};

/// The length of the windows, and how many are measured.
const WINDOW: Duration = Duration::from_secs(5);
const WINDOWS: usize = 2;

/// What came out.
#[derive(Debug, Serialize)]
pub(super) struct Windows {
    window_s: f64,
    count: usize,
    /// In each.
    nodes: u32,
    summaries: u64,
    cpu_ms_a_window: f64,
    cpu_us_a_summary: f64,
    /// From the first node's end of a window until the client has all of it.
    all_after_ms: f64,
    resident_mib: f64,
}

/// Measures.
pub(super) async fn measure(site: &Site, timing: Timing) -> Result<Windows> {
    let mut client = ObserverClient::new(site.relay.channel().await?).max_decoding_message_size(64 << 20);
    let window = if timing.idle < WINDOW { Duration::from_secs(2) } else { WINDOW };
    let request = WatchSummariesRequest {
        follow: true,
        window: Some(window.try_into()?),
        ..WatchSummariesRequest::default()
    };
    let mut stream = client.watch_summaries(request).await?.into_inner();
    let mut next = async || -> Result<(u64, WindowEnd)> {
        let mut count = 0;
        loop {
            match stream.message().await?.context("the stream of summaries has ended")?.payload {
                Some(Payload::Summary(_)) => count += 1,
                Some(Payload::WindowEnd(end)) => return Ok((count, end)),
                _ => {}
            }
        }
    };
    // In the first one, nodes begin.
    next().await?;
    let (before, mut summaries, mut nodes, mut late) = (site.cpu()?, 0, u32::MAX, 0.0_f64);
    for _ in 0..WINDOWS {
        let (count, end) = next().await?;
        ensure!(count == end.summaries, "{count} of {} summaries came", end.summaries);
        let began =
            end.window_start.map_or(0, |time| time.seconds as u64 * 1_000_000_000 + time.nanos as u64);
        late = late.max(unix_ns().saturating_sub(began + end.window_ns) as f64 / 1e6);
        (summaries, nodes) = (summaries + count, nodes.min(end.nodes));
    }
    let cpu = site.cpu_since(before)?;
    let found = Windows {
        window_s: window.as_secs_f64(),
        count: WINDOWS,
        nodes,
        summaries: summaries / WINDOWS as u64,
        cpu_ms_a_window: round(cpu * 1e3 / WINDOWS as f64, 1),
        cpu_us_a_summary: round(cpu * 1e6 / (summaries as f64).max(1.0), 2),
        all_after_ms: round(late, 0),
        resident_mib: mib(site.relay.memory()?.0),
    };
    println!("{found:?}");
    ensure!(nodes as usize == site.count, "a window is of {nodes} of {} nodes", site.count);
    Ok(found)
}

/// Time that went by since, in seconds.
pub(super) fn seconds(since: Instant) -> f64 {
    round(since.elapsed().as_secs_f64(), 2)
}
