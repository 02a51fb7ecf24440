//! What came since the last time, for receivers that want it so.

use std::collections::HashMap;

use crate::event::WallTime;
use crate::export::metrics::distribution::Distribution;

/// Names a figure: its metric, and the values of all of its labels.
pub(super) type Key = (&'static str, String);

/// What was sent last.
#[derive(Debug, Default)]
pub(super) struct Since {
    time: Option<WallTime>,
    before: HashMap<Key, Sent>,
    now: HashMap<Key, Sent>,
}

#[derive(Clone, Debug)]
enum Sent {
    Count(u64),
    Seconds(f64),
    Durations(Box<Distribution>),
}

impl Since {
    /// When figures were sent last, or when this one's series began, if that was later.
    pub(super) fn start(&self, series: WallTime) -> WallTime {
        self.time.map_or(series, |time| time.max(series))
    }

    /// How much a counter grew.
    pub(super) fn count(&mut self, key: Key, count: u64) -> u64 {
        let before = match self.before.get(&key) {
            // A series that began anew is smaller.
            Some(Sent::Count(before)) if *before <= count => *before,
            _ => 0,
        };
        self.now.insert(key, Sent::Count(count));
        count - before
    }

    /// The same of seconds.
    pub(super) fn seconds(&mut self, key: Key, seconds: f64) -> f64 {
        let before = match self.before.get(&key) {
            Some(Sent::Seconds(before)) if *before <= seconds => *before,
            _ => 0.0,
        };
        self.now.insert(key, Sent::Seconds(seconds));
        seconds - before
    }

    /// What a distribution was then; an empty one where it is new.
    pub(super) fn durations(&mut self, key: Key, durations: &Distribution) -> Distribution {
        let before = match self.before.get(&key) {
            Some(Sent::Durations(before)) if before.count() <= durations.count() => before.as_ref().clone(),
            _ => Distribution::default(),
        };
        self.now.insert(key, Sent::Durations(Box::new(durations.clone())));
        before
    }

    /// All figures were taken. What was not among them is gone.
    pub(super) fn sent(&mut self, now: WallTime) {
        self.time = Some(now);
        self.before = std::mem::take(&mut self.now);
    }
}
