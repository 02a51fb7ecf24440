//! What a new subscriber gets first: the newest events and windows, bounded.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Filters;
use crate::event::{Event, WallTime, Window, Workload};

/// The newest events.
#[derive(Debug)]
pub(super) struct Events {
    newest: VecDeque<Arc<Event>>,
    capacity: usize,
}

impl Events {
    pub(super) fn new(capacity: usize) -> Self {
        Self { newest: VecDeque::new(), capacity }
    }

    pub(super) fn push(&mut self, event: &Arc<Event>) {
        if self.newest.len() >= self.capacity {
            self.newest.pop_front();
        }
        if self.capacity > 0 {
            self.newest.push_back(Arc::clone(event));
        }
    }

    /// Puts an event in the place of the one with its number, if that is still kept.
    pub(super) fn amend(&mut self, event: Arc<Event>) {
        // They come in the order of their numbers.
        if let Ok(place) = self.newest.binary_search_by_key(&event.sequence, |event| event.sequence) {
            self.newest[place] = event;
        }
    }

    /// Gives that workload's events its names.
    pub(super) fn complete(&mut self, workload: &Arc<Workload>) {
        for event in &mut self.newest {
            if event.workload.as_ref().is_some_and(|known| known.id == workload.id) {
                *event = Arc::new(Event { workload: Some(Arc::clone(workload)), ..(**event).clone() });
            }
        }
    }

    /// The newest `last` of those that pass, oldest first.
    pub(super) fn last(&self, last: usize, filters: &Filters) -> Vec<Arc<Event>> {
        let passing = self.newest.iter().rev().filter(|event| filters.event(event));
        let mut newest: Vec<_> = passing.take(last).cloned().collect();
        newest.reverse();
        newest
    }

    pub(super) fn len(&self) -> usize {
        self.newest.len()
    }

    pub(super) fn oldest(&self) -> Option<WallTime> {
        self.newest.front().map(|event| event.time)
    }
}

/// The newest windows, bounded by number and by what they hold.
#[derive(Debug)]
pub(super) struct Windows {
    newest: VecDeque<Arc<Window>>,
    capacity: usize,
    /// Workloads and edges in all windows.
    entries: usize,
    max_entries: usize,
}

impl Windows {
    pub(super) fn new(capacity: usize, max_entries: usize) -> Self {
        Self { newest: VecDeque::new(), capacity, entries: 0, max_entries }
    }

    pub(super) fn push(&mut self, window: &Arc<Window>) {
        self.entries += entries(window);
        self.newest.push_back(Arc::clone(window));
        while self.newest.len() > self.capacity || self.entries > self.max_entries {
            let Some(oldest) = self.newest.pop_front() else { break };
            self.entries -= entries(&oldest);
        }
    }

    /// Workloads and edges in all of them, and how many there may be.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.entries, self.max_entries]
    }

    /// Those of the newest `length_ns`, oldest first.
    pub(super) fn last(&self, length_ns: u64) -> Vec<Arc<Window>> {
        let Some(end) = self.newest.back().map(|window| window.end()) else { return Vec::new() };
        let within = |window: &&Arc<Window>| end.since_ns(window.start) <= length_ns;
        self.newest.iter().filter(within).cloned().collect()
    }
}

/// What of a window takes memory.
fn entries(window: &Window) -> usize {
    let Window { start: _, length_ns: _, lost_events: _, workloads, edges, listeners, live } = window;
    workloads.len() + edges.len() + listeners.len() / 4 + live.edges.len() / 4
}
