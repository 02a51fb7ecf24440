//! Figures of many rounds as a few: the one in the middle, and how far the others are from it.

use serde::{Deserialize, Serialize};

/// Where the values of many rounds lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) p25: f64,
    pub(crate) median: f64,
    pub(crate) p75: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of these values, with so many decimals; all 0 where there are none.
    pub(crate) fn of(values: &[f64], decimals: i32) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| round(between(&sorted, part), decimals);
        Self { least: at(0.0), p25: at(0.25), median: at(0.5), p75: at(0.75), most: at(1.0) }
    }
}

/// The value at a part of the way from the least to the most, between two of them if it lies there.
fn between(sorted: &[f64], part: f64) -> f64 {
    let place = (sorted.len().saturating_sub(1)) as f64 * part;
    let value = |index: f64| sorted.get(index as usize).copied().unwrap_or(0.0);
    let (low, high) = (value(place.floor()), value(place.ceil()));
    low + (high - low) * place.fract()
}

/// With so many decimals: what is beyond is noise, and would show in every comparison of two results.
pub(crate) fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    let rounded = (value * scale).round() / scale;
    // No negative zero.
    if rounded == 0.0 { 0.0 } else { rounded }
}

/// The median alone.
pub(crate) fn median(values: &[f64], decimals: i32) -> f64 {
    Spread::of(values, decimals).median
}

/// Mebibytes with one decimal.
pub(crate) fn mib(bytes: u64) -> f64 {
    round(bytes as f64 / f64::from(1 << 20), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_number_of_values_has_its_median_between_two() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0], 2);
        assert_eq!((spread.least, spread.p25, spread.median, spread.most), (1.0, 1.75, 2.5, 4.0));
    }

    #[test]
    fn one_value_is_all_of_them_and_none_is_zero() {
        let one = Spread::of(&[1.234], 1);
        assert_eq!((one.least, one.median, one.most), (1.2, 1.2, 1.2));
        assert_eq!(Spread::of(&[], 1), Spread::default());
    }
}
