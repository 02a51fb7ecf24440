//! Whom an incident is about: what others do to each other is not told.

use foldhash::{HashSet, HashSetExt as _};
use observer_proto::v1::{Incident, Tcp, Workload, WorkloadKind};

use super::names;
use crate::event;

/// The workloads of an incident.
#[derive(Debug)]
pub(super) struct About {
    keys: HashSet<String>,
    /// It is about the whole node.
    all: bool,
}

impl About {
    pub(super) fn of(incident: &Incident) -> Self {
        let mut keys = HashSet::new();
        let told =
            incident.workloads.iter().chain(incident.firings.iter().filter_map(|one| one.workload.as_ref()));
        // The machine is an end of many edges; only its own processes would be meant.
        let concerned = told.filter(|workload| workload.kind() != WorkloadKind::Host);
        keys.extend(concerned.map(names::key));
        Self { all: keys.is_empty(), keys }
    }

    /// It is one of them.
    pub(super) fn has(&self, workload: Option<&Workload>) -> bool {
        self.all || workload.is_some_and(|workload| self.keys.contains(&names::key(workload)))
    }

    /// One of the ends is one of them.
    pub(super) fn has_end(&self, owner: Option<&Workload>, tcp: &Tcp) -> bool {
        self.has(owner) || self.has(names::far(tcp))
    }

    /// The same of a workload that was not told.
    pub(super) fn has_domain(&self, workload: &event::Workload) -> bool {
        self.all || self.keys.contains(&domain_key(workload))
    }
}

/// As [`names::key`] has it.
fn domain_key(workload: &event::Workload) -> String {
    if !workload.pod_uid.is_empty() {
        return workload.pod_uid.clone();
    }
    if !workload.container_id.is_empty() {
        return workload.container_id.clone();
    }
    workload.name().to_owned()
}
