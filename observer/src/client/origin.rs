//! Which daemon a stream comes from: tells that it was started anew, and what of it was shown before.

use observer_proto::v1::{Event, NodeState, NodeStatus, Resume};
use prost_types::Timestamp;

use super::time::Clock;

/// What is known of the daemon behind a stream that is opened again and again.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// When it started; `None` before the first message.
    started: Option<Timestamp>,
    /// The number of its newest event that was shown.
    shown: u64,
    /// Events up to this number were shown on a stream that broke.
    before: u64,
}

impl Origin {
    /// Takes in a state of the stream. Where the stream was opened again: what that means, in words.
    pub(crate) fn greeted(&mut self, status: &NodeStatus, clock: &Clock) -> Option<String> {
        if status.state() != NodeState::Connected {
            return None;
        }
        if status.recorded {
            // The numbers of what follows are that run's, and none of it was shown.
            (self.started, self.shown, self.before) = (status.start_time, status.after_sequence, 0);
            return None;
        }
        let Some(before) = std::mem::replace(&mut self.started, status.start_time) else {
            self.shown = status.after_sequence;
            return None;
        };
        self.before = self.shown;
        let started = status.start_time.filter(|started| *started != before);
        let Some(started) = started else { return Some("connected again to the same daemon".to_owned()) };
        (self.shown, self.before) = (status.after_sequence, 0);
        Some(format!(
            "the daemon was started anew at {}: what happened while it was away is missing, numbers and totals begin anew",
            clock.text(&started)
        ))
    }

    /// Where a stream that is opened again goes on; `None` where none was open.
    pub(crate) fn resume(&self) -> Option<Resume> {
        self.started.map(|started| Resume { sequence: self.shown, start_time: Some(started) })
    }

    /// Whether an event is still to be shown.
    pub(crate) fn is_new(&mut self, event: &Event) -> bool {
        self.shown = self.shown.max(event.sequence);
        event.sequence > self.before
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn greeting(seconds: i64) -> NodeStatus {
        let start_time = Some(Timestamp { seconds, nanos: 0 });
        NodeStatus { state: NodeState::Connected.into(), start_time, ..NodeStatus::default() }
    }

    fn event(sequence: u64) -> Event {
        Event { sequence, ..Event::default() }
    }

    #[test]
    fn the_same_daemon_shows_nothing_twice() {
        let (mut origin, clock) = (Origin::default(), testing::look().clock());
        assert_eq!(origin.greeted(&greeting(7), &clock), None);
        assert!(origin.is_new(&event(4)) && origin.is_new(&event(9)));
        let words = origin.greeted(&greeting(7), &clock).unwrap();
        assert_eq!(words, "connected again to the same daemon");
        let start_time = Some(Timestamp { seconds: 7, nanos: 0 });
        assert_eq!(origin.resume(), Some(Resume { sequence: 9, start_time }));
        assert!(!origin.is_new(&event(4)) && !origin.is_new(&event(9)) && origin.is_new(&event(10)));
    }

    #[test]
    fn what_was_recorded_has_numbers_of_its_own() {
        let (mut origin, clock) = (Origin::default(), testing::look().clock());
        let recorded = |seconds| NodeStatus { recorded: true, after_sequence: 3, ..greeting(seconds) };
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        assert_eq!(origin.greeted(&greeting(7), &clock), None);
        assert_eq!(origin.greeted(&recorded(5), &clock), None);
        assert_eq!(origin.resume(), Some(Resume { sequence: 3, start_time: at(5) }));
        assert!(origin.is_new(&event(900)));
        assert_eq!(origin.resume(), Some(Resume { sequence: 900, start_time: at(5) }));
        assert_eq!(origin.greeted(&recorded(7), &clock), None);
        assert!(origin.is_new(&event(4)));
        assert_eq!(origin.resume(), Some(Resume { sequence: 4, start_time: at(7) }));
    }

    #[test]
    fn a_stream_that_showed_nothing_goes_on_where_it_began() {
        let (mut origin, clock) = (Origin::default(), testing::look().clock());
        assert_eq!(origin.resume(), None);
        assert_eq!(origin.greeted(&NodeStatus { after_sequence: 50, ..greeting(7) }, &clock), None);
        assert_eq!(origin.resume().map(|resume| resume.sequence), Some(50));
    }

    #[test]
    fn another_one_begins_anew() {
        let (mut origin, clock) = (Origin::default(), testing::look().clock());
        assert_eq!(origin.greeted(&greeting(7), &clock), None);
        assert!(origin.is_new(&event(9)));
        assert_eq!(origin.greeted(&NodeStatus::default(), &clock), None);
        let words = origin.greeted(&greeting(8), &clock).unwrap();
        assert!(words.starts_with("the daemon was started anew at "), "{words}");
        assert!(origin.is_new(&event(1)) && origin.is_new(&event(9)));
    }
}
