//! Windows become series: sums, the limit, the end of what is gone.

mod edges;
mod limit;
mod listeners;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::event::{
    LiveWorkload, ProcessSummary, Stalled, TcpSummary, Workload, WorkloadId, WorkloadKind, WorkloadSummary,
};

const SECOND: u64 = 1_000_000_000;

pub(super) fn pod(id: u64, name: &str) -> Arc<Workload> {
    let mut pod = Workload::unknown(WorkloadId(id), WorkloadKind::Pod, id);
    (pod.namespace, pod.pod) = ("shop".into(), name.into());
    Arc::new(pod)
}

fn now(second: u64) -> Now {
    Now { boot: BootTime(second * SECOND), wall: WallTime((1_000 + second) * SECOND) }
}

/// A window of a second that ends at that one.
pub(super) fn window(second: u64, of: impl IntoIterator<Item = (Arc<Workload>, TcpSummary)>) -> Window {
    let workloads = of.into_iter().map(|(workload, tcp)| {
        (workload.id, WorkloadSummary { workload, tcp, processes: ProcessSummary::default() })
    });
    Window {
        start: BootTime((second - 1) * SECOND),
        length_ns: SECOND,
        workloads: workloads.collect(),
        ..Window::default()
    }
}

fn opened(count: u64) -> TcpSummary {
    TcpSummary { opened: count, ..TcpSummary::default() }
}

/// The values of a metric by its labels, those of overflows as `overflow`.
fn told(series: &Series, name: &str) -> BTreeMap<String, u64> {
    let metric = metrics().find(|metric| metric.name == name).unwrap();
    let mut told = BTreeMap::new();
    series.each(metric, &mut |point| {
        let Value::Count(count) = point.value else { panic!("no count") };
        let own = if point.overflow { "overflow".to_owned() } else { point.key.replace('\0', "/") };
        assert_eq!(told.insert(own + &point.by.concat(), count), None, "told once");
    });
    told
}

fn entry(workload: &Arc<Workload>) -> WorkloadEntry {
    WorkloadEntry {
        workload: Arc::clone(workload),
        live_connections: 0,
        execs: 0,
        connections_opened: 0,
        cgroup_path: String::new(),
        first_seen: BootTime(0),
        restarts_seen: 2,
        has_ended: false,
        crash_loop: false,
        last_end: None,
        addresses: Vec::new(),
        ready_after_ns: None,
    }
}

const OPENED: &str = "observer_tcp_connection_successes_total";

#[test]
fn windows_add_up_by_labels() {
    let settings = Settings { labels: vec![Label::Namespace], ..Settings::default() };
    let mut series = Series::new(&settings);
    let failed = TcpSummary { failed: 2, failures: [("refused", 2)].into(), ..opened(1) };
    series.add(&window(1, [(pod(1, "a"), failed), (pod(2, "b"), opened(5))]), now(1));
    series.add(&window(2, [(pod(1, "a"), opened(3)), (pod(3, "c"), TcpSummary::default())]), now(2));
    assert_eq!(told(&series, OPENED), [("shop".to_owned(), 9)].into());
    assert_eq!(
        told(&series, "observer_tcp_connection_failures_total"),
        [("shoprefused".to_owned(), 2)].into()
    );
    assert!(told(&series, "observer_process_execs_total").is_empty(), "nothing was executed");
    let mut starts = BTreeSet::new();
    for metric in metrics() {
        series.each(metric, &mut |point| starts.extend([point.start]));
    }
    assert_eq!(starts, [now(0).wall].into(), "the start of the first window");
}

#[test]
fn what_is_gone_ends_and_begins_anew() {
    let mut series = Series::new(&Settings::default());
    let (a, b) = (pod(1, "a"), pod(2, "b"));
    series.add(&window(1, [(Arc::clone(&a), opened(1)), (Arc::clone(&b), opened(1))]), now(1));
    // One that does nothing is still there; `b` is not.
    for second in 2..=61 {
        series.add(&window(second, []), now(second));
        series.list(&[entry(&a)], now(second));
    }
    assert_eq!(told(&series, OPENED).len(), 2);
    let restarts = told(&series, "observer_container_restarts");
    assert_eq!(restarts, [("shop/a/a".to_owned(), 2)].into());
    series.list(&[entry(&a)], now(62));
    assert_eq!(told(&series, OPENED), [("shop/a/a".to_owned(), 1)].into());
    series.add(&window(63, [(b, opened(4))]), now(63));
    assert_eq!(told(&series, OPENED)["shop/b/b"], 4);
    series.list(&[], now(200));
    assert_eq!((told(&series, OPENED).len(), series.figures().series), (0, 0));
}

