//! What came since the last time, for receivers that want it so.

use std::collections::HashMap;

use crate::event::WallTime;
use crate::export::metrics::distribution::Distribution;
use crate::export::metrics::subject::Exemplar;

/// Names a figure: its metric, and the values of all of its labels.
pub(super) type Key = (&'static str, String);

/// What was sent last.
#[derive(Debug, Default)]
pub(super) struct Since {
    time: Option<WallTime>,
    before: HashMap<Key, Sent>,
    now: HashMap<Key, Sent>,
    /// The exemplars that were told of figures; of most there are none.
    exemplars: HashMap<Key, Exemplar>,
}

#[derive(Clone, Debug)]
struct Sent {
    /// When its series began: one that ended and began anew has the same key, and is another one.
    series: WallTime,
    /// When it was sent.
    time: WallTime,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Count(u64),
    Seconds(f64),
    Durations(Box<Distribution>),
}

impl Since {
    /// Since when a figure grew, of a series that began then: since it was sent last, or the series began.
    pub(super) fn start(&self, key: &Key, series: WallTime) -> WallTime {
        let last = self.before.get(key).filter(|sent| sent.series == series).map(|sent| sent.time);
        last.unwrap_or_else(|| self.time.map_or(series, |time| time.max(series)))
    }

    /// Whether an exemplar was not told with that figure the last time. It is from now on.
    pub(super) fn is_news(&mut self, key: &Key, of: &Exemplar) -> bool {
        self.exemplars.insert(key.clone(), of.clone()).as_ref() != Some(of)
    }

    /// How much a counter grew.
    pub(super) fn count(&mut self, key: Key, series: WallTime, count: u64) -> u64 {
        let before = match self.before(&key, series) {
            // What began anew is smaller.
            Some(Value::Count(before)) if *before <= count => *before,
            _ => 0,
        };
        self.keep(key, series, Value::Count(count));
        count - before
    }

    /// The same of seconds.
    pub(super) fn seconds(&mut self, key: Key, series: WallTime, seconds: f64) -> f64 {
        let before = match self.before(&key, series) {
            Some(Value::Seconds(before)) if *before <= seconds => *before,
            _ => 0.0,
        };
        self.keep(key, series, Value::Seconds(seconds));
        seconds - before
    }

    /// What a distribution was then; an empty one where it is new.
    pub(super) fn durations(&mut self, key: Key, series: WallTime, durations: &Distribution) -> Distribution {
        let before = match self.before(&key, series) {
            Some(Value::Durations(before)) if before.count() <= durations.count() => before.as_ref().clone(),
            _ => Distribution::default(),
        };
        self.keep(key, series, Value::Durations(Box::new(durations.clone())));
        before
    }

    /// Figures were taken. Where those were all, what was not among them is gone.
    pub(super) fn sent(&mut self, now: WallTime, all: bool) {
        self.time = Some(now);
        let mut told = std::mem::take(&mut self.now);
        for sent in told.values_mut() {
            sent.time = now;
        }
        if all {
            self.before = told;
            self.exemplars.retain(|key, _| self.before.contains_key(key));
        } else {
            self.before.extend(told);
        }
    }

    fn before(&self, key: &Key, series: WallTime) -> Option<&Value> {
        self.before.get(key).filter(|sent| sent.series == series).map(|sent| &sent.value)
    }

    fn keep(&mut self, key: Key, series: WallTime, value: Value) {
        self.now.insert(key, Sent { series, time: series, value });
    }
}
