//! A histogram that goes on for as long as its series does: counts of 64 bits, and only the buckets that hold something.

use std::collections::BTreeMap;

use crate::aggregate::Histogram;

/// Buckets for each doubling, as the domain's histogram has them.
const PER_DOUBLING: i32 = 1 << Histogram::scale();

/// Durations since the series began. The buckets are OpenTelemetry's at the domain's scale, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    count: u64,
    sum_ns: u128,
    min_ns: u64,
    max_ns: u64,
    zero_count: u64,
    buckets: BTreeMap<i32, u64>,
}

impl Distribution {
    /// Adds a window's values.
    pub(crate) fn add(&mut self, window: &Histogram) {
        if window.count() == 0 {
            return;
        }
        self.min_ns = if self.count == 0 { window.min() } else { self.min_ns.min(window.min()) };
        self.max_ns = self.max_ns.max(window.max());
        self.count += window.count();
        self.sum_ns += u128::from(window.sum());
        self.zero_count += window.zero_count();
        for (index, count) in (window.offset()..).zip(window.buckets()) {
            if *count > 0 {
                *self.buckets.entry(index).or_default() += u64::from(*count);
            }
        }
    }

    /// How many values there are, and how large, without the buckets that they are in.
    pub(crate) fn without_buckets(&self) -> Self {
        Self { buckets: BTreeMap::new(), ..*self }
    }

    /// How many values.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all values.
    pub(crate) const fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// The smallest value; 0 without values.
    pub(crate) const fn min_ns(&self) -> u64 {
        self.min_ns
    }

    /// The largest value; 0 without values.
    pub(crate) const fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// How many values were 0, which is in no bucket.
    pub(crate) const fn zero_count(&self) -> u64 {
        self.zero_count
    }

    /// The buckets that hold something, by OpenTelemetry's index.
    pub(crate) const fn buckets(&self) -> &BTreeMap<i32, u64> {
        &self.buckets
    }

    /// How many values are in each of the buckets that end at these powers of 2 of a second, and not in the one before; last
    /// those above all of them. Exact, since each of these powers is a bound of ours.
    pub(crate) fn between(&self, powers: impl Iterator<Item = i32>) -> Vec<u64> {
        let mut counts = Vec::new();
        let (mut from, mut zero) = (i32::MIN, self.zero_count);
        for power in powers {
            // The bucket i ends at base^(i + 1).
            let until = power * PER_DOUBLING;
            counts.push(self.buckets.range(from..until).map(|(_, count)| count).sum::<u64>() + zero);
            (from, zero) = (until, 0);
        }
        counts.push(self.buckets.range(from..).map(|(_, count)| count).sum::<u64>() + zero);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_add_up_and_bounds_are_exact() {
        let mut all = Distribution::default();
        let mut window = Histogram::default();
        for value in [0, 1, 500_000_000, 500_000_001, 1_000_000_000, 1_000_000_001, 70_000_000_000] {
            window.record(value);
        }
        all.add(&window);
        all.add(&Histogram::default());
        all.add(&window);
        assert_eq!((all.count(), all.min_ns(), all.max_ns(), all.zero_count()), (14, 0, 70_000_000_000, 2));
        assert_eq!(all.sum_ns(), 2 * 73_000_000_003);
        // Up to half a second, up to a second, up to two, above.
        assert_eq!(all.between(-1..=1), [6, 4, 2, 2]);
        assert_eq!(all.between(-1..=1).iter().sum::<u64>(), all.count());
    }
}
