//! Lost notices in words.

use observer_proto::v1::{History, LossSource, Lost};

use super::escape::escape;
use super::time::Clock;
use super::units::plural;

/// What was lost, where and when.
pub(crate) fn words(lost: &Lost, clock: &Clock) -> String {
    let kind = escape(&lost.kind);
    let text = match lost.source() {
        LossSource::Unspecified => format!("{} ({kind})", plural(lost.count, "event")),
        LossSource::Ring => {
            format!("{} had no room in the ring", plural(lost.count, &format!("{kind} record")))
        }
        LossSource::Decode => {
            format!("{} could not be understood", plural(lost.count, &format!("{kind} record")))
        }
        LossSource::Table => format!("{} had no room in the table {kind}", counted(lost.count)),
        LossSource::Subscriber => {
            format!("{} of this client's own, which read too slowly", plural(lost.count, "message"))
        }
        LossSource::Probe => {
            format!("{} of the probe {kind} left out by the kernel", plural(lost.count, "run"))
        }
        LossSource::Netns => {
            format!("{} not searched for older connections", plural(lost.count, "network namespace"))
        }
        LossSource::KernelMap => format!("{} had no room in the kernel's map {kind}", counted(lost.count)),
    };
    let cpu = lost.cpu.map_or_else(String::new, |cpu| format!(" (cpu {cpu})"));
    let when = match (&lost.since, &lost.until) {
        (Some(since), Some(until)) => format!(" between {} and {}", clock.text(since), clock.text(until)),
        (None, Some(until)) => format!(" before {}", clock.text(until)),
        (Some(since), None) => format!(" since {}", clock.text(since)),
        (None, None) => String::new(),
    };
    format!("{text}{cpu}{when}")
}

/// What of the events in memory that were asked for is not there; `None` where nothing is missing.
pub(crate) fn missing(history: &History, clock: &Clock) -> Option<String> {
    let missing = history.missing;
    (missing > 0).then(|| {
        let since = history.complete_since.as_ref();
        let since =
            since.map_or_else(String::new, |since| format!(": it has all since {} alone", clock.text(since)));
        format!(
            "up to {} of those asked for made room in the daemon's memory{since}",
            plural(missing, "event")
        )
    })
}

fn counted(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// The same losses with those of one source and kind in one.
pub(crate) fn merge(losses: &[Lost]) -> Vec<Lost> {
    let mut merged: Vec<Lost> = Vec::new();
    for lost in losses.iter().filter(|lost| lost.count > 0) {
        match merged.iter_mut().find(|one| one.source == lost.source && one.kind == lost.kind) {
            Some(one) => {
                one.count = one.count.saturating_add(lost.count);
                one.cpu = None;
                one.since = earlier(one.since, lost.since);
                one.until = later(one.until, lost.until);
            }
            None => merged.push(lost.clone()),
        }
    }
    merged.sort_by_key(|lost| std::cmp::Reverse(lost.count));
    merged
}

type Time = Option<prost_types::Timestamp>;

fn earlier(a: Time, b: Time) -> Time {
    a.into_iter().chain(b).min_by_key(super::time::nanos)
}

fn later(a: Time, b: Time) -> Time {
    a.into_iter().chain(b).max_by_key(super::time::nanos)
}
