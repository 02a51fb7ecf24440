//! Windows of several nodes, put together: those that are of the same time, as far as waiting for them is bounded.

mod ends;
mod together;
mod told;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::ends::{Ends, Overlaps};
pub(super) use self::together::{Next, NodeWindow, Together};
pub(super) use self::told::Told;
use super::merge::NodeNumber;

/// A node whose past does not go on is not waited for any longer than that.
pub(super) const BEHIND: Duration = Duration::from_secs(5);
/// What is recorded is kept in windows of that length.
const RECORDED_NS: i128 = 10_000_000_000;

/// What has come and was not taken yet.
///
/// Windows of one time are those whose starts are in the same slot: as long as a window is, and counted from the first one's
/// start. What is recorded has slots of its own, as no recorded window is shorter than ten seconds.
#[derive(Debug)]
pub(super) struct Windows {
    length: i128,
    /// How long after the first one of a time the others are waited for.
    grace: Duration,
    /// What is told of a time is told once, for all nodes: what comes late is left out.
    once: bool,
    /// The start of the first window that came, by the relay's clock in nanoseconds.
    anchor: Option<i128>,
    /// By their slots' starts.
    held: BTreeMap<i128, Slot>,
    /// What came too late for its slot.
    late: VecDeque<(NodeNumber, NodeWindow)>,
    /// Who tells windows.
    telling: BTreeMap<NodeNumber, Teller>,
    /// The newest slot that was taken.
    taken: Option<i128>,
    /// One that the first slot waits for: who else it waits for is looked at when that one has come.
    waited_for: Option<NodeNumber>,
}

/// Windows of the same time.
#[derive(Debug)]
struct Slot {
    /// When the first one came.
    first: Instant,
    /// All of them are of the past: who tells what happens now is not waited for.
    past: bool,
    windows: BTreeMap<NodeNumber, Vec<NodeWindow>>,
}

/// Who tells windows.
#[derive(Debug)]
struct Teller {
    tells: Tells,
    /// The slot of its last window.
    reached: Option<i128>,
    /// Since when its past is waited for.
    wanted: Option<Instant>,
}

/// What a node tells.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tells {
    /// The past: it is waited for as long as it goes on.
    Past,
    /// The past, which did not go on: it is not waited for.
    Late,
    /// What happens: it is waited for a while.
    Now,
}

impl Windows {
    /// Windows of that length.
    pub(super) fn new(length: Duration, grace: Duration, once: bool) -> Self {
        Self {
            length: nanos(length).max(1),
            grace,
            once,
            anchor: None,
            held: BTreeMap::new(),
            late: VecDeque::new(),
            telling: BTreeMap::new(),
            taken: None,
            waited_for: None,
        }
    }

    /// A node is asked, of its past first or not.
    pub(super) fn expect(&mut self, node: NodeNumber, past: bool) {
        let tells = if past { Tells::Past } else { Tells::Now };
        self.telling.insert(node, Teller { tells, reached: None, wanted: None });
    }

    /// A node tells windows from now on.
    pub(super) fn tells(&mut self, node: NodeNumber) {
        let new = Teller { tells: Tells::Now, reached: None, wanted: None };
        self.telling.entry(node).or_insert(new).wanted = None;
    }

    /// It does not any more.
    pub(super) fn leave(&mut self, node: NodeNumber) {
        self.telling.remove(&node);
    }

    /// For so long nothing could be told: nobody is late by that.
    pub(super) fn stood_still(&mut self, time: Duration) {
        self.held.values_mut().for_each(|slot| slot.first += time);
        self.telling.values_mut().filter_map(|node| node.wanted.as_mut()).for_each(|since| *since += time);
    }

    /// Takes a window in. `start` is its start, and `wall` is now, by the relay's clock.
    pub(super) fn add(
        &mut self,
        node: NodeNumber,
        start: i128,
        window: NodeWindow,
        wall: i128,
        now: Instant,
    ) {
        let (own, grace) = (i128::from(window.end.window_ns), nanos(self.grace));
        let is_old = start + own + grace < wall;
        let (past, reached) = match self.telling.get_mut(&node) {
            Some(teller) => {
                teller.wanted = None;
                if !is_old {
                    teller.tells = Tells::Now;
                }
                (teller.tells != Tells::Now, teller.reached)
            }
            None => (is_old, None),
        };
        // No window has ended in times to come: a clock is wrong, and harms nobody else's windows.
        let slot = self.slot(start.min(wall + grace - own), past, reached);
        if self.taken.is_some_and(|taken| taken > wall + 2 * grace) {
            // This machine's clock was set back.
            self.taken = None;
        }
        if let Some(teller) = self.telling.get_mut(&node) {
            teller.reached = Some(slot);
        }
        if self.taken.is_some_and(|taken| slot <= taken) {
            self.late.push_back((node, window));
            return;
        }
        let new = || Slot { first: now, past: true, windows: BTreeMap::new() };
        let held = self.held.entry(slot).or_insert_with(new);
        held.past &= past;
        let of_node = held.windows.entry(node).or_default();
        if self.once {
            self.late.extend(of_node.drain(..).map(|window| (node, window)));
        }
        of_node.push(window);
    }