#[test]
fn beyond_the_limit_all_is_told_together_and_nothing_is_missing() {
    let mut series = Series::new(&Settings { max_series: 100, ..Settings::default() });
    for second in 1..=3 {
        let pods = (0..50).map(|id| (pod(id, &format!("p{id}")), opened(1)));
        series.add(&window(second, pods), now(second));
        let figures = series.figures();
        assert!(figures.series <= 100 && figures.series > 50, "{figures:?}");
    }
    let told_now = told(&series, OPENED);
    assert_eq!(told_now.values().sum::<u64>(), 150);
    assert!(told_now["overflow"] > 100, "{told_now:?}");
    assert_eq!(series.figures().overflows, told_now["overflow"]);
    // An error that is new finds no room either.
    let before = series.figures().series;
    let failures = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"].map(|error| (error, 1));
    let first = told_now.keys().find(|key| *key != "overflow").unwrap().rsplit('/').next().unwrap();
    let of = pod(first[1..].parse().unwrap(), first);
    let more = TcpSummary { failed: 60, failures: failures.into(), ..TcpSummary::default() };
    for second in 4..20 {
        series.add(&window(second, [(Arc::clone(&of), more.clone())]), now(second));
    }
    assert!(series.figures().series <= 100 && series.figures().series >= before);
    let failures = told(&series, "observer_tcp_connection_failures_total");
    assert_eq!(failures.values().sum::<u64>(), 16 * 60, "{failures:?}");
}

#[test]
fn what_is_connected_is_told_as_it_is() {
    let mut series = Series::new(&Settings::default());
    let live = |live| LiveWorkload { workload: pod(1, "a"), live, stalled: Stalled::default() };
    let with = |second, live: &Arc<Live>| Window { live: Arc::clone(live), ..window(second, []) };
    let some = Arc::new(Live { workloads: vec![live(3)], edges: Vec::new() });
    for second in 1..40 {
        series.add(&with(second, &some), now(second));
        assert_eq!(told(&series, "observer_tcp_connections"), [("shop/a/a".to_owned(), 3)].into());
    }
    series.list(&[], now(90));
    assert_eq!(told(&series, "observer_tcp_connections").len(), 1, "it was there half a minute ago");
    series.add(&with(91, &Arc::default()), now(91));
    assert_eq!(told(&series, "observer_tcp_connections"), [("shop/a/a".to_owned(), 0)].into());
}

fn incident(id: &str, second: u64) -> v1::Incident {
    let firing = v1::Firing {
        kind: v1::TriggerKind::ConnectFailures.into(),
        count: 3,
        last_time: Some(prost_types::Timestamp { seconds: second as i64, nanos: 0 }),
        workload: Some(v1::Workload {
            kind: v1::WorkloadKind::Pod.into(),
            namespace: "shop".into(),
            pod: "a".into(),
            ..v1::Workload::default()
        }),
        ..v1::Firing::default()
    };
    v1::Incident { id: id.into(), firings: vec![firing], ..v1::Incident::default() }
}

const FAILURES: &str = "observer_tcp_connection_failures_total";

/// The incidents behind the failures.
fn exemplars(series: &Series) -> Vec<String> {
    let failures = metrics().find(|one| one.name == FAILURES).unwrap();
    let mut incidents = Vec::new();
    series.each(failures, &mut |point| incidents.extend(point.exemplar.map(|one| one.incident.clone())));
    incidents
}

#[test]
fn labels_are_chosen_for_each_metric_and_incidents_found() {
    let label = BTreeMap::from([(OPENED.to_owned(), vec![Label::Pod])]);
    let mut series = Series::new(&Settings { label, ..Settings::default() });
    series.incident(&incident("i-2", 20));
    let failed = TcpSummary { failed: 2, failures: [("refused", 2)].into(), ..opened(1) };
    series.add(&window(1, [(pod(1, "a"), failed)]), now(1));
    assert_eq!(told(&series, OPENED), [("a".to_owned(), 1)].into());
    assert_eq!(exemplars(&series), ["i-2"]);
    // Something of an older one has changed.
    series.incident(&incident("i-1", 10));
    assert_eq!(exemplars(&series), ["i-2"]);
    series.incident(&incident("i-3", 30));
    assert_eq!(exemplars(&series), ["i-3"]);
    // It is kept as long as the workload is there.
    series.list(&[entry(&pod(1, "a"))], now(10_000));
    assert_eq!(exemplars(&series), ["i-3"]);
}
