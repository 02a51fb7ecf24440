//! What figures tell and events do not: what stood still, and what part of all segments was lost.

use std::collections::BTreeMap;

use foldhash::HashMap;
use observer_proto::v1::{TimelineKind, Workload};
use prost::Message as _;

use super::about::About;
use super::line::{Line, STUCK, count, time};
use super::order::Moments;
use crate::diagnose::Loss;
use crate::event::{Edge, EdgeSummary, WallTime, Window};
use crate::trigger::{FiredEdge, sides, whole};
use crate::units::{duration, plural};
use crate::wire;

/// What stands still for less is no stall: 2 s.
const STILL_NS: u64 = 2_000_000_000;
/// Edges that are followed.
const MOST_EDGES: usize = 1_024;

/// The figures of the incident's workloads.
#[derive(Debug, Default)]
pub(super) struct Windows {
    losses: HashMap<(String, String), Loss>,
    stalls: BTreeMap<(String, Still), Stall>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Still {
    Unaccepted(u16),
    Unread(u16),
}

#[derive(Debug)]
struct Stall {
    workload: Workload,
    /// Since when, by the wall clock.
    since: i64,
    longest_ns: u64,
    most: u64,
    from: String,
}

impl Windows {
    /// A window, and when it began.
    pub(super) fn add(&mut self, start: WallTime, window: &Window, about: &About) {
        let end = start.0 + window.length_ns;
        for (edge, summary) in &window.edges {
            let far = summary.answerer().workload.as_deref();
            let own = about.has_domain(&summary.workload);
            if !own && !far.is_some_and(|far| about.has_domain(far)) {
                continue;
            }
            self.loss_of(edge, summary);
            self.stall_of(edge, summary, end);
        }
    }

    /// What was lost of all that was sent on that edge, in both directions where both are known.
    pub(super) fn loss(&self, client: &str, server: &str) -> Option<&Loss> {
        self.losses.get(&(client.to_owned(), server.to_owned())).filter(|loss| loss.lost() > 0)
    }

    pub(super) fn lines(&self, moments: &Moments) -> Vec<Line> {
        let line = |((name, still), stall): (&(String, Still), &Stall)| {
            let (n, longest) = (stall.most, duration(stall.longest_ns));
            let text = match still {
                Still::Unaccepted(port) => format!(
                    "{name} stops accepting connections on :{port}: {} to it waited, the longest for {longest}",
                    plural(n, "connection")
                ),
                Still::Unread(port) => format!(
                    "{name} stops reading what {} sends (port {port}): nothing for {longest} on {}",
                    stall.from,
                    plural(n, "connection")
                ),
            };
            let figures = match still {
                Still::Unaccepted(_) => [count("unaccepted", n), time("accept_wait", stall.longest_ns)],
                Still::Unread(_) => [count("unread", n), time("unread_time", stall.longest_ns)],
            };
            let line = Line::new(moments.beside(stall.since), TimelineKind::Symptom, text);
            line.of(Some(&stall.workload)).with(figures).may_be(STUCK).weighs(n)
        };
        self.stalls.iter().map(line).collect()
    }

    fn loss_of(&mut self, edge: &Edge, summary: &EdgeSummary) {
        let loss = Loss::of(&summary.tcp);
        if loss.sent == 0 {
            return;
        }
        let [client, server] = sides(&summary.workload, &of(edge, summary));
        if self.losses.len() < MOST_EDGES || self.losses.contains_key(&(client.clone(), server.clone())) {
            self.losses.entry((client, server)).or_default().add(&loss);
        }
    }

    fn stall_of(&mut self, edge: &Edge, summary: &EdgeSummary, end: u64) {
        let tcp = &summary.tcp;
        let (waits, unread) = (tcp.longest.unaccepted_ns, tcp.longest.unread_ns);
        let (still, lasts_ns, most) = match (waits, unread) {
            (STILL_NS.., _) => (Still::Unaccepted(edge.port), waits, tcp.stalled.unaccepted),
            // What nobody has accepted nobody reads.
            (0, STILL_NS..) => (Still::Unread(edge.port), unread, tcp.stalled.unread),
            _ => return,
        };
        let since = i64::try_from(end.saturating_sub(lasts_ns)).unwrap_or(0);
        let key = (whole(&summary.workload), still);
        if self.stalls.len() >= MOST_EDGES && !self.stalls.contains_key(&key) {
            return;
        }
        let [client, _] = sides(&summary.workload, &of(edge, summary));
        let stall = self.stalls.entry(key).or_insert_with(|| Stall {
            workload: told(&summary.workload),
            since,
            longest_ns: 0,
            most: 0,
            from: client,
        });
        stall.since = stall.since.min(since);
        stall.longest_ns = stall.longest_ns.max(lasts_ns);
        stall.most = stall.most.max(u64::from(most).max(1));
    }
}

fn of(edge: &Edge, summary: &EdgeSummary) -> FiredEdge {
    FiredEdge { edge: edge.clone(), peer: summary.peer.clone(), backend: summary.backend.clone() }
}

/// The workload as it is told.
fn told(workload: &crate::event::Workload) -> Workload {
    let encoded = bytes::Bytes::from(wire::workload(workload));
    Workload::decode(encoded).unwrap_or_default()
}
