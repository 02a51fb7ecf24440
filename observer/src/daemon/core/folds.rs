//! What the probes only counted: taken from their maps into the figures, and told once a second.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;

use super::Core;
use crate::decode;
use crate::event::{BootTime, FoldNotice, Folded, Now, Workload, WorkloadId};
use crate::probe::Sum;

/// How often it is told, in nanoseconds.
const TOLD_EACH_NS: u64 = 1_000_000_000;

/// What is to be told, and what was in all.
#[derive(Default)]
pub(super) struct Folds {
    untold: HashMap<Option<WorkloadId>, Untold>,
    /// The untold ones happened after this.
    since: BootTime,
    /// By the records' kinds, since the daemon started.
    pub(super) totals: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
struct Untold {
    workload: Option<Arc<Workload>>,
    counts: BTreeMap<&'static str, u64>,
}

impl Core<'_> {
    /// Takes what was added up until the last call; at the daemon's end, all.
    pub(super) fn count_folds(&mut self, now: Now, is_end: bool) {
        let mut sums = Vec::new();
        let mut undecodable = 0;
        let take = |sum: Sum| {
            let decoded = match sum {
                Sum::Sockets(sum) => decode::sockets_sum(&sum.0, &sum.1),
                Sum::Count(key, count) => decode::count_sum(&key, count),
            };
            match decoded {
                Ok(sum) => sums.push(sum),
                Err(_) => undecodable += 1,
            }
        };
        let folds = &mut self.probes.folds;
        if let Err(error) = if is_end { folds.read_all(take) } else { folds.read(take) } {
            log::error!("{error}: what was added up is counted later");
        }
        self.undecodable += undecodable;
        for sum in sums {
            self.find_cgroup(sum.cgroup_id, now);
            let folded = self.attributor.folded(sum, now);
            self.aggregator.fold(&folded);
            self.note(folded);
        }
        self.deliver(now);
        if is_end || now.boot.since_ns(self.folds.since) >= TOLD_EACH_NS {
            self.tell_folds(now);
        }
    }

    fn note(&mut self, folded: Folded) {
        let Folded { workload, figures: _, counts } = folded;
        let untold = self.folds.untold.entry(workload.as_ref().map(|workload| workload.id)).or_default();
        untold.workload = workload;
        for (kind, count) in counts {
            *untold.counts.entry(kind).or_default() += count;
            *self.folds.totals.entry(kind).or_default() += count;
        }
    }

    fn tell_folds(&mut self, now: Now) {
        let since = std::mem::replace(&mut self.folds.since, now.boot);
        for (_, Untold { workload, counts }) in self.folds.untold.drain() {
            let counts = counts.into_iter().collect();
            let budget = self.config.event_budget;
            let notice = FoldNotice { workload, counts, budget, since, until: now.boot };
            Self::note_folded_for_sessions(&mut self.sessions, &notice);
            self.subscribers.publish_folded(&Arc::new(notice));
        }
    }
}
