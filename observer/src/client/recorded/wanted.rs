//! Which messages of a recording are wanted: what a daemon does with its memory, for one stream that is read once.

use std::collections::VecDeque;

use itertools::Itertools as _;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{Event, Filter, WatchEventsResponse};
use prost_types::Timestamp;

use super::super::time::nanos;
use crate::filter::{Filters, InvalidFilter};

/// So many notices are kept beside the last events.
const MOST_NOTICES: usize = 10_000;

/// Lets those messages pass that are wanted, and keeps no more than it has to.
#[derive(Debug)]
pub(crate) struct Wanted {
    filters: Filters,
    since: Option<i128>,
    until: Option<i128>,
    /// So many more events, where only the first ones are wanted.
    first: Option<usize>,
    last: Option<Last>,
}

/// The last events, and what else was told since the oldest of them. Each has its number.
#[derive(Debug)]
struct Last {
    most: usize,
    number: u64,
    events: VecDeque<(u64, WatchEventsResponse)>,
    notices: VecDeque<(u64, WatchEventsResponse)>,
    left_out: u64,
}

impl Wanted {
    /// All events that pass the filters.
    pub(crate) fn new(allow: &[Filter], deny: &[Filter]) -> Result<Self, InvalidFilter> {
        let filters = Filters::of_told(allow, deny)?;
        Ok(Self { filters, since: None, until: None, first: None, last: None })
    }

    /// Of them those that happened within that time.
    pub(crate) fn between(self, since: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        Self { since: since.as_ref().map(nanos), until: until.as_ref().map(nanos), ..self }
    }

    /// Of them the first ones.
    pub(crate) fn first(self, most: Option<u32>) -> Self {
        Self { first: most.map(|most| most as usize), ..self }
    }

    /// Of them the last ones, which are told in the end.
    pub(crate) fn last(self, most: Option<u32>) -> Self {
        let last = most.map(|most| Last {
            most: most as usize,
            number: 0,
            events: VecDeque::new(),
            notices: VecDeque::new(),
            left_out: 0,
        });
        Self { last, ..self }
    }

    /// Nothing more is wanted.
    pub(crate) fn is_complete(&self) -> bool {
        self.first == Some(0)
    }

    /// Takes in the next message, and gives it back if it is wanted now.
    pub(crate) fn take(&mut self, message: WatchEventsResponse) -> Option<WatchEventsResponse> {
        let (is_event, time, passes) = match &message.payload {
            Some(Payload::Event(event)) => (true, event.time.or(message.time), self.event(event, &message)),
            Some(Payload::Folded(folded)) => {
                (false, message.time, self.filters.told_folded(folded, &message.node_name))
            }
            // What a recording lacks, it lacks in its place.
            Some(Payload::Gap(gap)) => (false, gap.until.or(message.time), true),
            // Without a payload that is known here, it is of a newer version.
            Some(Payload::Lost(_) | Payload::NodeStatus(_) | Payload::History(_)) | None => {
                (false, message.time, true)
            }
        };
        if !passes || !self.is_within(time) {
            return None;
        }
        if is_event && let Some(first) = &mut self.first {
            *first = first.checked_sub(1)?;
        }
        let Some(last) = &mut self.last else { return Some(message) };
        last.keep(message, is_event);
        None
    }

    /// What is wanted now that there is no more, in order; and how many notices among that had no room.
    pub(crate) fn rest(self) -> (impl Iterator<Item = WatchEventsResponse>, u64) {
        let (events, notices, left_out) = match self.last {
            Some(last) => (last.events, last.notices, last.left_out),
            None => Default::default(),
        };
        let merged = events.into_iter().merge_by(notices, |(a, _), (b, _)| a < b);
        (merged.map(|(_, message)| message), left_out)
    }

    fn event(&self, event: &Event, message: &WatchEventsResponse) -> bool {
        if event.node_name.is_empty() && !message.node_name.is_empty() {
            let event = Event { node_name: message.node_name.clone(), ..event.clone() };
            return self.filters.told_event(&event);
        }
        self.filters.told_event(event)
    }

    /// What has no time was at any.
    fn is_within(&self, time: Option<Timestamp>) -> bool {
        let Some(time) = time.as_ref().map(nanos) else { return true };
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until)
    }
}

impl Last {
    fn keep(&mut self, message: WatchEventsResponse, is_event: bool) {
        self.number += 1;
        let (list, most) =
            if is_event { (&mut self.events, self.most) } else { (&mut self.notices, MOST_NOTICES) };
        list.push_back((self.number, message));
        if list.len() <= most {
            return;
        }
        let gone = list.pop_front();
        if !is_event {
            self.left_out += 1;
            return;
        }
        // What was told before an event that is not among the last ones is not either.
        let before = gone.map_or(0, |(number, _)| number);
        while self.notices.front().is_some_and(|(number, _)| *number < before) {
            self.notices.pop_front();
        }
    }
}
