//! A line of a story while it is made, and groups of events that become one.

use observer_proto::v1::{EventReference, Evidence, TimelineEntry, TimelineKind, Unit, Workload};
use prost_types::Timestamp;

use super::nanos;

/// So many events are named in one line.
const REFERENCES: usize = 100;

/// When something happened: by the wall clock as it was told, and in the order of things, which no step of that bends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) order: i64,
    pub(super) told: i64,
}

/// When an event happened, and its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) moment: Moment,
    pub(super) start: Timestamp,
    pub(super) sequence: u64,
}

/// How likely something is what caused the rest: the most likely one is marked. 0 is none.
pub(super) type Cause = u8;
/// A way that loses, or a peer that fails.
pub(super) const PEER: Cause = 2;
/// A process that stands still: why connects to it fail, and segments are sent again.
pub(super) const STUCK: Cause = 3;
/// A container that ended on which others depend.
pub(super) const ENDED: Cause = 4;
/// Somebody's hand.
pub(super) const HAND: Cause = 5;

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) at: Moment,
    pub(super) kind: TimelineKind,
    pub(super) text: String,
    pub(super) workload: Option<Workload>,
    pub(super) events: Group,
    pub(super) evidence: Vec<Evidence>,
    pub(super) cause: Cause,
    /// Who is asked on the edge that this tells of.
    pub(super) server_key: Option<String>,
    /// Of two lines of a kind the one with more of these says more.
    pub(super) weight: u32,
}

/// Events that are told together.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) count: u64,
    pub(super) first: Option<Moment>,
    pub(super) last: Option<Moment>,
    references: Vec<EventReference>,
}

impl Line {
    pub(super) fn new(at: Moment, kind: TimelineKind, text: String) -> Self {
        let (events, evidence) = (Group::default(), Vec::new());
        Self { at, kind, text, workload: None, events, evidence, cause: 0, server_key: None, weight: 0 }
    }

    /// About whom.
    pub(super) fn of(mut self, workload: Option<&Workload>) -> Self {
        self.workload = workload.cloned();
        self
    }

    /// Made of these events.
    pub(super) fn made_of(mut self, events: &Group) -> Self {
        self.events.merge(events);
        self
    }

    /// With these figures.
    pub(super) fn with(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// It may be why the rest happened.
    pub(super) fn may_be(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// Of an edge on which that one is asked.
    pub(super) fn asks(mut self, server_key: Option<&String>) -> Self {
        self.server_key = server_key.cloned();
        self
    }

    /// Of so much weight among those of its kind.
    pub(super) fn weighs(mut self, weight: u64) -> Self {
        self.weight = u32::try_from(weight).unwrap_or(u32::MAX);
        self
    }

    pub(super) fn into_entry(self) -> TimelineEntry {
        let Self { at, kind, text, workload, events, evidence, .. } = self;
        TimelineEntry {
            time: Some(timestamp(at.told)),
            kind: kind.into(),
            text,
            workload,
            event_count: events.count,
            events: events.references,
            evidence,
        }
    }
}

impl Group {
    /// Of one event.
    pub(super) fn of(at: At) -> Self {
        let mut group = Self::default();
        group.add(at);
        group
    }

    pub(super) fn add(&mut self, at: At) {
        self.add_many(at, 1);
    }

    /// One event that stands for several.
    pub(super) fn add_many(&mut self, at: At, count: u64) {
        self.count += count;
        self.first = Some(self.first.map_or(at.moment, |first| first.min(at.moment)));
        self.last = Some(self.last.map_or(at.moment, |last| last.max(at.moment)));
        if self.references.len() < REFERENCES {
            self.references.push(EventReference { start_time: Some(at.start), sequence: at.sequence });
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = [self.last, other.last].into_iter().flatten().max();
        let room = REFERENCES.saturating_sub(self.references.len());
        self.references.extend(other.references.iter().take(room).copied());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// From the first to the last, in nanoseconds.
    pub(super) fn lasted_ns(&self) -> u64 {
        let ends = self.first.zip(self.last);
        ends.map_or(0, |(first, last)| u64::try_from(last.order - first.order).unwrap_or(0))
    }
}

/// A moment as the API has it.
fn timestamp(ns: i64) -> Timestamp {
    let (seconds, nanos) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    Timestamp { seconds, nanos: i32::try_from(nanos).unwrap_or(0) }
}

/// From one time to another.
pub(super) fn between_ns(from: &Timestamp, to: &Timestamp) -> u64 {
    u64::try_from(nanos(to) - nanos(from)).unwrap_or(0)
}

/// A figure that counts.
pub(super) fn count(figure: &str, value: u64) -> Evidence {
    Evidence { figure: figure.to_owned(), value, of: None, unit: Unit::Count.into() }
}

/// A part of a whole.
pub(super) fn part(figure: &str, value: u64, of: u64) -> Evidence {
    Evidence { figure: figure.to_owned(), value, of: Some(of), unit: Unit::Count.into() }
}

/// A duration.
pub(super) fn time(figure: &str, value: u64) -> Evidence {
    Evidence { figure: figure.to_owned(), value, of: None, unit: Unit::Nanoseconds.into() }
}

/// A size.
pub(super) fn bytes(figure: &str, value: u64) -> Evidence {
    Evidence { figure: figure.to_owned(), value, of: None, unit: Unit::Bytes.into() }
}
