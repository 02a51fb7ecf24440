//! Pods that come, do something for two seconds, and go: facts and records of them, and what attribution and aggregation make
//! of these.

use std::sync::Arc;

use super::raw::{Pair, Raw, process};
use super::{Attribution, Exporting, decode};
use crate::aggregate::{self, Aggregator};
use crate::event::{BootTime, Now, WallTime, Window, WorkloadEntry};
use crate::inventory::host;

const SECOND_NS: u64 = 1_000_000_000;
/// Connections that each pod asks for in each of its seconds; the first one stays until the pod goes.
const CONNECTIONS: u64 = 5;

/// A node on which pods come and go.
pub struct Pods {
    attribution: Attribution,
    aggregator: Aggregator,
    began: Now,
    seconds: u64,
    /// So many come in each second.
    each: u64,
    /// Connections that are open as a second ends.
    open: Vec<Pair>,
    cookies: u64,
}

/// What the daemon makes of a second.
#[derive(Debug)]
pub struct Second {
    pub(super) window: Arc<Window>,
    pub(super) workloads: Vec<WorkloadEntry>,
    pub(super) now: Now,
    /// How many events there were.
    pub events: usize,
}

impl Second {
    /// How many pods did something in it.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.window.workloads.values().filter(|of| !of.workload.pod.is_empty()).count()
    }
}

impl Pods {
    /// A node to which so many come each second from now on, whose tables share its memory with those exporters.
    #[must_use]
    pub fn new(each: u64, with: &Exporting) -> Self {
        let began = host::now();
        let mut attribution = Attribution::empty();
        attribution.stage.share(&with.room);
        let mut aggregator = Aggregator::new(aggregate::Settings::default(), began.boot);
        aggregator.share(&with.room);
        Self { attribution, aggregator, began, seconds: 0, each, open: Vec::new(), cookies: 1 }
    }

    /// How many have come so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.seconds * self.each
    }

    /// The next second, which ends so many seconds after the first one began; `None` where that made no window.
    pub fn second(&mut self) -> Option<Second> {
        let (start, now) = (self.after(self.seconds), self.after(self.seconds + 1));
        let first = self.count();
        for number in first..first + self.each {
            let name = format!("a-deployment-of-some-length-7d4b9c6f5-{number:05}");
            self.attribution.begin(number, name, start);
        }
        let raw = self.work(first.saturating_sub(self.each)..first + self.each, start.boot.0);
        let out = &mut self.attribution.out;
        for record in decode(&raw).0 {
            self.attribution.stage.record(record, now, out);
        }
        for number in first.saturating_sub(self.each)..first {
            self.attribution.end(number, now);
        }
        let Attribution { stage, out } = &mut self.attribution;
        stage.expire(now, out);
        let events = std::mem::take(&mut out.events);
        for event in &events {
            self.aggregator.record(event);
        }
        for forgotten in out.forgotten.drain(..) {
            self.aggregator.forget(forgotten);
        }
        *out = super::Output::default();
        self.seconds += 1;
        let window = self.aggregator.advance(now.boot).pop()?;
        Some(Second { window, workloads: self.workloads(now), now, events: events.len() })
    }

    /// The moment so many seconds after the beginning.
    fn after(&self, seconds: u64) -> Now {
        let Now { boot, wall } = self.began;
        let passed = seconds * SECOND_NS;
        Now { boot: BootTime(boot.0 + passed), wall: WallTime(wall.0 + passed) }
    }

    /// What the pods that are there do in a second.
    fn work(&mut self, there: std::ops::Range<u64>, start_ns: u64) -> Raw {
        let mut raw = Raw::default();
        for pair in self.open.drain(..) {
            pair.closed(SECOND_NS, &mut raw);
        }
        let newest = there.end - self.each;
        let count = there.end - there.start;
        for client in there.clone() {
            for n in 0..CONNECTIONS {
                // From some tens of microseconds to tens of milliseconds.
                let spread = client * 7 + n * 3;
                let pair = Pair {
                    time_ns: start_ns + 100_000_000 + n * 1_000_000 + client % 1_000,
                    cookie: self.cookies,
                    client,
                    server: there.start + (client - there.start + 1 + n * 37) % count,
                    port: 32_768 + (self.cookies / 2 % 28_000) as u16,
                    handshake_ns: 60_000 << (spread % 9),
                    srtt_us: (50 << (spread % 10)) + spread as u32 % 50,
                };
                self.cookies += 2;
                pair.opened(&mut raw);
                if n == 0 && client >= newest {
                    self.open.push(pair);
                } else {
                    pair.closed(1_000_000 << (spread % 9), &mut raw);
                }
            }
            let tgid = 1_000_000 + client as u32;
            process(start_ns + 200_000_000, client, tgid, (client % 3) as u8, &mut raw);
        }
        raw
    }

    fn workloads(&self, now: Now) -> Vec<WorkloadEntry> {
        let listed = self.attribution.stage.listed(now.boot);
        let entry = listed.map(|(known, standing)| WorkloadEntry {
            workload: Arc::clone(&known.workload),
            live_connections: 0,
            execs: 0,
            connections_opened: 0,
            cgroup_path: known.cgroup_path.clone(),
            first_seen: known.first_seen,
            restarts_seen: known.life.as_ref().map_or(0, |life| life.restarts_seen),
            has_ended: standing.ended.is_some(),
            crash_loop: standing.crash_loop,
            addresses: Vec::new(),
            last_end: None,
            ready_after_ns: None,
        });
        entry.collect()
    }
}
