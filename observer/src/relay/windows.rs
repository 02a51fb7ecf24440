//! Windows of several nodes, put together: those that are of the same time, as far as waiting for them is bounded.

mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use observer_proto::v1;
use observer_proto::v1::watch_summaries_response::Payload;
use tokio::time::Instant;

pub(super) use self::told::Told;
use super::merge::NodeNumber;

/// A window of one node, complete.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeWindow {
    pub(super) name: Arc<str>,
    pub(super) summaries: Vec<v1::Summary>,
    /// What was lost, and what the recording lacks.
    pub(super) notes: Vec<Payload>,
    pub(super) end: v1::WindowEnd,
}

/// The windows of several nodes that are of the same time.
#[derive(Debug, Default)]
pub(super) struct Together {
    pub(super) windows: Vec<NodeWindow>,
    /// The nodes that were waited for in vain.
    pub(super) without: Vec<NodeNumber>,
}

/// What has come and was not taken yet.
#[derive(Debug)]
pub(super) struct Windows {
    /// How long after the first one of a time the others are waited for.
    grace: Duration,
    /// The start of the first window that came, by the relay's clock in nanoseconds.
    anchor: Option<i128>,
    /// By their time: when the first one came, and what came.
    held: BTreeMap<i128, (Instant, BTreeMap<NodeNumber, NodeWindow>)>,
    /// Who tells windows.
    telling: BTreeSet<NodeNumber>,
    /// The newest time that was taken.
    taken: Option<i128>,
}

impl Windows {
    /// Waits so long.
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, anchor: None, held: BTreeMap::new(), telling: BTreeSet::new(), taken: None }
    }

    /// A node tells windows from now on.
    pub(super) fn expect(&mut self, node: NodeNumber) {
        self.telling.insert(node);
    }

    /// It does not any more.
    pub(super) fn leave(&mut self, node: NodeNumber) {
        self.telling.remove(&node);
    }

    /// Takes a window in. `start` is its start by the relay's clock.
    pub(super) fn add(&mut self, node: NodeNumber, start: i128, window: NodeWindow, now: Instant) {
        let length = i128::from(window.end.window_ns.max(1));
        let anchor = *self.anchor.get_or_insert(start);
        // To the nearest: nodes begin their windows within a second of each other, and some a part of one later.
        let mut time = (start - anchor + length / 2).div_euclid(length);
        // One that comes too late is told with the next ones, rather than not at all.
        if let Some(taken) = self.taken {
            time = time.max(taken + 1);
        }
        while self.held.get(&time).is_some_and(|(_, held)| held.contains_key(&node)) {
            time += 1;
        }
        self.held.entry(time).or_insert_with(|| (now, BTreeMap::new())).1.insert(node, window);
    }

    /// When those of the earliest time are not waited for any longer.
    pub(super) fn due(&self) -> Option<Instant> {
        self.held.first_key_value().map(|(_, (first, _))| *first + self.grace)
    }

    /// Those of the earliest time, once all are there or were waited for long enough.
    pub(super) fn next(&mut self, now: Instant) -> Option<Together> {
        let (first, held) = self.held.first_key_value()?.1;
        let complete = self.telling.iter().all(|node| held.contains_key(node));
        if !complete && *first + self.grace > now { None } else { self.take() }
    }

    /// Those of the earliest time, as they are.
    pub(super) fn take(&mut self) -> Option<Together> {
        let (time, (_, held)) = self.held.pop_first()?;
        self.taken = Some(time);
        let without = self.telling.iter().filter(|node| !held.contains_key(node)).copied().collect();
        Some(Together { windows: held.into_values().collect(), without })
    }
}

impl Together {
    /// The end of the window that they are together.
    pub(super) fn end(&self) -> v1::WindowEnd {
        let ends = || self.windows.iter().map(|window| &window.end);
        let first = ends().filter_map(|end| end.window_start).min_by_key(|time| (time.seconds, time.nanos));
        v1::WindowEnd {
            window_start: first,
            window_ns: ends().map(|end| end.window_ns).max().unwrap_or(0),
            lost_events: ends().map(|end| end.lost_events).sum(),
            folded_events: ends().map(|end| end.folded_events).sum(),
            nodes: u32::try_from(self.windows.len()).unwrap_or(u32::MAX),
            ..v1::WindowEnd::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;

    fn window(length_s: u64) -> NodeWindow {
        let end = v1::WindowEnd { window_ns: length_s * SECOND as u64, ..v1::WindowEnd::default() };
        NodeWindow { end, ..NodeWindow::default() }
    }

    fn counts(together: Option<Together>) -> Option<(usize, Vec<NodeNumber>)> {
        together.map(|together| (together.windows.len(), together.without))
    }

    #[test]
    fn windows_of_one_time_are_told_together() {
        let (mut windows, start) = (Windows::new(Duration::from_secs(2)), Instant::now());
        (0..3).for_each(|node| windows.expect(node));
        windows.add(0, 99 * SECOND / 10, window(10), start);
        windows.add(1, 101 * SECOND / 10, window(10), start);
        assert_eq!(counts(windows.next(start)), None, "one is waited for");
        windows.add(2, 140 * SECOND / 10, window(10), start);
        assert_eq!(counts(windows.next(start)), Some((3, vec![])));
        windows.add(1, 201 * SECOND / 10, window(10), start);
        windows.add(0, 199 * SECOND / 10, window(10), start);
        let late = start + Duration::from_secs(2);
        assert_eq!((windows.due(), counts(windows.next(late))), (Some(late), Some((2, vec![2]))));
        // It comes after all, and is told with the next one.
        windows.add(2, 240 * SECOND / 10, window(10), late);
        (0..2).for_each(|node| windows.add(node, 300 * SECOND / 10, window(10), late));
        assert_eq!(counts(windows.next(late)), Some((3, vec![])));
        windows.leave(2);
        (0..2).for_each(|node| windows.add(node, 400 * SECOND / 10, window(10), late));
        assert_eq!(counts(windows.next(late)), Some((2, vec![])));
    }

    #[test]
    fn nothing_is_told_twice_or_left_out_where_a_clock_steps() {
        let (mut windows, now) = (Windows::new(Duration::ZERO), Instant::now());
        windows.expect(0);
        for start in [100, 110, 90, 100, 5000] {
            windows.add(0, start * SECOND, window(10), now);
        }
        let told = std::iter::from_fn(|| windows.next(now)).map(|together| together.windows.len());
        assert_eq!(told.sum::<usize>(), 5);
    }
}
