//! Tests of points: histograms, what came since the last time, bounds.

use super::points::Points;
use super::since::Since;
use super::*;
use crate::aggregate::Histogram;
use crate::event::{ProcessSummary, TcpSummary, WorkloadSummary, examples};
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

fn requests(
    metrics: &mut Metrics,
    status: Option<Status>,
    now: Now,
) -> Vec<(ExportMetricsServiceRequest, u64)> {
    let mut requests = Vec::new();
    metrics.tell(status, now, |request, points| requests.push((request.clone(), points)));
    requests
}

fn of(kind: impl Fn(Kind) -> bool) -> &'static Metric {
    metrics().find(|metric| kind(metric.kind)).unwrap()
}

fn histogram(durations: &Distribution, since: Option<&mut Since>) -> ExponentialHistogramDataPoint {
    let metric = of(|kind| matches!(kind, Kind::Histogram { .. }));
    let mut points = Points::new(metric, WallTime(9), &"node".into());
    points.own(&[], Value::Durations(durations), WallTime(5), None, since);
    match points.parts(10_000).pop() {
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
    since.sent(WallTime(7), true);
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
    assert_eq!(since.count(key(), WallTime(5), 5), 5);
    since.sent(WallTime(8), true);
    assert_eq!(since.count(key(), WallTime(5), 8), 3);
    since.sent(WallTime(9), true);
    // It began anew, and is smaller.
    assert_eq!(since.count(key(), WallTime(5), 2), 2);
    since.sent(WallTime(10), true);
    // Not all could be told.
    since.sent(WallTime(11), false);
    assert_eq!(since.start(&key(), WallTime(5)), WallTime(10));
    assert_eq!(since.count(key(), WallTime(5), 3), 1);
    since.sent(WallTime(12), true);
    // Another series of that name.
    assert_eq!(since.start(&key(), WallTime(13)), WallTime(13));
    assert_eq!(since.count(key(), WallTime(13), 30), 30);
}

#[test]
fn a_series_that_began_anew_is_not_compared_with_the_one_before() {
    let mut since = Since::default();
    let metric = of(|kind| matches!(kind, Kind::Histogram { .. }));
    for (start, values) in [(5, &[1_000, 1_000, 2_000_000][..]), (20, &[0, 5_000, 9_000, 9_000, 9_000][..])] {
        let mut points = Points::new(metric, WallTime(start + 4), &"node".into());
        points.own(&[], Value::Durations(&distribution(values)), WallTime(start), None, Some(&mut since));
        let Some(Part::Durations(points)) = points.parts(10_000).pop() else { panic!() };
        let buckets = points[0].positive.as_ref().unwrap();
        assert_eq!(points[0].count, values.len() as u64);
        assert_eq!(points[0].count, points[0].zero_count + buckets.bucket_counts.iter().sum::<u64>());
        since.sent(WallTime(start + 4), true);
    }
}

#[test]
fn own_figures_name_the_incident_and_a_delta_does_so_once() {
    let incident = |id: &str, seconds| v1::Incident {
        id: id.to_owned(),
        state: v1::IncidentState::Open.into(),
        open_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..v1::Incident::default()
    };
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let settings = Settings::default();
        let mut metrics = Metrics::new(&settings, temporality, &"node".into(), WallTime(1), usize::MAX);
        let exemplars = |metrics: &mut Metrics, seconds: u64| {
            let now = Now { wall: WallTime(seconds * 1_000_000_000), ..Now::default() };
            let mut ids = Vec::new();
            for (request, _) in requests(metrics, None, now) {
                for metric in &request.resource_metrics[0].scope_metrics[0].metrics {
                    let Some(Data::Sum(sum)) = &metric.data else { continue };
                    let all = sum.data_points.iter().flat_map(|point| &point.exemplars);
                    ids.extend(all.map(|one| format!("{:?}", one.filtered_attributes[0].value)));
                }
            }
            ids
        };
        metrics.incident(&incident("inc-1", 5));
        let first = exemplars(&mut metrics, 10);
        assert!(matches!(first.as_slice(), [one] if one.contains("inc-1")), "{first:?}");
        let again = exemplars(&mut metrics, 20);
        let expected = if temporality == Temporality::Delta { Vec::new() } else { first };
        assert_eq!(again, expected);
        // It was known late.
        metrics.incident(&incident("inc-2", 19));
        let next = exemplars(&mut metrics, 30);
        assert!(matches!(next.as_slice(), [one] if one.contains("inc-2")), "{next:?}");
    }
}

