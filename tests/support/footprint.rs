//! What a daemon has in the kernel: its programs, maps and links, by ids that the kernel never gives twice.

use std::fs;

use anyhow::{Result, ensure};

use crate::daemon::Daemon;
use crate::loaded::list;
use crate::wait::{PATIENCE, eventually};

/// All that a daemon has in the kernel, by its descriptors.
#[derive(Debug)]
pub struct Footprint(Vec<(&'static str, Vec<u64>)>);

impl Footprint {
    /// What it holds once it has started: the links that take older sockets over leave by themselves.
    pub async fn of(daemon: &Daemon) -> Result<Self> {
        eventually(PATIENCE, "all that the daemon holds to be in the kernel", async || {
            let mut found = vec![("prog", Vec::new()), ("map", Vec::new()), ("link", Vec::new())];
            for entry in fs::read_dir(format!("/proc/{}/fdinfo", daemon.pid()))? {
                let text = fs::read_to_string(entry?.path()).unwrap_or_default();
                for (kind, ids) in &mut found {
                    let field = format!("{kind}_id:");
                    ids.extend(
                        text.lines().filter_map(|line| line.strip_prefix(&field)?.trim().parse::<u64>().ok()),
                    );
                }
            }
            ensure!(found[0].1.len() >= 10 && found[1].1.len() >= 4, "little in the kernel: {found:?}");
            for (kind, ids) in &found {
                let present = in_kernel(kind)?;
                if !ids.iter().all(|id| present.contains(id)) {
                    return Ok(Err(format!("{kind} {ids:?} not among {present:?}")));
                }
            }
            Ok(Ok(Self(found)))
        })
        .await
    }

    /// Waits until none of it is there any more: the kernel frees them after a grace period.
    pub async fn gone(&self) -> Result<()> {
        eventually(PATIENCE, "all programs and maps to leave the kernel", async || {
            let mut left = Vec::new();
            for (kind, ids) in &self.0 {
                let present = in_kernel(kind)?;
                left.extend(ids.iter().filter(|id| present.contains(id)).map(|id| format!("{kind} {id}")));
            }
            Ok(if left.is_empty() { Ok(()) } else { Err(left) })
        })
        .await
    }
}

/// The ids of all that is in the kernel of a kind: `prog`, `map` or `link`.
fn in_kernel(kind: &str) -> Result<Vec<u64>> {
    Ok(list(kind)?.iter().filter_map(|item| item["id"].as_u64()).collect())
}
