//! Which daemon a stream comes from: tells that it was started anew, and what of it was shown before. Or that it comes from a
//! relay, over several daemons.

mod relayed;

use observer_proto::v1::{Event, NodeState, NodeStatus, Resume, WatchEventsRequest};
use prost_types::Timestamp;
use tokio::time::Instant;

use self::relayed::Relayed;
use super::time::Clock;

/// What is known of the daemon behind a stream that is opened again and again.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// When it started; `None` before the first message.
    started: Option<Timestamp>,
    /// The number of its newest event that was shown; before any was, where its stream began.
    shown: u64,
    /// An event was shown.
    any: bool,
    /// Events up to this number were shown on a stream that broke.
    before: u64,
    /// What was shown of each node, where a relay answers.
    relayed: Option<Relayed>,
    /// When the relay began to tell.
    since: Option<Timestamp>,
}

impl Origin {
    /// Takes in a state of the stream. Where the stream was opened again: what that means, in words.
    pub(crate) fn greeted(&mut self, status: &NodeStatus, clock: &Clock) -> Option<String> {
        if !status.node_name.is_empty() {
            // It is about one node, and not of the stream.
            self.relayed.get_or_insert_default().greeted(status);
            return None;
        }
        if status.state() != NodeState::Connected {
            return None;
        }
        if status.recorded {
            // The numbers of what follows are that run's, and none of it was shown.
            (self.started, self.shown, self.before) = (status.start_time, status.after_sequence, 0);
            return None;
        }
        if status.start_time.is_none() {
            return self.greeted_by_relay();
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

    /// A relay says when none of its daemons was started: each of them says that for itself.
    fn greeted_by_relay(&mut self) -> Option<String> {
        let Some(relayed) = &mut self.relayed else {
            self.relayed = Some(Relayed::default());
            return None;
        };
        relayed.again();
        Some("connected to the relay again".to_owned())
    }

    /// A relay answers.
    pub(crate) const fn is_relay(&self) -> bool {
        self.relayed.is_some()
    }

    /// The request that goes on where the stream before it was cut off.
    pub(crate) fn resumed(&self, request: WatchEventsRequest) -> WatchEventsRequest {
        let again = |request: WatchEventsRequest| {
            let WatchEventsRequest { allow, deny, follow, field_mask, .. } = request;
            WatchEventsRequest { allow, deny, follow, field_mask, ..WatchEventsRequest::default() }
        };
        let asks_past = request.last > 0 || request.since.is_some();
        if let Some(relayed) = &self.relayed {
            return match relayed.since().or(self.since.filter(|_| !asks_past)) {
                Some(since) => WatchEventsRequest { since: Some(since), ..again(request) },
                // Nothing was shown: the past that was asked for is still to come.
                None => request,
            };
        }
        // Nothing was shown: the past that was asked for is still to come.
        let Some(resume) = self.resume().filter(|_| self.any || !asks_past) else { return request };
        WatchEventsRequest { resume: Some(resume), ..again(request) }
    }

    /// Where a stream that is opened again goes on; `None` where none was open.
    fn resume(&self) -> Option<Resume> {
        self.started.map(|started| Resume { sequence: self.shown, start_time: Some(started) })
    }

    /// The stream of a relay began at that time.
    pub(crate) fn began(&mut self, time: Option<Timestamp>) {
        self.since = self.since.or(time);
    }

    /// Whether an event, which that node told at that time, is still to be shown.
    pub(crate) fn is_new(&mut self, event: &Event, node: &str, told: Option<Timestamp>) -> bool {
        if let Some(relayed) = &mut self.relayed {
            return relayed.is_new(node, event.sequence, event.time.or(told), Instant::now());
        }
        self.any = true;
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
        assert!(origin.is_new(&event(4), "", None) && origin.is_new(&event(9), "", None));
        let words = origin.greeted(&greeting(7), &clock).unwrap();
        assert_eq!(words, "connected again to the same daemon");
        let start_time = Some(Timestamp { seconds: 7, nanos: 0 });
        assert_eq!(origin.resume(), Some(Resume { sequence: 9, start_time }));
        assert!(
            !origin.is_new(&event(4), "", None)
                && !origin.is_new(&event(9), "", None)
                && origin.is_new(&event(10), "", None)
        );
    }

    #[test]
    fn what_was_recorded_has_numbers_of_its_own() {
        let (mut origin, clock) = (Origin::default(), testing::look().clock());
        let recorded = |seconds| NodeStatus { recorded: true, after_sequence: 3, ..greeting(seconds) };
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        assert_eq!(origin.greeted(&greeting(7), &clock), None);
        assert_eq!(origin.greeted(&recorded(5), &clock), None);
        assert_eq!(origin.resume(), Some(Resume { sequence: 3, start_time: at(5) }));
        assert!(origin.is_new(&event(900), "", None));
        assert_eq!(origin.resume(), Some(Resume { sequence: 900, start_time: at(5) }));
        assert_eq!(origin.greeted(&recorded(7), &clock), None);
        assert!(origin.is_new(&event(4), "", None));
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
    fn a_past_of_which_nothing_was_shown_is_asked_for_again() {
        let (mut origin, clock) = (Origin::default(), testing::look().clock());
        let asked = WatchEventsRequest { since: Some(testing::AT), follow: true, ..Default::default() };
        let live = WatchEventsRequest { follow: true, ..WatchEventsRequest::default() };
        assert_eq!(origin.greeted(&greeting(7), &clock), None);
        let resume = |sequence, request: &WatchEventsRequest| {
            let start_time = Some(Timestamp { seconds: 7, nanos: 0 });
            let resume = Some(Resume { sequence, start_time });
            WatchEventsRequest { resume, since: None, ..request.clone() }
        };
        assert_eq!(origin.resumed(asked.clone()), asked);
        assert_eq!(origin.resumed(live.clone()), resume(0, &live));
        assert!(origin.is_new(&event(4), "", None));
        assert_eq!(origin.resumed(asked.clone()), resume(4, &asked));
    }

    #[test]
    fn another_one_begins_anew() {
        let (mut origin, clock) = (Origin::default(), testing::look().clock());
        assert_eq!(origin.greeted(&greeting(7), &clock), None);
        assert!(origin.is_new(&event(9), "", None));
        assert_eq!(origin.greeted(&NodeStatus::default(), &clock), None);
        let words = origin.greeted(&greeting(8), &clock).unwrap();
        assert!(words.starts_with("the daemon was started anew at "), "{words}");
        assert!(origin.is_new(&event(1), "", None) && origin.is_new(&event(9), "", None));
    }

    #[test]
    fn a_relay_has_no_start_and_is_asked_for_what_happened_meanwhile() {
        let (mut origin, clock) = (Origin::default(), testing::look().clock());
        let state = NodeState::Connected.into();
        let own = NodeStatus { state, message: "a relay over 2 nodes".to_owned(), ..NodeStatus::default() };
        let of = |node: &str, seconds| NodeStatus { node_name: node.to_owned(), ..greeting(seconds) };
        let asked = WatchEventsRequest { follow: true, last: 20, ..WatchEventsRequest::default() };
        assert_eq!(origin.greeted(&own, &clock), None);
        origin.began(Some(testing::AT));
        for (node, start) in [("a", 7), ("b", 8), ("b", 9)] {
            assert_eq!(origin.greeted(&of(node, start), &clock), None, "a node's daemon is not the stream's");
        }
        assert_eq!(origin.resumed(asked.clone()), asked, "nothing was shown");
        let live = WatchEventsRequest { follow: true, ..WatchEventsRequest::default() };
        let since_began = WatchEventsRequest { since: Some(testing::AT), ..live.clone() };
        assert_eq!(origin.resumed(live.clone()), since_began);
        let time = Some(Timestamp { seconds: 50, nanos: 999_999_999 });
        let event = Event { time, ..event(4) };
        assert!(origin.is_new(&event, "a", None) && origin.is_new(&event, "b", None));
        let since = Some(Timestamp { seconds: 51, nanos: 0 });
        assert_eq!(origin.resumed(asked), WatchEventsRequest { since, ..live });
        assert_eq!(origin.greeted(&own, &clock).as_deref(), Some("connected to the relay again"));
        assert_eq!(origin.greeted(&of("b", 9), &clock), None);
        assert!(!origin.is_new(&event, "b", None));
    }
}