    /// The slot that a window is in: the nearest, as nodes begin their windows at any time. Where a node's windows begin just
    /// between two, they stay on one side.
    fn slot(&mut self, start: i128, past: bool, reached: Option<i128>) -> i128 {
        let anchor = *self.anchor.get_or_insert(start);
        let length = if past { whole(self.length, RECORDED_NS) } else { self.length };
        let next = reached.map(|reached| reached + length).filter(|next| (next - anchor) % length == 0);
        match next {
            Some(next) if (start - next).abs() <= length / 2 + length / 20 => next,
            Some(_) | None => anchor + (start - anchor + length / 2).div_euclid(length) * length,
        }
    }

    /// Until when is waited for what the first slot lacks.
    pub(super) fn due(&self) -> Option<Instant> {
        let (_, slot) = self.held.first_key_value()?;
        let teller = self.telling.get(&self.waited_for?)?;
        match teller.tells {
            Tells::Past => teller.wanted.map(|since| since + BEHIND),
            Tells::Late | Tells::Now => Some(slot.first + self.grace),
        }
    }

    /// Those whose past has not gone on for long enough: they are not waited for any more.
    pub(super) fn fall_behind(&mut self, now: Instant) -> Vec<NodeNumber> {
        let is_due = self.due().is_some_and(|due| due <= now);
        let Some((&first, _)) = self.held.first_key_value().filter(|_| is_due) else { return Vec::new() };
        let late = self.telling.iter_mut().filter(|(_, teller)| {
            let wanted = teller.wanted.is_some_and(|since| since + BEHIND <= now);
            wanted && teller.tells == Tells::Past && teller.reached < Some(first)
        });
        late.map(|(number, teller)| {
            teller.tells = Tells::Late;
            *number
        })
        .collect()
    }

    /// Those of the earliest time, once all are there or were waited for long enough; before that, what came late.
    pub(super) fn next(&mut self, now: Instant) -> Option<Next> {
        if let Some(late) = self.next_late() {
            return Some(late);
        }
        let (&first, slot) = self.held.first_key_value()?;
        let is_now = |teller: &Teller| teller.tells == Tells::Now && slot.waits(self.grace, now);
        let is_waited_for =
            |teller: &Teller| teller.reached < Some(first) && (teller.tells == Tells::Past || is_now(teller));
        let still = self.waited_for.and_then(|number| self.telling.get(&number)).is_some_and(is_waited_for);
        if !still {
            self.waited_for = self.telling.iter().find(|(_, one)| is_waited_for(one)).map(|(node, _)| *node);
            let past = self.telling.values_mut();
            for teller in past.filter(|one| one.tells == Tells::Past && one.reached < Some(first)) {
                teller.wanted.get_or_insert(now);
            }
        }
        if self.waited_for.is_some() { None } else { self.take() }
    }

    /// What is next, as it is.
    pub(super) fn rest(&mut self) -> Option<Next> {
        self.next_late().or_else(|| self.take())
    }

    fn next_late(&mut self) -> Option<Next> {
        let (node, window) = self.late.pop_front()?;
        let alone = |window| Next::Together(Together::of(BTreeMap::from([(node, vec![window])]), Vec::new()));
        Some(if self.once { Next::LeftOut(Box::new(window)) } else { alone(window) })
    }

    fn take(&mut self) -> Option<Next> {
        let (first, Slot { past, windows, .. }) = self.held.pop_first()?;
        self.taken = self.taken.max(Some(first));
        self.waited_for = None;
        let lacks = |teller: &Teller| !past && teller.tells == Tells::Now && teller.reached < Some(first);
        let without =
            self.telling.iter().filter(|(_, teller)| lacks(teller)).map(|(node, _)| *node).collect();
        Some(Next::Together(Together::of(windows, without)))
    }
}

impl Slot {
    /// Whether who tells what happens is still waited for.
    fn waits(&self, grace: Duration, now: Instant) -> bool {
        !self.past && self.first + grace > now
    }
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

/// The least multiple of `of` that is not below a length.
const fn whole(length: i128, of: i128) -> i128 {
    (length + of - 1) / of * of
}

#[cfg(test)]
mod tests;
