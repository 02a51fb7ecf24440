//! How often chance alone makes as large a difference: the windows of both sides are dealt to the two sides anew, many
//! times, and the largest difference of any figure is looked at each time.
//!
//! That is a permutation test with the maximum statistic of Westfall and Young (1993): where nothing changed, an edge has any
//! figure called different in at most one case of twenty, however many figures it has and however they go together.

use super::figures::{COUNT, Figure, Sums};

/// So often the windows are dealt at first.
pub(super) const DEALS: usize = 1_000;
/// Always the same, so that the same windows give the same verdicts.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// The most that waves take off a difference: one wave as long as ten windows.
const LONGEST_WAVE: f64 = 0.82;

/// The windows of both sides, of one edge or workload: A's and then B's.
#[derive(Debug)]
pub(super) struct Dealt<'a> {
    windows: &'a [Sums],
    /// So many are A's.
    first: usize,
}

impl<'a> Dealt<'a> {
    pub(super) const fn new(windows: &'a [Sums], first: usize) -> Self {
        Self { windows, first }
    }

    /// Deals so often, and tells for each figure how often chance makes as large a difference, in any figure; `None` where it cannot be told.
    pub(super) fn chances(&self, count: usize) -> [Option<f64>; COUNT] {
        let (windows, first) = (self.windows, self.first);
        if first == 0 || first == windows.len() {
            return [None; COUNT];
        }
        let mut whole = Sums::default();
        for window in windows {
            whole.add(window);
        }
        let mut places: Vec<usize> = (0..windows.len()).collect();
        let seen = differences(windows, &places[..first], &whole);
        let mut random = Random(SEED);
        let deals: Vec<[f64; COUNT]> = (0..count)
            .map(|_| {
                random.deal(&mut places, first);
                differences(windows, &places[..first], &whole)
            })
            .collect();
        let mut spread = [0.0; COUNT];
        for deal in &deals {
            for (sum, difference) in spread.iter_mut().zip(deal) {
                *sum += difference * difference / count as f64;
            }
        }
        // Each in units of its own spread, so that they can be compared.
        let scaled = |difference: f64, index: usize| {
            let spread: f64 = spread[index];
            if spread > 0.0 { difference.abs() / spread.sqrt() } else { 0.0 }
        };
        let most: Vec<f64> = deals
            .iter()
            .map(|deal| (0..COUNT).map(|index| scaled(deal[index], index)).fold(0.0, f64::max))
            .collect();
        let mut chances = [None; COUNT];
        for (index, figure) in Figure::ALL.into_iter().enumerate() {
            let waves = if figure.comes_in_waves() { self.waves(index) } else { 1.0 };
            let own = scaled(seen[index], index) * waves;
            // A deal that is as large but for the last bit is as large.
            let as_large = most.iter().filter(|most| **most >= own * (1.0 - 1e-9)).count();
            chances[index] = (spread[index] > 0.0).then(|| (as_large + 1) as f64 / (count + 1) as f64);
        }
        chances
    }

    /// What is left of a difference where a window is much as the one before: then there are fewer of them than it seems.
    /// That is `sqrt((1 - r) / (1 + r))`, with the correlation `r` of neighbours on either side.
    fn waves(&self, index: usize) -> f64 {
        let (mut neighbours, mut all) = (0.0, 0.0);
        for side in [&self.windows[..self.first], &self.windows[self.first..]] {
            let sum =
                |of: fn(&Sums) -> &[f64; COUNT]| side.iter().map(|window| of(window)[index]).sum::<f64>();
            let lower = sum(|window| &window.lower);
            let ratio = if lower > 0.0 { sum(|window| &window.upper) / lower } else { 0.0 };
            let rest = |window: &Sums| window.upper[index] - ratio * window.lower[index];
            neighbours += side.windows(2).map(|pair| rest(&pair[0]) * rest(&pair[1])).sum::<f64>();
            all += side.iter().map(|window| rest(window).powi(2)).sum::<f64>();
        }
        let correlation = if all > 0.0 { (neighbours / all).clamp(0.0, LONGEST_WAVE) } else { 0.0 };
        ((1.0 - correlation) / (1.0 + correlation)).sqrt()
    }
}

/// By how much each figure differs between the windows at these places and the others.
fn differences(windows: &[Sums], places: &[usize], whole: &Sums) -> [f64; COUNT] {
    let mut first = Sums::default();
    for place in places {
        first.add(&windows[*place]);
    }
    let ratio = |upper: f64, lower: f64| if lower > 0.0 { upper / lower } else { 0.0 };
    std::array::from_fn(|index| {
        let (upper, lower) = (first.upper[index], first.lower[index]);
        ratio(whole.upper[index] - upper, whole.lower[index] - lower) - ratio(upper, lower)
    })
}

/// Xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * bound as u128) >> 64) as usize
    }

    /// Brings so many of them to the front by chance.
    fn deal(&mut self, places: &mut [usize], first: usize) {
        for index in 0..first {
            let other = index + self.below(places.len() - index);
            places.swap(index, other);
        }
    }
}
