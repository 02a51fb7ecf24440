//! What was shown of each node behind a relay, which numbers nothing itself.

use std::collections::HashMap;
use std::time::Duration;

use observer_proto::v1::{NodeState, NodeStatus};
use prost_types::Timestamp;
use tokio::time::Instant;

use super::super::time::{after, nanos};

/// Nodes are told of in order within so long a time; what comes later was behind.
const IN_ORDER: Duration = Duration::from_secs(15);

/// A run of a node's daemon: its numbers are its own.
type Run = (String, Option<(i64, i32)>);

/// What was shown of nodes.
#[derive(Debug, Default)]
pub(super) struct Relayed {
    /// Of each node the run that it tells of.
    runs: HashMap<String, Option<(i64, i32)>>,
    /// The number of the newest event of each run that was shown.
    shown: HashMap<Run, u64>,
    /// Events up to these numbers were shown on a stream that broke.
    before: HashMap<Run, u64>,
    /// Of each node the time of the newest event by its own clock, and when that came.
    newest: HashMap<String, (Timestamp, Instant)>,
}

impl Relayed {
    /// Takes in what a node says of itself.
    pub(super) fn greeted(&mut self, status: &NodeStatus) {
        if status.state() == NodeState::Connected {
            let start = status.start_time.map(|time| (time.seconds, time.nanos));
            self.runs.insert(status.node_name.clone(), start);
        }
    }

    /// The stream was opened again.
    pub(super) fn again(&mut self) {
        self.before.clone_from(&self.shown);
        self.runs.clear();
    }

    /// Whether an event of that number and time is still to be shown.
    pub(super) fn is_new(
        &mut self,
        node: &str,
        sequence: u64,
        time: Option<Timestamp>,
        now: Instant,
    ) -> bool {
        let run = (node.to_owned(), self.runs.get(node).copied().flatten());
        let is_new = self.before.get(&run).is_none_or(|before| sequence > *before);
        let shown = self.shown.entry(run).or_default();
        *shown = sequence.max(*shown);
        if let Some(time) = time {
            let newest = self.newest.entry(node.to_owned()).or_insert((time, now));
            if nanos(&time) >= nanos(&newest.0) {
                *newest = (time, now);
            }
        }
        is_new
    }

    /// From when on a stream that is opened again is to tell: then every node's clock was at what was shown last of it, or
    /// earlier. What comes twice by that is known by its number. `None` where nothing was shown.
    pub(super) fn since(&self) -> Option<Timestamp> {
        let last = self.newest.values().map(|(_, heard)| *heard).max()?;
        // Of one that was silent for long it is known that it had nothing to tell.
        let at = |(time, heard): &(Timestamp, Instant)| {
            let silent = last.saturating_duration_since(*heard).saturating_sub(IN_ORDER);
            after(time, u64::try_from(silent.as_nanos()).unwrap_or(u64::MAX))
        };
        let earliest = self.newest.values().map(at).min_by_key(nanos)?;
        Some(after(&earliest, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanos: 0 }
    }

    fn greeting(node: &str, seconds: i64) -> NodeStatus {
        NodeStatus {
            state: NodeState::Connected.into(),
            node_name: node.to_owned(),
            start_time: Some(at(seconds)),
            ..NodeStatus::default()
        }
    }

    #[test]
    fn nothing_of_any_node_is_shown_twice_or_left_out() {
        let (mut relayed, now) = (Relayed::default(), Instant::now());
        assert_eq!(relayed.since(), None);
        relayed.greeted(&greeting("a", 1));
        relayed.greeted(&greeting("b", 2));
        assert!(relayed.is_new("a", 7, Some(at(100)), now) && relayed.is_new("b", 900, Some(at(3_700)), now));
        // One clock is an hour ahead: both are asked for all since the earlier one's time.
        assert_eq!(relayed.since(), Some(Timestamp { seconds: 100, nanos: 1 }));
        relayed.again();
        relayed.greeted(&greeting("a", 1));
        // The other one's daemon was started anew.
        relayed.greeted(&greeting("b", 4_000));
        assert!(!relayed.is_new("a", 7, Some(at(100)), now) && relayed.is_new("a", 8, Some(at(101)), now));
        assert!(
            relayed.is_new("b", 1, Some(at(4_001)), now) && relayed.is_new("b", 900, Some(at(4_002)), now)
        );
    }

    #[test]
    fn a_node_that_is_silent_does_not_hold_the_others_back() {
        let (mut relayed, now) = (Relayed::default(), Instant::now());
        relayed.is_new("a", 7, Some(at(100)), now);
        relayed.is_new("b", 7, Some(at(1_100)), now + Duration::from_secs(1_000));
        assert_eq!(relayed.since(), Some(Timestamp { seconds: 100 + 985, nanos: 1 }));
        relayed.is_new("a", 6, Some(at(90)), now + Duration::from_secs(1_000));
        assert_eq!(
            relayed.since(),
            Some(Timestamp { seconds: 100 + 985, nanos: 1 }),
            "an earlier one is late"
        );
    }
}
