//! What is remembered of each edge: the last half minute in steps of 5 s, and how slow it used to be.

use foldhash::HashMap;

use super::fired::{Fired, FiredEdge};
use super::latency::{Bounds, Latency};
use super::lives::Lives;
use super::rules::{self, Subject};
use super::tuning::{SECOND, Tuning};
use crate::diagnose::Loss;
use crate::event::{BootTime, Edge, EdgeSummary, PeerKind, TcpSummary, Window, Workload, WorkloadKind};

/// Edges that are watched at a time.
pub(super) const CAPACITY: usize = 8_192;
/// One step of the past.
const STEP_NS: u64 = 5 * SECOND;
/// So many are remembered: half a minute.
const STEPS: usize = 6;
/// An edge on which nothing happened for so long may be forgotten.
const IDLE_NS: u64 = 600 * SECOND;
/// How often edges are looked through for those.
const SWEEP_NS: u64 = 60 * SECOND;
/// A slice with fewer measurements says nothing about an edge's latency.
const LEAST_VALUES: u64 = 10;

/// What a process itself does to its attempts: nothing is wrong with the other side.
const OWN: [&str; 2] = ["cancelled", "not_sent"];

/// All edges that are watched.
#[derive(Debug, Default)]
pub(super) struct Edges {
    watched: HashMap<Edge, Watched>,
    swept: BootTime,
    /// Something stands still, and not yet for long enough.
    pub(super) looks_closer: bool,
}

/// One edge.
#[derive(Debug, Default)]
pub(super) struct Watched {
    seen: BootTime,
    steps: [Step; STEPS],
    /// When a connection was first established on it.
    worked: Option<BootTime>,
    /// What attempts failed with last.
    pub(super) error: Option<&'static str>,
    /// A reply was sent on it by the side that is asked.
    pub(super) served: bool,
    failing_since: Option<BootTime>,
    handshakes: Latency,
    round_trips: Latency,
}

/// What happened in one step.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    number: u64,
    sums: Sums,
}

/// What happened on an edge in some time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) attempts: u64,
    pub(super) failed: u64,
    pub(super) unanswered: u64,
    /// Seconds in which some of these were.
    pub(super) failing_seconds: u16,
    pub(super) closed: u64,
    /// Connections that the side that is asked reset.
    pub(super) resets: u64,
    /// Attempts that failed because nobody answered. Where some waited for an answer they are the same ones.
    given_up: u64,
    /// Seconds in which attempts did nothing but that.
    given_up_seconds: u16,
    /// Seconds in which there were some.
    pub(super) reset_seconds: u16,
    pub(super) loss: Loss,
}

impl Edges {
    /// A second has passed.
    pub(super) fn window(&mut self, window: &Window, tuning: &Tuning, lives: &Lives) -> Vec<Fired> {
        let now = window.end();
        let mut found = Vec::new();
        self.looks_closer = false;
        self.sweep(now);
        for (edge, summary) in window.edges.iter().filter(|(edge, summary)| is_watched(edge, summary)) {
            if self.watched.len() >= CAPACITY && !self.watched.contains_key(edge) {
                continue;
            }
            let watched = match self.watched.get_mut(edge) {
                Some(watched) => watched,
                None => self.watched.entry(edge.clone()).or_default(),
            };
            watched.add(edge, &summary.tcp, now);
            let stands = summary.tcp.longest;
            self.looks_closer |= (1..tuning.unaccepted_ns).contains(&stands.unaccepted_ns);
            judge(edge, summary, watched, (tuning, lives, now), &mut found);
        }
        found
    }

    pub(super) fn len(&self) -> usize {
        self.watched.len()
    }

    /// Forgets edges on which nothing happens any more; where there is no room, sooner.
    fn sweep(&mut self, now: BootTime) {
        if now.since_ns(self.swept) < SWEEP_NS {
            return;
        }
        self.swept = now;
        let idle_ns = if self.watched.len() * 4 > CAPACITY * 3 { SWEEP_NS } else { IDLE_NS };
        self.watched.retain(|_, watched| now.since_ns(watched.seen) < idle_ns);
    }
}

/// What an edge takes, its histograms aside.
#[cfg(test)]
pub(super) const fn bytes() -> usize {
    size_of::<Watched>() + size_of::<Edge>()
}

/// One of the sides is a container of this node; what the machine does with others is not what this is about.
fn is_watched(edge: &Edge, summary: &EdgeSummary) -> bool {
    let is_container = |workload: &Workload| {
        !workload.sandbox && matches!(workload.kind, WorkloadKind::Pod | WorkloadKind::Container)
    };
    let many = edge.kind == PeerKind::Many;
    !many
        && (is_container(&summary.workload)
            || summary.answerer().workload.as_deref().is_some_and(is_container))
}

fn judge(
    edge: &Edge,
    summary: &EdgeSummary,
    watched: &mut Watched,
    (tuning, lives, now): (&Tuning, &Lives, BootTime),
    found: &mut Vec<Fired>,
) {
    let slow = watched.latency(edge, &summary.tcp, tuning, now);
    let is_quiet = watched.is_quiet(&summary.tcp) && slow == [None, None];
    if is_quiet {
        return;
    }
    let of = FiredEdge { edge: edge.clone(), peer: summary.peer.clone(), backend: summary.backend.clone() };
    let subject = Subject { of, summary, watched, now };
    let fired = [
        rules::stall(&subject, tuning, lives),
        rules::connect_failures(&subject, tuning),
        rules::retransmits(&subject, tuning, lives),
        rules::resets(&subject, tuning),
        rules::slow(&subject, slow),
    ];
    found.extend(fired.into_iter().flatten());
}

