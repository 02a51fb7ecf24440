//! The relay's own state.

use std::time::{Duration, SystemTime};

use observer_proto::v1;

use super::super::node::now;
use super::Service;

impl Service {
    /// What it knows of its nodes.
    pub(super) fn status(&self) -> v1::Status {
        let known = self.nodes.now();
        let source = |source: &crate::status::IdentitySource| v1::IdentitySource {
            name: source.name.to_string(),
            endpoint: source.endpoint.clone(),
            healthy: source.healthy,
            message: source.message.clone(),
        };
        let mut nodes: Vec<_> = known.nodes.iter().map(|node| node.told()).collect();
        nodes.sort_by(|a, b| (&a.name, &a.address).cmp(&(&b.name, &b.address)));
        let process = procfs::process::Process::myself().and_then(|own| own.stat()).ok();
        let ticks = procfs::ticks_per_second().max(1);
        v1::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: Some(self.started),
            uptime_ns: since(self.started).as_nanos() as u64,
            kernel_release: crate::inventory::host::kernel_release(),
            resident_bytes: process.as_ref().map_or(0, |stat| stat.rss * procfs::page_size()),
            cpu_time_ns: process.map_or(0, |stat| (stat.utime + stat.stime) * (1_000_000_000 / ticks)),
            relay: Some(v1::Relay {
                nodes,
                sources: known.sources.iter().map(source).collect(),
                merge_window_ns: self.settings.merge_window.as_nanos() as u64,
            }),
            ..v1::Status::default()
        }
    }
}

/// How long ago that was.
fn since(time: prost_types::Timestamp) -> Duration {
    let started = SystemTime::try_from(time).unwrap_or(SystemTime::UNIX_EPOCH);
    SystemTime::try_from(now()).ok().and_then(|now| now.duration_since(started).ok()).unwrap_or_default()
}
