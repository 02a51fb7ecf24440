//! What a pass of the daemon over the live sockets costs, in processor time.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::daemon::Daemon;
use crate::edges::Edges;
use crate::wait::{PATIENCE, eventually};

/// After a window's end its summaries are still on their way to the client for a moment.
const AFTERWARDS: Duration = Duration::from_millis(200);

/// The processor time of all threads of a daemon, as exactly as the scheduler has it.
pub fn cpu(daemon: &Daemon) -> Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", daemon.pid())).context("the daemon is gone")? {
        // A thread may end meanwhile; those that work do not.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        sum += text.split_whitespace().next().and_then(|figure| figure.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

/// What the daemon used in each of so many seconds, sorted. While somebody follows summaries, it reads the sockets
/// once in each, just before a window ends.
pub async fn measure(daemon: &Daemon, edges: &Edges, count: usize) -> Result<Vec<Duration>> {
    let mut used = Vec::new();
    let (mut window, mut before) = at_window(daemon, edges).await?;
    while used.len() < count {
        let (next, now) = at_window(daemon, edges).await?;
        // Two may end at once where the machine is held up.
        if next == window + 1 {
            used.push(now.saturating_sub(before));
        }
        (window, before) = (next, now);
    }
    used.sort_unstable();
    Ok(used)
}

/// The value in the middle.
pub fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

async fn at_window(daemon: &Daemon, edges: &Edges) -> Result<(u64, Duration)> {
    let ended = edges.windows()?;
    let window = eventually(PATIENCE, "a window to end", async || {
        let windows = edges.windows()?;
        Ok(if windows > ended { Ok(windows) } else { Err(windows) })
    })
    .await?;
    tokio::time::sleep(AFTERWARDS).await;
    Ok((window, cpu(daemon)?))
}
