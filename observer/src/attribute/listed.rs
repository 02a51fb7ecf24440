//! The workloads that a list of them names.

use std::collections::HashSet;

use super::addresses::Owned;
use super::{Attributor, KnownWorkload, Standing};
use crate::event::BootTime;

impl Attributor {
    /// Where those of the list are reached.
    pub(crate) fn listed_addresses(&self, now: BootTime) -> Owned {
        self.addresses.owned(now)
    }

    /// The workloads that are there, and of a pod that goes on the containers that have ended and were not started
    /// again, or not yet: those in back-off are what a reader looks for.
    pub(crate) fn listed(&self, now: BootTime) -> impl Iterator<Item = (&KnownWorkload, Standing)> {
        let there = self.identities.workloads().filter(|known| known.removed.is_none());
        let pods: HashSet<&str> = there.map(|known| known.workload.pod_uid.as_str()).collect();
        self.identities.workloads().filter_map(move |known| {
            let workload = &known.workload;
            let is_container = !workload.container_id.is_empty();
            let standing =
                if is_container { self.restarts.standing(workload, now) } else { Standing::default() };
            let rests = standing.ended.is_some()
                && !workload.sandbox
                && !workload.pod_uid.is_empty()
                && pods.contains(workload.pod_uid.as_str());
            (known.removed.is_none() || rests).then_some((known, standing))
        })
    }
}
