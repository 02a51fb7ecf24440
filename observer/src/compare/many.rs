//! What is a difference among many edges and workloads: each by itself is called different by chance once in twenty times,
//! which would be a hundred of two thousand.
//!
//! That is the procedure of Benjamini and Hochberg (1995): of those that are called different, one in twenty is so by chance.

use super::chance::DEALS;
use super::judge::{Row, Tested};

/// So many of those that are called different may be so by chance.
const LEVEL: f64 = 0.05;
/// Those are dealt more often that chance makes as different in no more than so many deals.
const RARE: f64 = 3.0;
/// The most deals.
const MOST_DEALS: usize = 100_000;

/// The verdicts on all of them; the windows of each side are that long.
pub(super) fn verdicts(mut all: Vec<Tested>, lengths: &[Vec<f64>; 2], wanted: &dyn Fn() -> bool) -> Vec<Row> {
    let count = all.iter().filter(|tested| tested.may_differ()).count();
    let mut level = level(&chances(&all, lengths), count);
    // Fewer deals cannot tell what is as rare as it has to be among so many.
    let deals = (count * 40).min(MOST_DEALS);
    let rare = (RARE + 1.0) / (DEALS + 1) as f64;
    if deals > DEALS && level < rare {
        for tested in all.iter_mut().filter(|tested| tested.dealt().is_some_and(|chance| chance <= rare)) {
            if wanted() {
                tested.deal(deals, lengths);
            }
        }
        level = self::level(&chances(&all, lengths), count);
    }
    all.into_iter().map(|tested| tested.row(level, lengths)).collect()
}

fn chances(all: &[Tested], lengths: &[Vec<f64>; 2]) -> Vec<f64> {
    let mut chances: Vec<f64> =
        all.iter().filter(|tested| tested.may_differ()).filter_map(|tested| tested.chance(lengths)).collect();
    chances.sort_by(f64::total_cmp);
    chances
}

/// What chance makes in no more than this share of cases is a difference, of so many that were looked at. The chances come
/// in order, the smallest first.
fn level(chances: &[f64], count: usize) -> f64 {
    let most = |place: usize| LEVEL * place as f64 / count as f64;
    let found = (1..).zip(chances).filter(|(place, chance)| **chance <= most(*place)).last();
    found.map_or(0.0, |(place, _)| most(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_are_looked_at_the_rarer_a_difference_has_to_be() {
        let close = |level: f64, expected: f64| assert!((level - expected).abs() < 1e-12, "{level}");
        close(level(&[0.04], 1), 0.05);
        close(level(&[0.04], 2), 0.0);
        close(level(&[0.001, 0.04, 0.9], 10), 0.005);
        // Several that are rare allow for each other.
        close(level(&[0.006, 0.007, 0.008, 0.5], 10), 0.015);
        close(level(&[], 10), 0.0);
    }
}
