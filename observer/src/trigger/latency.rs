//! Whether an edge is slower than it was of late, by robust statistics.
//!
//! Every 10 s the 90th percentile of what was measured is compared with those of the last five minutes: with their median
//! `m` and their median absolute deviation `d = median(|x - m|)`. It is slow where it is more than `factor * m`, more than
//! `m + 6 * 1.4826 * d` and more than `m + floor`. A single one is an accident, two in a row are not.

use crate::aggregate::Histogram;

/// So long one comparison takes, in nanoseconds.
pub(super) const SLICE_NS: u64 = 10_000_000_000;
/// So many of the past are compared with.
const PAST: usize = 30;
/// With fewer of them nothing is usual yet.
const LEAST_PAST: usize = 6;
/// A gap of more slices than these is no row.
const IN_A_ROW: u64 = 3;
/// The deviation that a normal distribution has for a median absolute deviation of 1, six times: what exceeds it is no
/// accident.
const DEVIATIONS: f64 = 6.0 * 1.4826;

/// What makes a value slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// So many times the usual.
    pub(super) factor: u64,
    /// So much more than the usual, in nanoseconds.
    pub(super) floor_ns: u64,
    /// With fewer values a slice says nothing.
    pub(super) least_values: u64,
}

/// Two slices in a row were slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slow {
    /// The 90th percentile of the last one, in nanoseconds.
    pub(super) now_ns: u64,
    /// The median of those before.
    pub(super) usual_ns: u64,
}

/// One measure of one edge.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    slice: u64,
    open: Histogram,
    /// The last ones, in microseconds, in no order: the oldest is at `next` once all places are taken.
    past: Vec<u32>,
    next: usize,
    /// The last slice that was slow.
    slow: Option<u64>,
}

impl Latency {
    /// Takes the values of a second, and tells whether the slice before it, if that is over, is the second slow one.
    pub(super) fn add(&mut self, values: &Histogram, time_ns: u64, bounds: &Bounds) -> Option<Slow> {
        let slice = time_ns / SLICE_NS;
        let slow = if slice == self.slice { None } else { self.finish(bounds) };
        self.slice = slice;
        self.open.merge(values);
        slow
    }

    fn finish(&mut self, bounds: &Bounds) -> Option<Slow> {
        let values = std::mem::take(&mut self.open);
        if values.count() < bounds.least_values {
            return None;
        }
        let now_ns = values.quantile(0.9)?;
        let usual_ns = self.usual(now_ns, bounds);
        self.keep(now_ns);
        let before = self.slow.take();
        let usual_ns = usual_ns?;
        self.slow = Some(self.slice);
        before.filter(|before| self.slice - before <= IN_A_ROW).map(|_| Slow { now_ns, usual_ns })
    }

    /// The usual, where that value is slow.
    fn usual(&self, now_ns: u64, bounds: &Bounds) -> Option<u64> {
        if self.past.len() < LEAST_PAST {
            return None;
        }
        let usual = median(self.past.clone());
        let deviation = median(self.past.iter().map(|value| value.abs_diff(usual)).collect());
        let usual_ns = u64::from(usual) * 1_000;
        let most = (usual_ns as f64 + DEVIATIONS * f64::from(deviation) * 1_000.0) as u64;
        let bound = most.max(usual_ns.saturating_mul(bounds.factor)).max(usual_ns + bounds.floor_ns);
        (now_ns > bound).then_some(usual_ns)
    }

    fn keep(&mut self, value_ns: u64) {
        let value = u32::try_from(value_ns / 1_000).unwrap_or(u32::MAX);
        if self.past.len() < PAST {
            self.past.push(value);
        } else if let Some(place) = self.past.get_mut(self.next) {
            *place = value;
            self.next = (self.next + 1) % PAST;
        }
    }
}

fn median(mut values: Vec<u32>) -> u32 {
    let at = values.len() / 2;
    *values.select_nth_unstable(at).1
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { factor: 3, floor_ns: 5_000_000, least_values: 10 };
    const MS: u64 = 1_000_000;

    fn values(ns: u64, count: u64) -> Histogram {
        let mut values = Histogram::default();
        (0..count).for_each(|_| values.record(ns));
        values
    }

    /// Slices of these lengths in milliseconds; gives those at whose end it fired.
    fn fired(slices: &[u64], count: u64) -> Vec<usize> {
        let mut latency = Latency::default();
        let mut fired = Vec::new();
        for (at, ms) in slices.iter().chain(&[0]).enumerate() {
            let time = (at as u64 + 7) * SLICE_NS;
            if latency.add(&values(ms * MS, count), time, &BOUNDS).is_some() {
                fired.push(at - 1);
            }
        }
        fired
    }

    #[test]
    fn two_slow_slices_in_a_row_are_slow() {
        let usual = [2, 2, 3, 2, 2, 3];
        let with = |rest: &[u64]| fired(&[&usual[..], rest].concat(), 10);
        assert_eq!(with(&[40, 40, 2]), [7]);
        assert_eq!(with(&[40, 2, 40, 2]), [0; 0], "an accident, twice");
        assert_eq!(with(&[7, 7, 7]), [0; 0], "not by the floor");
        assert_eq!(fired(&[2, 2, 2, 40, 40], 10), [0; 0], "too little past");
        assert_eq!(fired(&[2, 2, 3, 2, 2, 3, 40, 40, 40], 9), [0; 0], "too few values");
    }

    #[test]
    fn what_is_always_uneven_is_usual() {
        let uneven: Vec<u64> = (0..40).map(|at| if at % 3 == 0 { 90 } else { 10 }).collect();
        assert_eq!(fired(&uneven, 10), [0; 0]);
        // What lasts becomes usual, too.
        let mut lasting = vec![2; 30];
        lasting.extend([40; 60]);
        let times = fired(&lasting, 10);
        assert_eq!(times.first(), Some(&31));
        assert!(times.last().unwrap() < &50, "{times:?}");
    }
}
