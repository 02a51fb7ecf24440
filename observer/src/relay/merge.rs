//! What comes from several nodes, put into the order of time as far as waiting for it is bounded.
//!
//! A node first tells what it has of the past, from which the next thing is waited for, and then what happens. What happens
//! waits so long that what happened before it on other nodes has come as well, if it takes no longer than that.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// So many of what was taken may be remembered.
const SPARED: usize = 1024;

/// Names a node within one stream.
pub(super) type NodeNumber = usize;

/// What has come and was not taken yet.
#[derive(Debug)]
pub(super) struct Merge<T> {
    window: Duration,
    /// By time, and of the same time in the order in which it came.
    held: BTreeMap<(u64, u64), T>,
    /// In the order in which it came; what was taken since may still be here.
    arrivals: VecDeque<(Instant, (u64, u64))>,
    arrived: u64,
    /// Of the nodes that tell of the past the time of what they told last, in order.
    past: BTreeSet<(u64, NodeNumber)>,
    told: HashMap<NodeNumber, u64>,
}

impl<T> Merge<T> {
    /// What happens waits so long for what happened before it.
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            held: BTreeMap::new(),
            arrivals: VecDeque::new(),
            arrived: 0,
            past: BTreeSet::new(),
            told: HashMap::new(),
        }
    }

    /// A node is going to tell of the past: nothing is taken that is later than what it told last.
    pub(super) fn expect(&mut self, node: NodeNumber) {
        self.told.insert(node, 0);
        self.past.insert((0, node));
    }

    /// A node has told all of the past, or is not waited for any longer.
    pub(super) fn caught_up(&mut self, node: NodeNumber) {
        if let Some(told) = self.told.remove(&node) {
            self.past.remove(&(told, node));
        }
    }

    /// Whether a node still tells of the past.
    pub(super) fn expects(&self) -> bool {
        !self.past.is_empty()
    }

    /// Whether that node still tells of the past.
    pub(super) fn expects_of(&self, node: NodeNumber) -> bool {
        self.told.contains_key(&node)
    }

    /// The node of the past that is waited for: the one that is behind all others.
    pub(super) fn behind(&self) -> Option<NodeNumber> {
        self.past.first().map(|(_, node)| *node)
    }

    /// Takes something in, of that time in nanoseconds.
    pub(super) fn add(&mut self, node: NodeNumber, time: u64, what: T, now: Instant) {
        if let Some(told) = self.told.get_mut(&node) {
            let later = time.max(*told);
            self.past.remove(&(*told, node));
            self.past.insert((later, node));
            *told = later;
        }
        self.arrived += 1;
        let place = (time, self.arrived);
        self.held.insert(place, what);
        self.arrivals.push_back((now, place));
        // Each of those that are left pays for one that goes.
        if self.arrivals.len() > 2 * self.held.len() + SPARED {
            self.arrivals.retain(|(_, place)| self.held.contains_key(place));
        }
    }

    /// How much is held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// What is next, if it has waited long enough or nothing earlier can come.
    pub(super) fn next(&mut self, now: Instant) -> Option<T> {
        let &(time, _) = self.held.first_key_value()?.0;
        let told = self.past.first().map(|(told, _)| *told);
        let is_ready = match told {
            Some(told) => time <= told,
            None => self.due()? <= now,
        };
        if is_ready { self.take() } else { None }
    }

    /// When the next thing has waited long enough; `None` where nothing waits for time alone.
    pub(super) fn due(&mut self) -> Option<Instant> {
        if self.expects() {
            return None;
        }
        // What was taken is left here until it is the first.
        while let Some((arrived, place)) = self.arrivals.front() {
            if self.held.contains_key(place) {
                return Some(*arrived + self.window);
            }
            self.arrivals.pop_front();
        }
        None
    }

    /// What is next, however short it has waited.
    pub(super) fn take(&mut self) -> Option<T> {
        let (_, what) = self.held.pop_first()?;
        if self.held.is_empty() {
            self.arrivals.clear();
        }
        Some(what)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);

    #[test]
    fn what_happens_waits_for_what_happened_before_it() {
        let (mut merge, start) = (Merge::new(WINDOW), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        merge.add(0, 20, "later", after(0));
        assert_eq!(merge.next(after(99)), None);
        merge.add(1, 10, "earlier", after(99));
        assert_eq!(merge.due(), Some(after(100)));
        let told = [merge.next(after(100)), merge.next(after(100)), merge.next(after(100))];
        assert_eq!(told, [Some("earlier"), Some("later"), None]);
        merge.add(1, 5, "too late", after(150));
        assert_eq!((merge.next(after(249)), merge.next(after(250))), (None, Some("too late")));
    }

    #[test]
    fn the_past_comes_in_order_however_long_a_node_takes() {
        let (mut merge, start) = (Merge::new(WINDOW), Instant::now());
        let much_later = start + Duration::from_mins(1);
        (0..2).for_each(|node| merge.expect(node));
        merge.add(0, 10, 10, start);
        merge.add(0, 30, 30, start);
        assert_eq!((merge.next(much_later), merge.behind()), (None, Some(1)));
        merge.add(1, 20, 20, much_later);
        assert_eq!(
            [merge.next(much_later), merge.next(much_later), merge.next(much_later)],
            [Some(10), Some(20), None]
        );
        merge.caught_up(1);
        assert_eq!(merge.next(much_later), Some(30));
        assert!(merge.expects());
        merge.caught_up(0);
        assert!(!merge.expects() && merge.len() == 0);
    }

    #[test]
    fn what_was_taken_is_forgotten_while_a_past_goes_on() {
        let (mut merge, start) = (Merge::new(WINDOW), Instant::now());
        (0..2).for_each(|node| merge.expect(node));
        // One node is ahead of the other all the time, so that something is always held.
        merge.add(0, u64::MAX, 0, start);
        for time in 1..100_000 {
            merge.add(1, time, time, start);
            assert_eq!(merge.next(start), Some(time));
            assert!(merge.arrivals.len() <= 2 * (merge.len() + 1) + SPARED);
        }
    }

    proptest! {
        #[test]
        fn of_the_past_all_is_told_in_order(nodes in vec(vec(0..1000_u64, 0..20), 1..6)) {
            let (mut merge, now) = (Merge::new(WINDOW), Instant::now());
            let mut expected: Vec<_> = nodes.iter().flatten().copied().collect();
            expected.sort_unstable();
            (0..nodes.len()).for_each(|node| merge.expect(node));
            let mut told = Vec::new();
            for (node, mut times) in nodes.into_iter().enumerate() {
                times.sort_unstable();
                for time in times {
                    merge.add(node, time, time, now);
                    told.extend(std::iter::from_fn(|| merge.next(now)));
                }
                merge.caught_up(node);
            }
            told.extend(std::iter::from_fn(|| merge.next(now + WINDOW)));
            prop_assert_eq!(told, expected);
        }
    }
}