#[test]
fn a_series_ends_once_it_was_sent() {
    let at =
        |second: u64| Now { boot: BootTime(second * 1_000_000_000), wall: WallTime(second * 1_000_000_000) };
    let settings = Settings::default();
    let mut metrics = Metrics::new(&settings, Temporality::Delta, &"node".into(), WallTime(1), usize::MAX);
    let workload = examples::pod(1, "shop", "a-pod");
    let tcp = TcpSummary { opened: 3, ..TcpSummary::default() };
    let summary = WorkloadSummary { workload, tcp, processes: ProcessSummary::default() };
    let workloads = [(summary.workload.id, summary)].into_iter().collect();
    metrics.add(&Window { workloads, ..Window::default() }, at(1));
    let has_pod = |metrics: &mut Metrics, second| {
        format!("{:?}", requests(metrics, None, at(second))).contains("a-pod")
    };
    metrics.list(&[], at(200));
    assert!(has_pod(&mut metrics, 300));
    metrics.list(&[], at(310));
    assert!(!has_pod(&mut metrics, 400));
}

/// What a request's points are of, each with its metric.
fn subjects(request: &ExportMetricsServiceRequest) -> Vec<String> {
    let mut all = Vec::new();
    for metric in &request.resource_metrics[0].scope_metrics[0].metrics {
        assert!(!metric.name.is_empty() && !metric.unit.is_empty());
        let attributes: Vec<_> = match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => sum.data_points.iter().map(|point| &point.attributes).collect(),
            Data::Gauge(gauge) => gauge.data_points.iter().map(|point| &point.attributes).collect(),
            Data::ExponentialHistogram(histogram) => {
                histogram.data_points.iter().map(|point| &point.attributes).collect()
            }
            Data::Histogram(_) | Data::Summary(_) => panic!("{metric:?}"),
        };
        all.extend(attributes.iter().map(|of| format!("{} {of:?}", metric.name)));
    }
    all
}

#[test]
fn thousands_of_series_are_in_requests_that_are_bounded_each_once() {
    const PODS: u64 = 2_000;
    const MOST: usize = 100_000;
    let mut handshakes = Histogram::default();
    handshakes.record(1_000);
    handshakes.record(2_000_000_000);
    let of = |id| {
        let workload = examples::pod(id, "shop", &format!("a-pod-with-some-name-{id}"));
        let tcp = TcpSummary { opened: 1, handshake_latency: handshakes.clone(), ..TcpSummary::default() };
        (workload.id, WorkloadSummary { workload, tcp, processes: ProcessSummary::default() })
    };
    let window = Window { workloads: (1..=PODS).map(of).collect(), ..Window::default() };
    let all = |most, temporality| {
        let settings = Settings { max_series: 100_000, ..Settings::default() };
        let mut metrics = Metrics::new(&settings, temporality, &"node".into(), WallTime(1), most);
        metrics.add(&window, Now::default());
        requests(&mut metrics, None, Now { wall: WallTime(3), ..Now::default() })
    };
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let (requests, whole) = (all(MOST, temporality), all(usize::MAX, temporality));
        assert!(whole.len() == 1 && requests.len() > 10, "{} and {}", whole.len(), requests.len());
        let mut told = Vec::new();
        for (request, points) in &requests {
            // The resource is beside them.
            assert!(request.encoded_len() <= MOST + 500, "{}", request.encoded_len());
            let subjects = subjects(request);
            assert_eq!(subjects.len() as u64, *points);
            told.extend(subjects);
        }
        let mut expected = subjects(&whole[0].0);
        assert!(told.len() > 10 * PODS as usize, "{}", told.len());
        assert_eq!((told.len() as u64, expected.len()), (whole[0].1, told.len()));
        told.sort_unstable();
        expected.sort_unstable();
        assert!(told == expected && told.windows(2).all(|pair| pair[0] != pair[1]));
        let durations = requests.iter().flat_map(|(request, _)| subjects(request));
        let durations = durations.filter(|of| of.starts_with("network.tcp.handshake.duration ")).count();
        assert_eq!(durations as u64, PODS);
    }
}
