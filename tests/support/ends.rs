//! Ends of containers, as the observer and the runtime tell them.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::container::Exit;
use crate::events::{detail, is_of};
use crate::lines::Lines;
use crate::pod::Pod;
use crate::wait::PATIENCE;

/// The one end of a container that was told.
pub async fn stopped(lines: &Lines, pod: &Pod, container: &str) -> Result<Value> {
    let is_it = |line: &Value| is_of(line, "container_stop", pod.name(), container);
    let line = lines.wait_for(&format!("the stop of {container}"), PATIENCE, is_it).await?;
    ensure!(lines.matching(is_it).len() == 1, "{:#?}", lines.matching(is_it));
    Ok(line)
}

/// What the event tells of the runtime's word is what the runtime says to others.
pub fn agrees(stop: &Value, exit: &Exit) -> Result<()> {
    let said = &detail(stop)["runtime"];
    ensure!(said["reason"] == exit.reason.as_str(), "{stop} {exit:?}");
    ensure!(said["exit_code"].as_i64().unwrap_or(0) == i64::from(exit.code), "{stop} {exit:?}");
    Ok(())
}
