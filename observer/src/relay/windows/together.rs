//! The windows of several nodes that are of the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use observer_proto::v1;
use observer_proto::v1::watch_summaries_response::Payload;
use tokio::sync::OwnedSemaphorePermit;

use super::super::merge::NodeNumber;

/// A window of one node, complete.
#[derive(Debug, Default)]
pub(in crate::relay) struct NodeWindow {
    pub(in crate::relay) name: Arc<str>,
    pub(in crate::relay) summaries: Vec<v1::Summary>,
    /// What was lost, and what the recording lacks.
    pub(in crate::relay) notes: Vec<Payload>,
    pub(in crate::relay) end: v1::WindowEnd,
    /// Its place among those that its node may tell ahead of the others.
    pub(in crate::relay) _place: Option<OwnedSemaphorePermit>,
}

/// What is to be told next.
#[derive(Debug)]
pub(in crate::relay) enum Next {
    /// What is told as one window.
    Together(Together),
    /// A window that came when its time was told already, where that is told but once.
    LeftOut(Box<NodeWindow>),
}

/// The windows of several nodes that are of the same time.
#[derive(Debug)]
pub(in crate::relay) struct Together {
    /// Node by node, each node's in the order in which they came.
    pub(in crate::relay) windows: Vec<NodeWindow>,
    /// The nodes that were waited for in vain.
    pub(in crate::relay) without: Vec<NodeNumber>,
    /// How many nodes' they are.
    nodes: usize,
    /// The longest time that those of a node are of.
    window_ns: u64,
}

impl Together {
    /// Those that have come, and who was waited for in vain.
    pub(super) fn of(windows: BTreeMap<NodeNumber, Vec<NodeWindow>>, without: Vec<NodeNumber>) -> Self {
        let length = |windows: &Vec<NodeWindow>| sum(windows.iter().map(|one| one.end.window_ns));
        Self {
            nodes: windows.len(),
            window_ns: windows.values().map(length).max().unwrap_or(0),
            windows: windows.into_values().flatten().collect(),
            without,
        }
    }

    /// The end of the window that they are together.
    pub(in crate::relay) fn end(&self) -> v1::WindowEnd {
        let ends = || self.windows.iter().map(|window| &window.end);
        let first = ends().filter_map(|end| end.window_start).min_by_key(|time| (time.seconds, time.nanos));
        v1::WindowEnd {
            window_start: first,
            window_ns: self.window_ns,
            lost_events: sum(ends().map(|end| end.lost_events)),
            folded_events: sum(ends().map(|end| end.folded_events)),
            nodes: u32::try_from(self.nodes).unwrap_or(u32::MAX),
            ..v1::WindowEnd::default()
        }
    }
}

/// Daemons may say anything: what is too much stays at the most.
fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_daemons_tell_is_added_up_as_far_as_it_can_be() {
        let window = |lost_events, window_ns| {
            let end = v1::WindowEnd { lost_events, window_ns, folded_events: 1, ..v1::WindowEnd::default() };
            NodeWindow { end, ..NodeWindow::default() }
        };
        let of_two = BTreeMap::from([(1, vec![window(u64::MAX, 3), window(2, 5)]), (2, vec![window(1, 7)])]);
        let end = Together::of(of_two, Vec::new()).end();
        assert_eq!((end.lost_events, end.folded_events, end.window_ns, end.nodes), (u64::MAX, 3, 8, 2));
    }
}
