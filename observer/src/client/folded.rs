//! Notices of what was only counted, in words.

use observer_proto::v1::{EventCount, Folded};

use super::escape::escape;
use super::label;
use super::time::Clock;

/// Whose it was, how much, and when.
pub(crate) fn words(folded: &Folded, clock: &Clock) -> String {
    let owner = label::owner(folded.workload.as_ref());
    let when = match (&folded.since, &folded.until) {
        (Some(since), Some(until)) => format!(" between {} and {}", clock.text(since), clock.text(until)),
        _ => String::new(),
    };
    let (counts, budget) = (counts(&folded.events), folded.budget);
    format!("counted only: {owner} {counts}{when}, beyond its {budget} a second")
}

/// How many of each type.
pub(crate) fn counts(events: &[EventCount]) -> String {
    let of = |event: &EventCount| format!("{} {}", event.count, escape(&event.r#type));
    events.iter().map(of).collect::<Vec<_>>().join(", ")
}
