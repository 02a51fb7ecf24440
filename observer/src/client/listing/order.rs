//! The order of workloads.

use std::cmp::Reverse;

use observer_proto::v1::WorkloadStatus;

use super::super::time::nanos;
use super::workloads::restarts;

/// What workloads are sorted by, from large to small but for the name; those that are equal by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WorkloadSort {
    /// Namespace, pod and container
    Name,
    /// Connections alive
    Live,
    /// Connections opened since the daemon started
    Opened,
    /// Programs executed since the daemon started
    Execs,
    /// Restarts of the container
    Restarts,
    /// The newest end first
    LastEnd,
    /// The newest first
    FirstSeen,
}

impl WorkloadSort {
    /// The fields without which they cannot be sorted.
    pub(crate) const fn needed(self) -> &'static [&'static str] {
        match self {
            Self::Name => &[],
            Self::Live => &["live_connections"],
            Self::Opened => &["connections_opened"],
            Self::Execs => &["execs"],
            Self::Restarts => &["restarts_seen", "workload.restart_count"],
            Self::LastEnd => &["last_end.time"],
            Self::FirstSeen => &["first_seen"],
        }
    }

    /// Sorts; the daemon gives them by their names.
    pub(crate) fn sort(self, workloads: &mut [WorkloadStatus]) {
        workloads.sort_by_key(|status| Reverse(self.weight(status)));
    }

    fn weight(self, status: &WorkloadStatus) -> Option<i128> {
        match self {
            Self::Name => None,
            Self::Live => Some(status.live_connections.into()),
            Self::Opened => Some(status.connections_opened.into()),
            Self::Execs => Some(status.execs.into()),
            Self::Restarts => restarts(status).map(i128::from),
            Self::LastEnd => status.last_end.as_ref()?.time.as_ref().map(nanos),
            Self::FirstSeen => status.first_seen.as_ref().map(nanos),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;
    use observer_proto::v1::{ContainerEnd, Workload};
    use prost_types::Timestamp;

    use super::super::super::Chosen;
    use super::super::super::look::Format;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanos: 0 }
    }

    fn sorted(by: WorkloadSort) -> String {
        let of = |name: &str, figures: [u32; 4], end: Option<i64>, first: i64| WorkloadStatus {
            workload: Some(Workload {
                name: name.to_owned(),
                restart_count: (figures[3] > 0).then_some(figures[3]),
                ..Workload::default()
            }),
            live_connections: figures[0].into(),
            connections_opened: figures[1].into(),
            execs: figures[2].into(),
            last_end: end.map(|end| ContainerEnd { time: Some(at(end)), ..ContainerEnd::default() }),
            first_seen: Some(at(first)),
            ..WorkloadStatus::default()
        };
        let mut all = [
            of("a", [1, 2, 3, 0], None, 1),
            of("b", [1, 3, 4, 2], Some(5), 3),
            of("c", [2, 1, 9, 1], Some(6), 2),
        ];
        by.sort(&mut all);
        all.iter().map(|one| one.workload.as_ref().unwrap().name.as_str()).collect()
    }

    #[test]
    fn what_is_largest_comes_first_and_equals_stay_by_name() {
        let orders = WorkloadSort::value_variants().iter().map(|by| sorted(*by));
        assert_eq!(orders.collect::<Vec<_>>(), ["abc", "cab", "bac", "cba", "bca", "cba", "bca"]);
    }

    #[test]
    fn what_is_needed_is_there() {
        for by in WorkloadSort::value_variants() {
            let needed: Vec<String> = by.needed().iter().map(|path| (*path).to_owned()).collect();
            assert!(Chosen::of(&needed, Format::Json, "WorkloadStatus", &[]).is_ok(), "{by:?}");
        }
    }
}
