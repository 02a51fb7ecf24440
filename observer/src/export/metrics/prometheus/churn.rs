//! Ten thousand pods come and go: series, memory and the time of a scrape stay within their bounds.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::event::{
    BootTime, Ending, Live, LiveWorkload, Now, ProcessSummary, Stalled, TcpSummary, Window, Workload,
    WorkloadEntry, WorkloadId, WorkloadKind, WorkloadSummary,
};
use crate::export::metrics::own::Own;
use crate::export::metrics::series::Series;
use crate::export::metrics::settings::Settings;
use crate::inventory::host;

const PODS: u64 = 10_000;
/// So many new ones in a second, each for two.
const EACH: u64 = 100;
const SECOND: u64 = 1_000_000_000;
/// What the whole daemon may have unless it is told otherwise.
const MEMORY_KIB: u64 = 128 << 10;
/// A scrape takes less of a processor than this, also without optimisations.
const SCRAPE_MS: u128 = 200;
const TRIES: usize = 3;
/// Set for the process that does it: its memory is this test's alone.
const ALONE: &str = "OBSERVER_CHURN_ALONE";

fn pod(id: u64) -> Arc<Workload> {
    let mut pod = Workload::unknown(WorkloadId(id), WorkloadKind::Pod, id);
    pod.namespace = format!("namespace-{}", id % 50);
    pod.pod = format!("a-deployment-of-some-length-7d4b9c6f5-{id:05}");
    Arc::new(pod)
}

fn histogram(seed: u64) -> Histogram {
    let mut histogram = Histogram::default();
    // From some microseconds to a second, all over the buckets.
    (1..=50u64).for_each(|n| histogram.record((seed * 7_919 + n * n * n * n * 131) % SECOND + 1_000));
    histogram
}

fn summary(workload: Arc<Workload>) -> WorkloadSummary {
    let id = workload.id.0;
    let tcp = TcpSummary {
        opened: 50,
        failed: 3,
        failures: [("refused", 2), ("timed_out", 1)].into(),
        sent_bytes: 1 << 20,
        handshake_latency: histogram(id),
        rtt: histogram(id + 1),
        duration: histogram(id + 2),
        ..TcpSummary::default()
    };
    let exits = [0, 1, (id % 200) as u8].map(|code| (Ending::Code(code), 1));
    let processes = ProcessSummary { execs: 3, exits: exits.into(), ..ProcessSummary::default() };
    WorkloadSummary { workload, tcp, processes }
}

fn entry(workload: Arc<Workload>) -> WorkloadEntry {
    WorkloadEntry {
        workload,
        live_connections: 0,
        execs: 0,
        connections_opened: 0,
        cgroup_path: String::new(),
        first_seen: BootTime(0),
        restarts_seen: 0,
        has_ended: false,
        crash_loop: false,
        last_end: None,
        addresses: Vec::new(),
        ready_after_ns: None,
    }
}

/// All pods, one after the other; demands at each second that the series are within their limit.
fn churn(series: &mut Series, most: usize) -> u64 {
    let mut told = 0;
    for second in 1..=PODS / EACH {
        let there = (second.saturating_sub(2) * EACH..second * EACH).map(pod);
        let there: Vec<_> = there.collect();
        let live = |workload: &Arc<Workload>| LiveWorkload {
            workload: Arc::clone(workload),
            live: 1,
            stalled: Stalled::default(),
        };
        let window = Window {
            start: BootTime((second - 1) * SECOND),
            length_ns: SECOND,
            workloads: there.iter().map(|pod| (pod.id, summary(Arc::clone(pod)))).collect(),
            live: Arc::new(Live { workloads: there.iter().map(live).collect(), edges: Vec::new() }),
            ..Window::default()
        };
        told += 50 * window.workloads.len() as u64;
        let now = Now { boot: BootTime(second * SECOND), wall: WallTime((1_000 + second) * SECOND) };
        series.add(&window, now);
        if second % 10 == 0 {
            series.list(&there.into_iter().map(entry).collect::<Vec<_>>(), now);
        }
        let figures = series.figures();
        assert!(figures.series <= most, "{figures:?}");
    }
    told
}

#[test]
fn ten_thousand_pods_come_and_go() {
    if std::env::var_os(ALONE).is_none() {
        let name = "export::metrics::prometheus::churn::ten_thousand_pods_come_and_go";
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let done = alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        println!("{said}");
        assert!(
            done.status.success() && said.contains("1 passed"),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        return;
    }
    let settings = Settings::default();
    let mut series = Series::new(&settings);
    let told = churn(&mut series, settings.max_series);
    let figures = series.figures();
    assert!(figures.series > settings.max_series * 9 / 10 && figures.overflows > 10_000, "{figures:?}");
    // Nothing is missing: what found no room is told together, and what ended was told before.
    let opened = metrics().find(|one| one.name == "observer_tcp_connection_successes_total").unwrap();
    let (mut sum, mut of_overflow) = (0, 0);
    series.each(opened, &mut |point| {
        let Value::Count(count) = point.value else { panic!("no count") };
        sum += count;
        of_overflow += if point.overflow { count } else { 0 };
    });
    assert!(sum <= told && of_overflow > told / 2, "{of_overflow} and {sum} of {told}");
    let own = Own { series: figures, ..Own::default() };
    let all = Arc::new((series, own));
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        let write = || {
            let started = host::thread_time();
            let written = encode_from(Source::Given(Arc::clone(&all)), format, true).unwrap();
            (host::thread_time().saturating_sub(started), written.len())
        };
        let (took, bytes) = (0..TRIES).map(|_| write()).min().unwrap();
        println!("{format:?}: {} KiB in {took:?}", bytes >> 10);
        assert!(bytes > 100 << 10 && took.as_millis() < SCRAPE_MS, "{took:?}");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let most: u64 = most.split_whitespace().next().unwrap().parse().unwrap();
    println!("{} series, {} MiB at the most", figures.series, most >> 10);
    assert!(most < MEMORY_KIB, "{most} KiB");
}
