//! The order of a story: what happened first comes first, the cause is marked, and what says least is left out.

use observer_proto::v1::TimelineKind;
use prost_types::Timestamp;

use super::line::{Line, Moment, PEER};
use super::{Story, names, nanos};

/// A story has so many lines at most.
const MOST_LINES: usize = 60;
/// Events are in order but for what waits for names: where the time goes back further, the wall clock was set.
const STEP_NS: i64 = 30_000_000_000;

/// Steps of the wall clock that are remembered.
const MOST_RUNS: usize = 64;

/// Makes moments of times, as events come one after the other.
#[derive(Debug, Default)]
pub(super) struct Moments {
    newest: Option<i64>,
    /// What was taken off the wall clock since the first event.
    stepped: i64,
    /// The times by the wall clock between its steps, and what had been taken off it by then.
    runs: Vec<Run>,
}

/// A time in which the wall clock was not set back.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: i64,
    last: i64,
    stepped: i64,
}

impl Run {
    /// How far that time lies from this.
    const fn distance(&self, told: i64) -> u64 {
        if told < self.first {
            self.first.abs_diff(told)
        } else if told > self.last {
            self.last.abs_diff(told)
        } else {
            0
        }
    }
}

impl Moments {
    /// When that was.
    pub(super) fn of(&mut self, time: Timestamp) -> Moment {
        let told = nanos(&time);
        let newest = self.newest.unwrap_or(told);
        if told + self.stepped < newest - STEP_NS {
            self.stepped = newest - told;
        }
        let has_room = self.runs.len() < MOST_RUNS;
        match self.runs.last_mut().filter(|run| run.stepped == self.stepped) {
            Some(run) => (run.first, run.last) = (run.first.min(told), run.last.max(told)),
            None if has_room => self.runs.push(Run { first: told, last: told, stepped: self.stepped }),
            None => {}
        }
        let order = told + self.stepped;
        self.newest = Some(newest.max(order));
        Moment { order, told }
    }

    /// When that was that no event told of: as of the events beside it, of the latest ones where it was twice.
    pub(super) fn beside(&self, told: i64) -> Moment {
        let run = self.runs.iter().rev().min_by_key(|run| run.distance(told));
        Moment { order: told + run.map_or(0, |run| run.stepped), told }
    }
}

/// Puts lines in order.
pub(super) fn tell(mut lines: Vec<Line>) -> Story {
    lines.sort_by_key(|line| (line.at, rank(line.kind)));
    mark_cause(&mut lines);
    let omitted = lines.len().saturating_sub(MOST_LINES);
    if omitted > 0 {
        let mut weights: Vec<(u8, u32, usize)> =
            lines.iter().enumerate().map(|(at, line)| (worth(line.kind), line.weight, at)).collect();
        weights.sort_unstable_by_key(|(worth, weight, at)| {
            std::cmp::Reverse((*worth, *weight, std::cmp::Reverse(*at)))
        });
        let mut kept: Vec<usize> = weights.into_iter().take(MOST_LINES).map(|(.., at)| at).collect();
        kept.sort_unstable();
        let mut kept = kept.into_iter().peekable();
        let mut at = 0;
        lines.retain(|_| {
            let keeps = kept.next_if_eq(&at).is_some();
            at += 1;
            keeps
        });
    }
    Story {
        timeline: lines.into_iter().map(Line::into_entry).collect(),
        omitted: u32::try_from(omitted).unwrap_or(u32::MAX),
    }
}

/// Of what may be the cause, and began no later than what failed first, the most likely is it; of several of that the
/// first. Where nothing failed nothing has a cause.
fn mark_cause(lines: &mut [Line]) {
    let Some(failure) = lines.iter().find(|line| line.kind == TimelineKind::Failure) else { return };
    let failed = failure.at;
    // Who cannot reach a container that is about to end, or just has, tells of its end and not of why.
    let dying = failure.workload.as_ref().filter(|_| failure.server_key.is_none()).map(names::key);
    let of_dying = |line: &Line| line.cause == PEER && dying.is_some() && line.server_key == dying;
    let may_be = |line: &&mut Line| line.cause > 0 && line.at <= failed && !of_dying(line);
    // The first of the highest.
    let cause = lines.iter_mut().filter(may_be).rev().max_by_key(|line| line.cause);
    if let Some(line) = cause {
        line.kind = TimelineKind::Cause;
    }
}

/// What comes first of what happened at the same moment.
const fn rank(kind: TimelineKind) -> u8 {
    match kind {
        TimelineKind::Gap => 0,
        TimelineKind::Action => 1,
        TimelineKind::Cause => 2,
        TimelineKind::Symptom => 3,
        TimelineKind::Failure => 4,
        TimelineKind::Context | TimelineKind::Unspecified => 5,
        TimelineKind::Consequence => 6,
    }
}

/// What stays where there is no room for all.
const fn worth(kind: TimelineKind) -> u8 {
    match kind {
        TimelineKind::Cause => 7,
        TimelineKind::Failure => 6,
        TimelineKind::Action => 5,
        TimelineKind::Gap => 4,
        TimelineKind::Symptom => 3,
        TimelineKind::Consequence => 2,
        TimelineKind::Context | TimelineKind::Unspecified => 1,
    }
}
