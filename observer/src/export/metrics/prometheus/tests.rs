//! Prometheus' formats, read again.

use std::sync::Arc;

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prost::Message as _;

use super::*;
use crate::aggregate::Histogram as Window1;
use crate::event::{
    BootTime, Now, ProcessSummary, TcpSummary, Workload, WorkloadId, WorkloadKind, WorkloadSummary,
};
use crate::export::metrics::own::Own;
use crate::export::metrics::series::Series;
use crate::export::metrics::settings::Settings;
use observer_proto::v1;

const SECOND: u64 = 1_000_000_000;

fn durations() -> Window1 {
    let mut histogram = Window1::default();
    for value in [0, 100_000, 100_001, 200_000, 3 * SECOND] {
        histogram.record(value);
    }
    histogram
}

/// A pod that failed to connect twice, in an incident, and whose name has all that is to be escaped.
fn source(max_series: usize) -> Source {
    let mut pod = Workload::unknown(WorkloadId(1), WorkloadKind::Pod, 1);
    (pod.namespace, pod.pod) = ("shop".into(), "ca\"r\\t\n".into());
    let tcp = TcpSummary {
        opened: 5,
        failed: 2,
        failures: [("refused", 2)].into(),
        busy_ns: 1_500_000_000,
        handshake_latency: durations(),
        ..TcpSummary::default()
    };
    let told = v1::Workload {
        kind: v1::WorkloadKind::Pod.into(),
        namespace: pod.namespace.clone(),
        pod: pod.pod.clone(),
        ..v1::Workload::default()
    };
    let summary = WorkloadSummary { workload: Arc::new(pod), tcp, processes: ProcessSummary::default() };
    let window = crate::event::Window {
        start: BootTime(SECOND),
        length_ns: SECOND,
        workloads: [(WorkloadId(1), summary)].into_iter().collect(),
        ..crate::event::Window::default()
    };
    let mut series = Series::new(&Settings { max_series, ..Settings::default() });
    series.add(&window, Now { boot: BootTime(2 * SECOND), wall: WallTime(1_002 * SECOND) });
    let firing = v1::Firing {
        kind: v1::TriggerKind::ConnectFailures.into(),
        count: 2,
        workload: Some(told),
        ..v1::Firing::default()
    };
    let incident = v1::Incident {
        id: "node-1".into(),
        state: v1::IncidentState::Open.into(),
        firings: vec![firing],
        ..v1::Incident::default()
    };
    series.incident(&incident);
    let mut own = Own { node_name: "n1".into(), series: series.figures(), ..Own::default() };
    own.incidents.put(&incident);
    Source::Given(Arc::new((series, own)))
}

fn text_of(format: Format) -> String {
    String::from_utf8(encode_from(source(1_000), format, true).unwrap()).unwrap()
}

/// The lines that have this in them.
fn lines<'a>(text: &'a str, with: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.contains(with)).collect()
}

const POD: &str = r#"namespace="shop",workload="ca\"r\\t\n",pod="ca\"r\\t\n""#;

