//! What a client was told: each node's events by their numbers, losses, and how long events took to come.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use observer_proto::v1::NodeState;
use prost_types::Timestamp;
use serde::Serialize;

use super::follow::Told;
use super::nodes::unix_ns;
use crate::spread::round;

/// How each run of a node's daemon began, and how many events it counted.
pub(super) type Sent = HashMap<String, Vec<(i64, i32, u64)>>;

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Tally {
    nodes: HashMap<String, Seen>,
    /// In microseconds, since they were taken last.
    latencies: Vec<u32>,
    /// Events that are older than one that was told before.
    late: u64,
    newest_ns: u64,
    /// What must not be.
    wrong: Vec<String>,
    pub(super) ended: Option<String>,
}

#[derive(Debug, Default)]
struct Seen {
    runs: Vec<Run>,
    connected: bool,
}

/// What was told of one run of a daemon.
#[derive(Debug, Default)]
struct Run {
    start: (i64, i32),
    /// Where it was begun with.
    after: u64,
    last: u64,
    events: u64,
    lost: u64,
}

/// How long events took from when they happened.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Latency {
    pub(super) events: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) most_ms: f64,
    /// Of all events those that are older than one that came before.
    out_of_order: f64,
}

/// All of it, compared with what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Account {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) told_as_lost: u64,
    /// Of daemons that were killed, what was on its way: a new start is told, and that what was before may be unseen.
    pub(super) unseen_at_restarts: u64,
}

impl Tally {
    /// Takes a message in.
    pub(super) fn take(&mut self, told: Told) {
        let Told { event, lost, status, node_name } = told;
        if let Some(event) = event {
            let now = unix_ns();
            let time = event.time.map_or(0, nanos);
            self.latencies.push((now.saturating_sub(time) / 1_000) as u32);
            self.late += u64::from(time < self.newest_ns);
            self.newest_ns = self.newest_ns.max(time);
            let run = self.nodes.get_mut(&node_name).and_then(|seen| seen.runs.last_mut());
            match run {
                Some(run) if event.sequence > run.last => {
                    run.events += 1;
                    run.last = event.sequence;
                }
                _ => self.wrong.push(format!("{node_name}: number {} came again", event.sequence)),
            }
        }
        if let Some(lost) = lost {
            match self.nodes.get_mut(&node_name).and_then(|seen| seen.runs.last_mut()) {
                Some(run) => run.lost += lost.count,
                None => self.wrong.push(format!("{node_name}: a loss came before its state")),
            }
        }
        if let Some(status) = status.filter(|_| !node_name.is_empty()) {
            let seen = self.nodes.entry(node_name).or_default();
            seen.connected = status.state == i32::from(NodeState::Connected);
            let start = status.start_time.map_or((0, 0), |time| (time.seconds, time.nanos));
            if seen.connected && seen.runs.last().is_none_or(|run| run.start != start) {
                let after = status.after_sequence;
                seen.runs.push(Run { start, after, last: after, ..Run::default() });
            }
        }
    }

    /// So many nodes are connected, as this stream says.
    pub(super) fn connected(&self) -> usize {
        self.nodes.values().filter(|seen| seen.connected).count()
    }

    /// How long events took, since this was asked last.
    pub(super) fn latency(&mut self) -> Latency {
        let mut all = std::mem::take(&mut self.latencies);
        all.sort_unstable();
        let at = |part: f64| {
            let place = ((all.len() as f64 * part) as usize).min(all.len().saturating_sub(1));
            round(f64::from(all.get(place).copied().unwrap_or(0)) / 1e3, 2)
        };
        let late = std::mem::take(&mut self.late);
        Latency {
            events: all.len() as u64,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            most_ms: at(1.0),
            out_of_order: round(late as f64 / (all.len() as f64).max(1.0), 6),
        }
    }

    /// Whether each event of each node was told, or told as lost: else which node lacks something.
    pub(super) fn account(&self, sent: &Sent) -> Result<Account> {
        ensure!(
            self.wrong.is_empty(),
            "{} things were wrong, such as {:?}",
            self.wrong.len(),
            self.wrong.first()
        );
        let mut account = Account::default();
        for (name, runs) in sent {
            let Some(seen) = self.nodes.get(name) else { continue };
            for (place, (seconds, nanos, count)) in runs.iter().enumerate() {
                let Some(run) = seen.runs.iter().find(|run| run.start == (*seconds, *nanos)) else {
                    // One that was over before it was seen.
                    ensure!(
                        place + 1 < runs.len() || seen.runs.is_empty(),
                        "{name}: its newest run was not told"
                    );
                    continue;
                };
                let told = run.events + run.lost;
                let expected = count.saturating_sub(run.after);
                let is_newest = place + 1 == runs.len();
                ensure!(
                    told == expected || (!is_newest && told < expected),
                    "{name}: {expected} happened, {} were told and {} told as lost",
                    run.events,
                    run.lost
                );
                account.sent += expected;
                account.received += run.events;
                account.told_as_lost += run.lost;
                account.unseen_at_restarts += expected - told;
            }
        }
        Ok(account)
    }
}

impl Account {
    /// What came to it since.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            received: self.received - before.received,
            told_as_lost: self.told_as_lost - before.told_as_lost,
            unseen_at_restarts: self.unseen_at_restarts - before.unseen_at_restarts,
        }
    }
}

fn nanos(time: Timestamp) -> u64 {
    time.seconds as u64 * 1_000_000_000 + time.nanos as u64
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::{Lost, NodeStatus};

    use super::super::follow::Happened;
    use super::*;

    fn told(node: &str) -> Told {
        Told { node_name: node.to_owned(), ..Told::default() }
    }

    fn connected(seconds: i64, after_sequence: u64) -> Told {
        let start_time = Some(Timestamp { seconds, nanos: 0 });
        let state = NodeState::Connected.into();
        Told {
            status: Some(NodeStatus { state, start_time, after_sequence, ..NodeStatus::default() }),
            ..told("a")
        }
    }

    fn event(sequence: u64, seconds: i64) -> Told {
        let time = Some(Timestamp { seconds, nanos: 0 });
        Told { event: Some(Happened { sequence, time }), ..told("a") }
    }

    fn sent(runs: &[(i64, u64)]) -> Sent {
        let runs = runs.iter().map(|(start, count)| (*start, 0, *count)).collect();
        HashMap::from([("a".to_owned(), runs)])
    }

    #[test]
    fn what_is_neither_told_nor_told_as_lost_is_found() {
        let mut tally = Tally::default();
        for told in [connected(1, 5), event(6, 1), event(8, 3)] {
            tally.take(told);
        }
        assert!(tally.account(&sent(&[(1, 8)])).unwrap_err().to_string().contains("3 happened, 2 were told"));
        tally.take(Told { lost: Some(Lost { count: 1, ..Lost::default() }), ..told("a") });
        let account = tally.account(&sent(&[(1, 8)])).unwrap();
        assert_eq!((account.sent, account.received, account.told_as_lost), (3, 2, 1));
        // Of a run that ended, what was on its way is gone; of the next one nothing may be.
        for told in [connected(2, 0), event(1, 2)] {
            tally.take(told);
        }
        assert_eq!(tally.account(&sent(&[(1, 10), (2, 1)])).unwrap().unseen_at_restarts, 2);
        assert!(tally.account(&sent(&[(1, 10), (2, 2)])).is_err());
        assert!((tally.latency().out_of_order - 1.0 / 3.0).abs() < 1e-5);
        tally.take(event(1, 3));
        assert!(tally.account(&sent(&[(2, 1)])).unwrap_err().to_string().contains("came again"));
    }
}
