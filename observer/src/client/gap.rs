//! What a recording lacks, in words.

use observer_proto::v1::{Gap, GapReason};

use super::escape::escape;
use super::time::Clock;
use super::units::plural;

/// What is missing, why and when.
pub(crate) fn words(gap: &Gap, clock: &Clock) -> String {
    let what = gap.count.map_or_else(|| "what happened".to_owned(), |count| plural(count, "event"));
    let when = match (&gap.since, &gap.until) {
        (Some(since), Some(until)) => format!(" between {} and {}", clock.text(since), clock.text(until)),
        (None, Some(until)) => format!(" before {}", clock.text(until)),
        (Some(since), None) => format!(" since {}", clock.text(since)),
        (None, None) => String::new(),
    };
    let why = match gap.reason() {
        GapReason::Unspecified => "for an unknown reason",
        GapReason::NotRunning => "the daemon did not run",
        GapReason::Killed => "the daemon was killed, or the machine stopped",
        GapReason::Paused => "recording was paused",
        GapReason::Behind => "more happened than could be recorded",
        GapReason::MadeRoom => "it made room for what is newer",
    };
    let more = if gap.message.is_empty() { String::new() } else { format!(": {}", escape(&gap.message)) };
    format!("not recorded: {what}{when} ({why}{more})")
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use prost_types::Timestamp;

    #[test]
    fn it_says_what_why_and_when() {
        let clock = testing::look().clock();
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let gap = Gap {
            reason: GapReason::Paused.into(),
            since: at(10),
            until: at(20),
            count: Some(1),
            message: "disk\u{1b}full".to_owned(),
            start_time: None,
        };
        let told = words(&gap, &clock);
        assert!(told.starts_with("not recorded: 1 event between "), "{told}");
        assert!(told.contains("(recording was paused: disk") && !told.contains('\u{1b}'), "{told}");
        let told = words(&Gap { count: None, since: None, message: String::new(), ..gap }, &clock);
        assert!(told.starts_with("not recorded: what happened before "), "{told}");
        assert!(told.ends_with("(recording was paused)"), "{told}");
    }
}