#[test]
fn the_older_text_has_whole_names_and_no_exemplars() {
    let text = text_of(Format::Text);
    assert_eq!(
        lines(&text, "observer_tcp_connection_failures"),
        [
            "# HELP observer_tcp_connection_failures_total Connections that were asked for and failed, by the error.",
            "# TYPE observer_tcp_connection_failures_total counter",
            &format!("observer_tcp_connection_failures_total{{{POD},error_type=\"refused\"}} 2"),
        ]
    );
    assert!(text.contains(&format!("observer_tcp_busy_seconds_total{{{POD}}} 1.5\n")), "{text}");
    assert!(text.contains("# TYPE observer_build_info gauge\nobserver_build_info{version="));
    assert!(!text.contains("# UNIT") && !text.contains("# EOF") && !text.contains("node-1"));
    let buckets = lines(&text, "observer_tcp_handshake_duration_seconds_bucket");
    // From 2^-17 to 2^5, and the rest.
    assert_eq!(buckets.len(), 24);
    let of = |le: &str| {
        let line = buckets.iter().find(|line| line.contains(&format!("le=\"{le}\""))).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    // 122 µs, 244 µs, 2 s, 4 s.
    let counts = ["0.00006103515625", "0.0001220703125", "0.000244140625", "2.0", "4.0", "+Inf"].map(of);
    assert_eq!(counts, [1, 3, 4, 4, 5, 5]);
    assert!(text.contains(&format!("observer_tcp_handshake_duration_seconds_count{{{POD}}} 5\n")));
    assert!(text.contains(&format!("observer_tcp_handshake_duration_seconds_sum{{{POD}}} 3.000400001\n")));
}

#[test]
fn openmetrics_has_units_and_the_incident_as_exemplar() {
    let text = text_of(Format::OpenMetrics);
    assert!(text.ends_with("# EOF\n"));
    assert!(text.contains(
        "# TYPE observer_tcp_busy_seconds counter\n# UNIT observer_tcp_busy_seconds seconds\nobserver_tcp_busy_seconds_total{"
    ));
    let failures = lines(&text, "observer_tcp_connection_failures_total{");
    assert!(failures[0].starts_with(&format!(
        "observer_tcp_connection_failures_total{{{POD},error_type=\"refused\"}} 2 # {{incident_id=\"node-1\"}} 2.0 "
    )), "{failures:?}");
    let opened = lines(&text, "observer_incidents_opened_total{trigger=\"connect_failures\"}");
    assert!(opened[0].contains("} 1 # {incident_id=\"node-1\"} 1.0 "), "{opened:?}");
    assert!(text.contains("# TYPE observer_build info\nobserver_build_info{version="));
}

#[test]
fn native_histograms_are_ours_bucket_by_bucket() {
    let families = |native| {
        let bytes = encode_from(source(1_000), Format::Protobuf, native).unwrap();
        let (mut rest, mut families) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
        }
        families
    };
    let find =
        |families: Vec<MetricFamily>, name: &str| families.into_iter().find(|one| one.name == name).unwrap();
    let family = find(families(true), "observer_tcp_handshake_duration_seconds");
    let told = family.metric[0].histogram.clone().unwrap();
    assert_eq!((told.schema, told.sample_count, told.zero_count, told.bucket.len()), (5, 5, 1, 24));
    // Back to our buckets.
    let (mut index, mut count, mut deltas) = (0, 0, told.positive_delta.iter());
    let mut buckets = Vec::new();
    for span in &told.positive_span {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().unwrap();
            buckets.push((index - 1, count as u32));
            index += 1;
        }
    }
    assert!(deltas.next().is_none());
    let ours = durations();
    let filled: Vec<_> =
        (ours.offset()..).zip(ours.buckets().iter().copied()).filter(|(_, count)| *count > 0).collect();
    assert_eq!(buckets, filled);
    // Each value is above the bound before its bucket, and not above its own.
    let bound = |index: i32| (f64::from(index) / 32.0).exp2();
    assert!(buckets.iter().any(|(index, _)| bound(*index) < 3.0 && 3.0 <= bound(index + 1)));
    assert_eq!(told.start_timestamp.unwrap().seconds, 1_001);
    let plain = find(families(false), "observer_tcp_handshake_duration_seconds");
    assert!(plain.metric[0].histogram.as_ref().unwrap().positive_span.is_empty());
    let failures = find(families(true), "observer_tcp_connection_failures_total");
    let counter = failures.metric[0].counter.clone().unwrap();
    assert_eq!(counter.start_timestamp.unwrap().seconds, 1_001);
    assert_eq!(plain.metric[0].histogram.as_ref().unwrap().start_timestamp.unwrap().seconds, 1_001);
    let own = find(families(true), "observer_windows_total");
    assert_eq!(
        own.metric[0].counter.as_ref().unwrap().start_timestamp.unwrap().seconds,
        0,
        "the daemon's start"
    );
    assert_eq!((counter.value, counter.exemplar.unwrap().label[0].value.as_str()), (2.0, "node-1"));
}

#[test]
fn what_found_no_room_is_told_so() {
    let text = String::from_utf8(encode_from(source(3), Format::Text, true).unwrap()).unwrap();
    assert!(text.contains("observer_tcp_connection_successes_total{overflow=\"true\"} 5\n"), "{text}");
    assert!(
        text.contains("observer_tcp_connection_failures_total{overflow=\"true\",error_type=\"refused\"} 2\n")
    );
    assert!(text.contains("observer_series_overflows_total 1\n"), "{text}");
    assert!(!text.contains("shop"), "{text}");
}
