//! Tests of points: histograms, what came since the last time, bounds.

use super::points::Points;
use super::since::Since;
use super::*;
use crate::aggregate::Histogram;
use crate::export::metrics::distribution::Distribution;
use crate::export::metrics::table::Value;

fn distribution(values: &[u64]) -> Distribution {
    let mut window = Histogram::default();
    for value in values {
        window.record(*value);
    }
    let mut all = Distribution::default();
    all.add(&window);
    all
}

fn of(kind: impl Fn(Kind) -> bool) -> &'static Metric {
    metrics().find(|metric| kind(metric.kind)).unwrap()
}

fn histogram(durations: &Distribution, since: Option<&mut Since>) -> ExponentialHistogramDataPoint {
    let metric = of(|kind| matches!(kind, Kind::Histogram { .. }));
    let mut points = Points::new(metric, WallTime(9), &"node".into());
    points.own(&[], Value::Durations(durations), WallTime(5), since);
    match points.parts(100).pop() {
        Some(Part::Durations(mut points)) => points.pop().unwrap(),
        _ => panic!(),
    }
}

#[test]
fn histograms_are_the_same_in_seconds() {
    let values = [0, 1_000, 1_500_000, 1_500_000, 2_000_000_000];
    let point = histogram(&distribution(&values), None);
    assert_eq!((point.count, point.zero_count, point.scale), (5, 1, 5));
    assert_eq!((point.min, point.max), (Some(0.0), Some(2.0)));
    assert!((point.sum.unwrap() - 2.003_001).abs() < 1e-9);
    let buckets = point.positive.unwrap();
    assert_eq!(buckets.bucket_counts.iter().sum::<u64>(), 4);
    // Each value is within its bucket, by OpenTelemetry's definition.
    let base = (2.0_f64).powf(1.0 / 32.0);
    for value in &values[1..] {
        let seconds = *value as f64 / 1e9;
        let within =
            |index: i32| base.powi(index) < seconds && seconds <= base.powi(index + 1) * (1.0 + 1e-12);
        let found = (buckets.offset..).zip(&buckets.bucket_counts).find(|(index, _)| within(*index));
        assert!(found.is_some_and(|(_, count)| *count > 0), "{value}");
    }
}

#[test]
fn what_came_since_the_last_time() {
    let mut since = Since::default();
    let first = histogram(&distribution(&[1_000]), Some(&mut since));
    assert_eq!((first.count, first.start_time_unix_nano, first.max.is_some()), (1, 5, true));
    since.sent(WallTime(7));
    let mut both = distribution(&[1_000]);
    both.add(&{
        let mut window = Histogram::default();
        window.record(5_000);
        window
    });
    let second = histogram(&both, Some(&mut since));
    assert_eq!((second.count, second.start_time_unix_nano, second.max), (1, 7, None));
    assert_eq!(second.positive.unwrap().bucket_counts, [1]);
    let key = || ("a", String::new());
    assert_eq!(since.count(key(), 5), 5);
    since.sent(WallTime(8));
    assert_eq!(since.count(key(), 8), 3);
    since.sent(WallTime(9));
    // It began anew.
    assert_eq!(since.count(key(), 2), 2);
}

#[test]
fn requests_are_bounded_and_name_all() {
    let start = WallTime(1);
    let mut metrics = Metrics::new(&Settings::default(), Temporality::Cumulative, &"node".into(), start);
    metrics.add(&Window::default(), Now::default());
    let requests = metrics.requests(None, WallTime(3));
    let points: u64 = requests.iter().map(|(_, points)| points).sum();
    assert!(points > 0 && requests.iter().all(|(_, points)| *points <= MOST_POINTS as u64));
    let told = &requests[0].0.resource_metrics[0].scope_metrics[0].metrics;
    assert!(told.iter().all(|metric| !metric.name.is_empty() && !metric.unit.is_empty()));
}
