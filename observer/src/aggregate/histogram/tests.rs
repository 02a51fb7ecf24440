//! Buckets, quantiles and sums.

use super::*;

fn of(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::default();
    for value in values {
        histogram.record(*value);
    }
    histogram
}

/// Values over many magnitudes, always the same (a linear congruence).
fn values(seed: u64, count: usize) -> Vec<u64> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) >> (state % 28)
        })
        .collect()
}

#[test]
fn boundaries_belong_to_the_lower_bucket() {
    assert_eq!(bucket_of(0), None);
    assert_eq!(bucket_of(1), Some(-957));
    // Parts of a second, and seconds, by powers of 2, as far as they are whole nanoseconds.
    for power in -9..34 {
        let bound = if power < 0 { 1_000_000_000 >> -power } else { 1_000_000_000_u64 << power };
        assert_eq!(bucket_of(bound), Some(power * 32 - 1), "2^{power} s");
        assert_eq!(bucket_of(bound + 1), Some(power * 32), "2^{power} s and 1 ns");
    }
    assert_eq!(bucket_of(u64::MAX), Some(34 * 32 + 3));
}

#[test]
fn every_value_is_within_its_bucket() {
    for value in values(7, 10_000).into_iter().filter(|value| *value > 0) {
        let index = f64::from(bucket_of(value).unwrap());
        let (low, high) = (1e9 * (index / 32.0).exp2(), 1e9 * ((index + 1.0) / 32.0).exp2());
        let value = value as f64;
        assert!(value > low * (1.0 - 1e-12) && value <= high * (1.0 + 1e-12), "{low} {value} {high}");
    }
}

#[test]
fn quantiles_are_within_half_a_bucket() {
    for seed in 1..20 {
        let mut sorted: Vec<u64> = values(seed, 1_000).iter().map(|value| value + 1_000).collect();
        let histogram = of(&sorted);
        sorted.sort_unstable();
        for q in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let exact = sorted[((q * 1_000.0_f64).ceil() as usize).max(1) - 1] as f64;
            let told = histogram.quantile(q).unwrap() as f64;
            assert!((told / exact - 1.0).abs() < 0.011, "seed {seed} q {q}: {told} for {exact}");
        }
    }
}

#[test]
fn merging_equals_recording_everything() {
    for seed in 1..20 {
        let (a, b) = (values(seed, 300), values(seed * 77, 20));
        let mut merged = of(&a);
        merged.merge(&of(&b));
        assert_eq!(merged, of(&[a.clone(), b.clone()].concat()));
        let mut into_empty = Histogram::default();
        into_empty.merge(&merged);
        into_empty.merge(&Histogram::default());
        assert_eq!(into_empty, merged);
    }
}

#[test]
fn what_is_above_a_value_is_in_higher_buckets() {
    let histogram = of(&[0, 10, 10, 500, 1_000, 70_000]);
    assert_eq!([0, 5, 10, 600, 70_000].map(|value| histogram.above(value)), [5, 5, 3, 2, 0]);
}

#[test]
fn figures_that_do_not_fit_together_are_none() {
    let of = |figures, buckets: &[u32]| Histogram::told(figures, 10, buckets.to_vec());
    assert_eq!(of([3, 9, 2, 5, 1], &[1, 1]).count(), 3);
    for bad in [
        of([3, 9, 5, 2, 1], &[1, 1]),
        of([3, 9, 2, 5, 4], &[]),
        of([3, 9, 2, 5, u64::MAX], &[1, 1]),
        of([3, 9, 2, 5, 0], &[1]),
    ] {
        assert_eq!((bad.count(), bad.quantile(0.5), bad.above(1)), (0, None, 0));
    }
    let mut most = of([u64::MAX, 1, 1, 1, u64::MAX], &[]);
    most.merge(&most.clone());
    assert_eq!((most.count(), most.above(1)), (u64::MAX, 0));
}

#[test]
fn zeros_and_extremes_are_exact() {
    let histogram = of(&[0, 0, 5, u64::MAX]);
    assert_eq!((histogram.count(), histogram.zero_count()), (4, 2));
    assert_eq!((histogram.min(), histogram.max(), histogram.sum()), (0, u64::MAX, u64::MAX));
    assert_eq!((histogram.quantile(0.5), histogram.quantile(1.0)), (Some(0), Some(u64::MAX)));
    assert_eq!(of(&[42]).quantile(0.5), Some(42));
    assert_eq!(Histogram::default().quantile(0.5), None);
}
