//! What a new subscriber gets first: the newest events and windows, bounded.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::Filters;
use crate::event::{Event, WallTime, Window, Workload, WorkloadId};

/// The newest events: as many as there is room for, and of each workload at least its share of the room. So one that does
/// a lot does not push out what the others did.
#[derive(Debug)]
pub(super) struct Events {
    /// By owner, each in the order of its numbers; none is empty.
    newest: HashMap<Option<WorkloadId>, VecDeque<Arc<Event>>>,
    stored: usize,
    capacity: usize,
    /// Who had the most events when that was looked at last.
    largest: Option<WorkloadId>,
}

impl Events {
    pub(super) fn new(capacity: usize) -> Self {
        Self { newest: HashMap::new(), stored: 0, capacity, largest: None }
    }

    pub(super) fn push(&mut self, event: &Arc<Event>) {
        if self.capacity == 0 {
            return;
        }
        let owner = owner(event);
        if self.stored >= self.capacity {
            self.make_room(owner);
        }
        self.newest.entry(owner).or_default().push_back(Arc::clone(event));
        self.stored += 1;
    }

    /// Lets the oldest event go of whom the new one is, if that one has its share, else of whoever has the most.
    fn make_room(&mut self, owner: Option<WorkloadId>) {
        let share = self.capacity / (self.newest.len() + 1);
        let count = |owner: &Option<WorkloadId>| self.newest.get(owner).map_or(0, VecDeque::len);
        let from = if count(&owner) > share {
            owner
        } else {
            if count(&self.largest) <= share {
                let largest = self.newest.iter().max_by_key(|(_, events)| events.len());
                self.largest = largest.map_or(owner, |(owner, _)| *owner);
            }
            self.largest
        };
        let Some(events) = self.newest.get_mut(&from) else { return };
        events.pop_front();
        self.stored -= 1;
        if events.is_empty() {
            self.newest.remove(&from);
        }
    }

    /// Puts an event in the place of the one with its number, if that is still kept.
    pub(super) fn amend(&mut self, event: Arc<Event>) {
        let Some(events) = self.newest.get_mut(&owner(&event)) else { return };
        // They come in the order of their numbers.
        if let Ok(place) = events.binary_search_by_key(&event.sequence, |event| event.sequence) {
            events[place] = event;
        }
    }

    /// Gives that workload's events its names.
    pub(super) fn complete(&mut self, workload: &Arc<Workload>) {
        for event in self.newest.get_mut(&Some(workload.id)).into_iter().flatten() {
            *event = Arc::new(Event { workload: Some(Arc::clone(workload)), ..(**event).clone() });
        }
    }

    /// The newest `last` of those that pass, oldest first.
    pub(super) fn last(&self, last: usize, filters: &Filters) -> Vec<Arc<Event>> {
        if last == 0 {
            return Vec::new();
        }
        let passing = |events| newest_passing(events, last, filters);
        let mut newest: Vec<_> = self.newest.values().flat_map(passing).cloned().collect();
        newest.sort_unstable_by_key(|event| event.sequence);
        newest.split_off(newest.len().saturating_sub(last))
    }

    pub(super) fn len(&self) -> usize {
        self.stored
    }

    pub(super) fn oldest(&self) -> Option<WallTime> {
        let oldest = self.newest.values().filter_map(VecDeque::front).min_by_key(|event| event.sequence);
        oldest.map(|event| event.time)
    }
}

fn owner(event: &Event) -> Option<WorkloadId> {
    event.workload.as_ref().map(|workload| workload.id)
}

fn newest_passing<'a>(
    events: &'a VecDeque<Arc<Event>>,
    last: usize,
    filters: &'a Filters,
) -> impl Iterator<Item = &'a Arc<Event>> {
    events.iter().rev().filter(|event| filters.event(event)).take(last)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Counters;
    use crate::event::examples::{close, event, pod, tcp};

    fn history(capacity: usize, owners: &[(u64, u64)]) -> Events {
        let mut events = Events::new(capacity);
        let mut sequence = 0;
        for &(owner, count) in owners {
            let workload = pod(owner, "shop", &format!("pod-{owner}"));
            for _ in 0..count {
                sequence += 1;
                let detail = close(&tcp(sequence, true, "10.0.0.2:80", None), Counters::default());
                events.push(&Arc::new(Event { sequence, ..event(&workload, sequence, detail) }));
            }
        }
        events
    }

    fn numbers(events: &Events, last: usize) -> Vec<u64> {
        events.last(last, &Filters::default()).iter().map(|event| event.sequence).collect()
    }

    #[test]
    fn one_alone_has_all_the_room() {
        let events = history(4, &[(1, 6)]);
        assert_eq!((numbers(&events, 9), events.len()), (vec![3, 4, 5, 6], 4));
        assert_eq!(numbers(&events, 2), [5, 6]);
        assert_eq!((numbers(&history(0, &[(1, 6)]), 9).len(), history(0, &[(1, 6)]).len()), (0, 0));
    }

    #[test]
    fn a_flood_leaves_the_others_their_share() {
        let events = history(12, &[(1, 3), (2, 2), (3, 1000)]);
        let told = numbers(&events, 12);
        assert_eq!(told[..5], [1, 2, 3, 4, 5], "{told:?}");
        assert_eq!((told.len(), told[11]), (12, 1005));
    }

    #[test]
    fn who_comes_late_gets_a_share() {
        let events = history(12, &[(1, 1000), (2, 6), (3, 6)]);
        let of = |owner: u64| {
            let passes = |event: &&Arc<Event>| {
                event.workload.as_ref().is_some_and(|workload| workload.pod == format!("pod-{owner}"))
            };
            events.last(12, &Filters::default()).iter().filter(passes).count()
        };
        assert_eq!((of(1) + of(2) + of(3), events.len()), (12, 12));
        assert!(of(1) >= 3 && of(2) >= 3 && of(3) >= 3, "{:?}", (of(1), of(2), of(3)));
    }
}
