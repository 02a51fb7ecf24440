//! A daemon with exporters: its configuration, how they stand, and lines that were written.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{Exporter, ExporterState, GetStatusRequest, Status};
use serde_json::Value;

use crate::Daemon;
use crate::daemon::DaemonBuilder;
use crate::guardian::Guardian;
use crate::wait::{PATIENCE, eventually};

/// A daemon with this configuration file.
pub fn configured(text: &str) -> Result<DaemonBuilder> {
    let path = scratch("settings")?.join("observer.toml");
    fs::write(&path, text)?;
    Ok(Daemon::bare().arg("--config").arg(path))
}

/// A folder that goes away with the test.
pub fn scratch(name: &str) -> Result<PathBuf> {
    Guardian::shared()?.scratch(name)
}

/// What the daemon says of itself.
pub async fn status(daemon: &Daemon) -> Result<Status> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    client.get_status(GetStatusRequest::default()).await?.into_inner().status.context("no status")
}

/// How an exporter stands.
pub async fn exporter(daemon: &Daemon, name: &str) -> Result<Exporter> {
    let all = status(daemon).await?.exporters;
    all.iter().find(|one| one.name == name).cloned().with_context(|| format!("no {name} in {all:?}"))
}

/// Waits until it stands so.
pub async fn wait_state(daemon: &Daemon, name: &str, state: ExporterState) -> Result<Exporter> {
    eventually(PATIENCE, "the exporter's state", || async {
        let exporter = exporter(daemon, name).await?;
        Ok(if exporter.state() == state { Ok(exporter) } else { Err(format!("{exporter:?}")) })
    })
    .await
}

/// All that it lost.
pub fn lost(exporter: &Exporter) -> u64 {
    exporter.lost.iter().map(|lost| lost.count).sum()
}

/// The lines of a file; each is to be one JSON object. Without what others than the exporter have lost, which any other test may
/// cause.
pub fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("no file {}", path.display()))?;
    let read = |line: &str| serde_json::from_str(line).with_context(|| format!("no JSON: {line}"));
    let mut lines = text.lines().map(read).collect::<Result<Vec<Value>>>()?;
    let is_own =
        |line: &Value| line.get("lost").is_none_or(|lost| lost["source"] == "LOSS_SOURCE_SUBSCRIBER");
    lines.retain(is_own);
    Ok(lines)
}

/// Of these, what they hold under that name.
pub fn each(lines: &[Value], name: &str) -> Vec<Value> {
    lines.iter().filter_map(|line| line.get(name).cloned()).collect()
}

/// Waits until a file has so many events at least, and gives its lines.
pub async fn wait_events(path: &Path, count: usize) -> Result<Vec<Value>> {
    eventually(PATIENCE, "events in the file", || async {
        let lines = lines(path).unwrap_or_default();
        let events = each(&lines, "event").len();
        Ok(if events >= count { Ok(lines) } else { Err(events) })
    })
    .await
}