impl Watched {
    /// What happened in the last half minute.
    pub(super) fn sums(&self) -> Sums {
        self.of_last(STEPS as u64)
    }

    /// What happened in the last 5 to 10 s.
    pub(super) fn lately(&self) -> Sums {
        self.of_last(2)
    }

    /// It worked before all that is remembered of it: what fails now did not just begin.
    pub(super) fn has_worked(&self, now: BootTime) -> bool {
        self.worked.is_some_and(|since| now.since_ns(since) >= STEPS as u64 * STEP_NS)
    }

    /// For how long attempts have failed, none of them with success between.
    pub(super) fn failing_ns(&self, now: BootTime) -> u64 {
        self.failing_since.map_or(0, |since| now.since_ns(since))
    }

    fn of_last(&self, steps: u64) -> Sums {
        let newest = self.seen.0 / STEP_NS;
        let mut sums = Sums::default();
        for step in self.steps.iter().filter(|step| step.number + steps > newest) {
            sums.add(&step.sums);
        }
        // An attempt is told once when it has waited for a second, and once more when it ends.
        if self.steps.iter().all(|step| step.number + STEPS as u64 <= newest || step.sums.unanswered == 0) {
            sums.unanswered += sums.given_up;
            sums.attempts += sums.given_up;
            sums.failing_seconds += sums.given_up_seconds;
        }
        sums
    }

    fn add(&mut self, edge: &Edge, tcp: &TcpSummary, now: BootTime) {
        let number = now.0 / STEP_NS;
        let sums = Sums::of(edge, tcp);
        self.seen = now;
        if let Some(step) = self.steps.get_mut(number as usize % STEPS) {
            if step.number != number {
                *step = Step { number, sums: Sums::default() };
            }
            step.sums.add(&sums);
        }
        if tcp.opened > 0 {
            self.worked = self.worked.or(Some(now));
        }
        let most =
            tcp.failures.iter().filter(|(error, _)| !OWN.contains(error)).max_by_key(|(_, count)| **count);
        self.error = most.map(|(error, _)| *error).or(self.error);
        self.served |= !edge.outgoing && tcp.sent_bytes > 0;
        if tcp.opened > 0 {
            self.failing_since = None;
        } else if sums.failed + sums.unanswered + sums.given_up > 0 {
            self.failing_since = self.failing_since.or(Some(now));
        }
    }

    /// Nothing of the last half minute can be a burst, and nothing stands still.
    fn is_quiet(&self, tcp: &TcpSummary) -> bool {
        let stands = tcp.longest.unaccepted_ns > 0 || tcp.longest.unread_ns > 0 || tcp.stalled.unanswered > 0;
        let bad = |step: &Step| {
            let Sums { failed, unanswered, given_up, resets, loss, .. } = &step.sums;
            failed + unanswered + given_up + resets + loss.again > 0
        };
        !stands && !self.steps.iter().any(bad)
    }

    fn latency(
        &mut self,
        edge: &Edge,
        tcp: &TcpSummary,
        tuning: &Tuning,
        now: BootTime,
    ) -> [Option<super::latency::Slow>; 2] {
        let kind = edge.backend.map_or(edge.kind, |backend| backend.kind);
        let bounds =
            |floor_ns| Bounds { factor: tuning.latency_factor, floor_ns, least_values: LEAST_VALUES };
        let handshake = bounds(rules::handshake_floor_ns(rules::is_near(kind)));
        let start = now.0.saturating_sub(1);
        [
            self.handshakes.add(&tcp.handshake_latency, start, &handshake),
            self.round_trips.add(&tcp.rtt, start, &bounds(rules::RTT_FLOOR_NS)),
        ]
    }
}

impl Sums {
    fn of(edge: &Edge, tcp: &TcpSummary) -> Self {
        let of = |names: &[&str]| names.iter().filter_map(|name| tcp.failures.get(name)).sum::<u64>();
        let own = of(&OWN);
        let given_up = of(&["timed_out"]);
        let failed = tcp.failed.saturating_sub(own + given_up);
        let unanswered = tcp.pending;
        let fails = failed + unanswered > 0;
        // Each connection that was reset has ended, too; an answer to a closed port is none.
        let of_server = if edge.outgoing { tcp.resets_received } else { tcp.resets_sent };
        let resets = of_server.min(tcp.closed);
        Self {
            attempts: tcp.opened + failed + unanswered,
            failed,
            unanswered,
            given_up,
            given_up_seconds: u16::from(given_up > 0 && !fails),
            failing_seconds: u16::from(fails),
            closed: tcp.closed,
            resets,
            reset_seconds: u16::from(resets > 0),
            loss: Loss::of(tcp),
        }
    }

    fn add(&mut self, other: &Self) {
        let Self { attempts, failed, unanswered, given_up, given_up_seconds, .. } = other;
        let Self { failing_seconds, closed, resets, reset_seconds, loss, .. } = other;
        self.attempts += attempts;
        self.failed += failed;
        self.unanswered += unanswered;
        self.given_up += given_up;
        self.given_up_seconds += given_up_seconds;
        self.failing_seconds += failing_seconds;
        self.closed += closed;
        self.resets += resets;
        self.reset_seconds += reset_seconds;
        self.loss.add(loss);
    }
}
