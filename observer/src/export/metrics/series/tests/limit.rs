//! Near the limit: what is counted is what is told, and nothing is told twice or not at all.

use super::*;
use crate::aggregate::Histogram;
use crate::event::{Ending, ListenerSummary, RetransmitCause, RetransmitPhase};

const PODS: u64 = 6;
const SECONDS: u64 = 24;

/// What a pod does in a second: each time something that it has not done before, and something that it has.
fn summary(pod: u64, second: u64) -> (TcpSummary, ProcessSummary) {
    let errors = ["refused", "timed_out", "reset", "host_unreachable"];
    let mut rtt = Histogram::default();
    (1..=second).for_each(|n| rtt.record(n * n * 1_000_000));
    let phase = if second.is_multiple_of(3) { RetransmitPhase::Fin } else { RetransmitPhase::Data };
    let tcp = TcpSummary {
        opened: 1,
        failed: 2,
        failures: [(errors[((pod + second) % 4) as usize], 1)].into(),
        retransmits: [((phase, RetransmitCause::Timeout), 1)].into(),
        min_rtt_ns: (second + pod).is_multiple_of(2).then_some(1_000),
        rtt,
        ..TcpSummary::default()
    };
    let exits = [(Ending::Code((second % 16) as u8), 1)].into();
    (tcp, ProcessSummary { execs: 1, exits, ..ProcessSummary::default() })
}

fn busy(second: u64) -> Window {
    let mut busy = window(second, []);
    let mut live = Live::default();
    for id in 0..PODS {
        let workload = pod(id, &format!("p{id}"));
        let (tcp, processes) = summary(id, second);
        let port = 8_000 + (second % 12) as u16;
        let of = Arc::clone(&workload);
        let listener = ListenerSummary { workload: of, most_waiting: 1, limit: 8, dropped: 1, overflowed: 0 };
        busy.listeners.insert((workload.id, port), listener);
        let stalled = Stalled { unread: u32::from(second > 12), ..Stalled::default() };
        live.workloads.push(LiveWorkload { workload: Arc::clone(&workload), live: 1, stalled });
        busy.workloads.insert(workload.id, WorkloadSummary { workload, tcp, processes });
    }
    busy.live = Arc::new(live);
    busy
}

#[test]
fn what_is_counted_is_what_is_told() {
    for most in (100..=500).step_by(23) {
        let mut series = Series::new(&Settings { max_series: most, ..Settings::default() });
        for second in 1..=SECONDS {
            series.add(&busy(second), now(second));
            let mut there = 0;
            metrics()
                .for_each(|metric| series.each(metric, &mut |point| there += usize::from(!point.overflow)));
            let figures = series.figures();
            assert!(figures.series <= most, "{figures:?}");
            // The shortest time of a pod is told in its second alone, and counted until the pod is looked at again.
            let counted = figures.series.checked_sub(there);
            assert!(counted.is_some_and(|more| more <= PODS as usize), "{there} of {figures:?}");
        }
        assert!(series.figures().overflows > 0, "{most}");
        let sum = |name: &str| told(&series, name).values().sum::<u64>();
        assert_eq!(sum(OPENED), PODS * SECONDS);
        assert_eq!(sum("observer_tcp_connection_failures_total"), 2 * PODS * SECONDS);
        assert_eq!(sum("observer_tcp_retransmits_total"), PODS * SECONDS);
        assert_eq!(sum("observer_process_exits_total"), PODS * SECONDS);
        assert_eq!(sum("observer_tcp_listener_drops_total"), PODS * SECONDS);
        assert_eq!(sum("observer_tcp_connections"), PODS);
    }
}
