//! What the probes watch for all sessions together.

use std::collections::BTreeMap;
use std::sync::Arc;

use observer_ebpf::debug::watch;

use crate::attribute::Attributor;
use crate::event::{Workload, WorkloadId};
use crate::inventory::cgroups::Cgroups;
use crate::inventory::processes;
use crate::probe::DeeperProbes;

/// What is in the probes' maps.
#[derive(Default)]
pub(super) struct Watching {
    cgroups: BTreeMap<u64, u32>,
    /// What lets them through to a closer look.
    bits: u64,
    /// Network namespaces, each with the cgroup that stands for it.
    netns: BTreeMap<u32, u64>,
    /// The network namespace of each workload's cgroup, once it is known.
    known: BTreeMap<u64, u32>,
    /// Counts what begins to be watched.
    since: u32,
    /// Something found no room.
    full: bool,
}

impl Watching {
    /// Something is watched.
    pub(super) fn is_any(&self) -> bool {
        !self.cgroups.is_empty()
    }

    /// Watches these, each with what of it, and nothing else; attaches what that needs. Returns what could not be
    /// attached, and why.
    pub(super) fn set(
        &mut self,
        wanted: &[(Arc<Workload>, u32)],
        (attributor, cgroups): (&Attributor, Option<&Cgroups>),
        probes: &mut DeeperProbes<'_>,
        (parts, costly_opens): (u32, bool),
    ) -> Vec<(&'static str, String)> {
        let (mut next, mut netns) = (BTreeMap::<u64, u32>::new(), BTreeMap::new());
        let mut known = BTreeMap::new();
        let mut parts_of: BTreeMap<WorkloadId, u32> = BTreeMap::new();
        for (workload, bits) in wanted {
            *parts_of.entry(workload.id).or_default() |= bits;
        }
        for (cgroup, owner) in attributor.cgroups_of(&parts_of.keys().copied().collect()) {
            next.insert(cgroup, parts_of.get(&owner).copied().unwrap_or_default());
        }
        for (workload, bits) in wanted {
            let own = workload.cgroup_id;
            let found = self.known.get(&own).copied().unwrap_or_else(|| {
                let path = attributor.path_of(workload.id);
                let pid =
                    cgroups.zip(path).and_then(|(cgroups, path)| cgroups.first_process(path).ok().flatten());
                pid.map_or(0, |pid| processes::namespaces(pid).net)
            });
            if found != 0 {
                known.insert(own, found);
            }
            if bits & watch::DROPS != 0 && found != 0 && found != attributor.host_netns() {
                netns.entry(found).or_insert(own);
            }
        }
        self.known = known;
        self.set_netns(netns, probes);
        self.set_cgroups(next, probes);
        // What is attached before it is known whom it is for would only cost.
        probes.set_parts(parts, costly_opens)
    }

    fn set_cgroups(&mut self, next: BTreeMap<u64, u32>, probes: &mut DeeperProbes<'_>) {
        let bits = next.keys().fold(0, |all, cgroup| all | watch::bit(*cgroup));
        if bits != self.bits {
            match probes.look_at(bits) {
                Ok(()) => self.bits = bits,
                Err(error) => log::warn!("what is watched does not change: {error}"),
            }
        }
        for cgroup in self.cgroups.keys().filter(|cgroup| !next.contains_key(cgroup)) {
            probes.unwatch(*cgroup);
        }
        let mut watched = BTreeMap::new();
        let mut full = false;
        for (cgroup, bits) in next {
            if self.cgroups.get(&cgroup) == Some(&bits) {
                watched.insert(cgroup, bits);
                continue;
            }
            self.since = self.since.wrapping_add(1);
            match probes.watch(cgroup, bits, self.since) {
                Ok(()) => drop(watched.insert(cgroup, bits)),
                Err(error) => {
                    full = true;
                    if !self.full {
                        log::warn!("cgroup {cgroup} is not watched: {error}");
                    }
                }
            }
        }
        (self.cgroups, self.full) = (watched, full);
    }

    fn set_netns(&mut self, next: BTreeMap<u32, u64>, probes: &mut DeeperProbes<'_>) {
        for netns in self.netns.keys().filter(|netns| !next.contains_key(netns)) {
            probes.unwatch_netns(*netns);
        }
        let mut watched = BTreeMap::new();
        for (netns, cgroup) in next {
            if self.netns.get(&netns) == Some(&cgroup) || probes.watch_netns(netns, cgroup).is_ok() {
                watched.insert(netns, cgroup);
            }
        }
        self.netns = watched;
    }

    /// What cannot be seen of some of these.
    pub(super) fn notes(&self, workloads: &[Arc<Workload>]) -> Vec<String> {
        let mut notes = Vec::new();
        for workload in workloads {
            let name = workload.name();
            match self.known.get(&workload.cgroup_id) {
                Some(netns) if self.netns.contains_key(netns) => {}
                Some(_) => notes.push(format!(
                    "{name} has no network namespace of its own: only dropped packets that have a socket are told"
                )),
                None => notes.push(format!(
                    "the network namespace of {name} is not known: only dropped packets that have a socket are told"
                )),
            }
        }
        if self.full {
            notes.push("there are too many cgroups: not all of them are watched".to_owned());
        }
        notes
    }
}
