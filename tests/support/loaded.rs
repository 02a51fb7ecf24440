//! What the kernel has loaded, as bpftool lists it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::daemon::Daemon;

/// So often bpftool is asked.
const TRIES: usize = 100;
/// Those of a daemon that ends go one after another.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// A daemon's programs: by the maps that they use, since a program stays attached when nobody holds it.
pub fn programs(daemon: &Daemon) -> Result<Vec<Value>> {
    let maps = maps(daemon.pid())?;
    ensure!(!maps.is_empty(), "no maps");
    let uses = |program: &Value| {
        let ids = program["map_ids"].as_array();
        ids.is_some_and(|ids| ids.iter().filter_map(Value::as_u64).any(|id| maps.contains(&id)))
    };
    Ok(list("prog")?.into_iter().filter(uses).collect())
}

/// The maps that a process holds, by the kernel's ids.
fn maps(pid: u32) -> Result<BTreeSet<u64>> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // One that was closed meanwhile is no map.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        if text.contains("map_type:") {
            let id = text.lines().find_map(|line| line.strip_prefix("map_id:")).context("no id")?;
            ids.insert(id.trim().parse()?);
        }
    }
    Ok(ids)
}

/// All that the kernel has of a kind: `prog`, `map` or `link`.
pub fn list(what: &str) -> Result<Vec<Value>> {
    let mut tries = 0;
    loop {
        let output =
            Command::new("bpftool").args(["-j", what, "list"]).output().context("cannot run bpftool")?;
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout)?);
        }
        // It gives up where one goes while it looks, as those of other tests may.
        tries += 1;
        ensure!(tries < TRIES, "bpftool: {}", String::from_utf8_lossy(&output.stdout));
        std::thread::sleep(BETWEEN_TRIES);
    }
}
