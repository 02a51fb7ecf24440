//! What the aggregator promises, with constructed events.

mod backends;
mod floods;
mod live;

use super::*;
use crate::event::examples::{accept, close, connect, counters, event, exited, pod, tcp};
use crate::event::{
    Counters, Ending, Flow, OomKill, ProcessExec, RetransmitCause, RetransmitPhase, Shortage, Tcp, TcpClose,
    TcpConnectFailure, TcpReset, TcpRetransmit, TcpState, TcpSummary,
};

const SECOND: u64 = 1_000_000_000;

fn aggregator(settings: Settings) -> Aggregator {
    Aggregator::new(settings, BootTime(0))
}

/// Ends the window after `seconds` and gives the last one that ended.
fn window(aggregator: &mut Aggregator, seconds: u64) -> Arc<Window> {
    aggregator.advance(BootTime(seconds * SECOND)).pop().expect("a window")
}

fn edge(window: &Window) -> &TcpSummary {
    assert_eq!(window.edges.len(), 1);
    &window.edges.values().next().unwrap().tcp
}

fn retransmit(tcp: &Tcp, phase: RetransmitPhase, segments: u32) -> Detail {
    Detail::TcpRetransmit(TcpRetransmit {
        tcp: tcp.clone(),
        phase,
        cause: RetransmitCause::Timeout,
        timeouts: 1,
        backoff: 0,
        segments,
        state: TcpState(2),
    })
}

fn sample(id: u64, counters: Counters) -> Sample {
    Sample {
        id: crate::event::ConnectionId(id),
        state: TcpState::ESTABLISHED,
        half_closed: None,
        counters,
        flow: Flow::default(),
    }
}

/// The sum of (sent bytes, received segments, retransmitted segments) over the windows' workloads.
fn sums(windows: &[Arc<Window>]) -> (u64, u64, u64) {
    windows.iter().flat_map(|window| window.workloads.values()).fold((0, 0, 0), |sum, summary| {
        let tcp = &summary.tcp;
        (sum.0 + tcp.sent_bytes, sum.1 + tcp.received_segments, sum.2 + tcp.retransmitted_segments)
    })
}

#[test]
fn a_round_trip_that_is_read_again_is_no_other_one() {
    let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
    let mut aggregator = aggregator(Settings::default());
    aggregator.record(&event(&a, 5, connect(&tcp(7, true, "10.0.0.2:80", Some(&b)))));
    for (time, units) in [(1, 1), (2, 1), (3, 1), (4, 2)] {
        aggregator.sample(BootTime(time), &[sample(7, counters(units, 0))]);
    }
    let windows = aggregator.advance(BootTime(SECOND));
    assert_eq!(edge(&windows[0]).rtt.count(), 2, "it rested for two readings");
}

#[test]
fn windows_add_up_to_the_counters_of_the_close() {
    let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
    let tcp = tcp(7, true, "10.0.0.2:80", Some(&b));
    for max_connections in [10, 0] {
        let mut aggregator = aggregator(Settings { max_connections, ..Settings::default() });
        let mut windows = Vec::new();
        aggregator.record(&event(&a, 5, connect(&tcp)));
        aggregator.sample(BootTime(SECOND / 2), &[sample(7, counters(1, 1))]);
        windows.extend(aggregator.advance(BootTime(SECOND)));
        aggregator.sample(BootTime(SECOND + 1), &[sample(7, counters(3, 2)), sample(99, counters(9, 9))]);
        windows.extend(aggregator.advance(BootTime(2 * SECOND)));
        aggregator.record(&event(&a, 2 * SECOND, close(&tcp, counters(10, 4))));
        windows.extend(aggregator.advance(BootTime(3 * SECOND)));
        assert_eq!(sums(&windows), (1_000, 40, 4), "room for {max_connections}");
        let mut whole = Window::clone(&windows[0]);
        windows[1..].iter().for_each(|window| whole.merge(window));
        let told = edge(&whole);
        assert_eq!((told.opened, told.closed, told.live), (1, 1, 0));
        assert_eq!(told.handshake_latency.count(), 1);
        assert_eq!(told.rtt.count(), if max_connections == 0 { 1 } else { 3 });
        assert_eq!((whole.start, whole.length_ns), (BootTime(0), 3 * SECOND));
    }
}

#[test]
fn a_table_without_room_is_told() {
    let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
    let bounds = Settings { max_connections: 1, max_workloads: 1, max_edges: 1, ..Settings::default() };
    let mut aggregator = aggregator(bounds);
    aggregator.record(&event(&a, 1, connect(&tcp(1, true, "192.0.2.1:443", None))));
    aggregator.record(&event(&a, 2, connect(&tcp(2, true, "192.0.2.2:443", None))));
    aggregator.record(&event(&b, 3, connect(&tcp(3, true, "192.0.2.1:443", None))));
    let losses = aggregator.losses(BootTime(9));
    let told: Vec<_> = losses.iter().map(|loss| (loss.kind, loss.count)).collect();
    assert_eq!(told, [("connections", 2), ("workloads", 1), ("edges", 1)]);
    assert!(aggregator.losses(BootTime(10)).is_empty());
    let window = window(&mut aggregator, 1);
    assert_eq!(window.workloads[&a.id].tcp.opened, 2, "the workload's own figures are complete");
    assert_eq!((edge(&window).opened, window.lost_events), (1, 2));
}

#[test]
fn idle_workloads_give_way_to_new_ones() {
    let mut aggregator = aggregator(Settings { max_workloads: 1, ..Settings::default() });
    let exec = Detail::ProcessExec(ProcessExec::default());
    for id in 1..4 {
        aggregator.record(&event(&pod(id, "shop", "a"), 1, exec.clone()));
        assert_eq!(aggregator.totals(WorkloadId(id)).execs, 1);
        assert_eq!(window(&mut aggregator, id).workloads.len(), 1);
    }
    assert!(aggregator.losses(BootTime(0)).is_empty());
    aggregator.forget(WorkloadId(3));
    assert_eq!(aggregator.totals(WorkloadId(3)), Totals::default());
}

#[test]
fn idle_connections_are_live_in_every_window_and_cost_nothing() {
    let a = pod(1, "shop", "a");
    let mut aggregator = aggregator(Settings::default());
    aggregator.record(&event(&a, 1, connect(&tcp(1, true, "192.0.2.1:443", None))));
    let first = window(&mut aggregator, 1);
    let mut idle = Window::clone(&window(&mut aggregator, 2));
    assert!(idle.edges.is_empty() && Arc::ptr_eq(&first.live, &idle.live));
    idle.show_idle();
    assert_eq!((edge(&idle).live, idle.workloads[&a.id].tcp.live), (1, 1));
}

#[test]
fn a_clients_syn_retransmits_are_counted_once() {
    let a = pod(1, "shop", "a");
    let tcp = tcp(1, true, "192.0.2.1:443", None);
    let mut aggregator = aggregator(Settings::default());
    aggregator.record(&event(&a, 1, retransmit(&tcp, RetransmitPhase::Syn, 1)));
    aggregator.record(&event(&a, 2, retransmit(&tcp, RetransmitPhase::Syn, 1)));
    let while_asking = window(&mut aggregator, 1);
    assert_eq!(edge(&while_asking).retransmitted_segments, 2);
    aggregator.record(&event(&a, 3, connect(&tcp)));
    aggregator.record(&event(&a, 3, retransmit(&tcp, RetransmitPhase::Data, 1)));
    aggregator.record(&event(&a, 4, close(&tcp, counters(1, 3))));
    assert_eq!(edge(&window(&mut aggregator, 2)).retransmitted_segments, 1);
}

#[test]
fn a_failed_connects_syn_retransmits_are_counted_once() {
    let a = pod(1, "shop", "a");
    let tcp = tcp(1, true, "192.0.2.1:443", None);
    let mut aggregator = aggregator(Settings::default());
    aggregator.record(&event(&a, 1, retransmit(&tcp, RetransmitPhase::Syn, 1)));
    let failure = TcpConnectFailure { tcp, errno: 110, sent: true, duration_ns: Some(9), syn_retransmits: 6 };
    aggregator.record(&event(&a, 2, Detail::TcpConnectFailure(failure)));
    let window = window(&mut aggregator, 1);
    assert_eq!((edge(&window).failed, edge(&window).retransmitted_segments), (1, 6));
    assert_eq!(aggregator.handshakes.len(), 0);
}

#[test]
fn syn_ack_retransmits_are_counted_once_whether_or_not_there_is_room() {
    let a = pod(1, "shop", "a");
    let request = tcp(0, false, "192.0.2.1:5000", None);
    let socket = Tcp { id: crate::event::ConnectionId(8), ..request.clone() };
    for max_connections in [10, 0] {
        let mut aggregator = aggregator(Settings { max_connections, ..Settings::default() });
        aggregator.record(&event(&a, 1, retransmit(&request, RetransmitPhase::SynAck, 1)));
        aggregator.record(&event(&a, 2, accept(&socket)));
        aggregator.record(&event(&a, 3, close(&socket, counters(1, 1))));
        // A handshake that never ends has no counter.
        aggregator.record(&event(&a, 4, retransmit(&request, RetransmitPhase::SynAck, 5)));
        assert_eq!(edge(&window(&mut aggregator, 1)).retransmitted_segments, 6);
        assert_eq!(aggregator.handshakes.len(), 1);
        aggregator.advance(BootTime(200 * SECOND));
        assert_eq!(aggregator.handshakes.len(), 0);
    }
}

#[test]
fn processes_resets_and_losses_are_counted() {
    let a = pod(1, "shop", "a");
    let mut aggregator = aggregator(Settings::default());
    let killed = Ending::Signal { signal: 9, core_dumped: false };
    for ending in [Ending::Code(0), killed, killed] {
        let exit = exited(ending);
        aggregator.record(&event(&a, 1, Detail::ProcessExit(exit)));
    }
    aggregator.record(&event(
        &a,
        1,
        Detail::OomKill(OomKill { resident_bytes: None, shortage: Shortage::Node }),
    ));
    let reset = TcpReset {
        cause: None,
        tcp: tcp(3, false, "192.0.2.1:5000", None),
        direction: ResetDirection::Sent,
        state: None,
        reason: None,
    };
    aggregator.record(&event(&a, 1, Detail::TcpReset(reset.clone())));
    aggregator.record(&Event { workload: None, ..event(&a, 1, Detail::TcpReset(reset)) });
    aggregator.lost(3);
    let window = window(&mut aggregator, 1);
    let summary = &window.workloads[&a.id];
    assert_eq!((summary.processes.exits[&killed], summary.processes.oom_kills), (2, 1));
    assert_eq!((edge(&window).resets_sent, window.lost_events), (1, 3));
    let key = window.edges.keys().next().unwrap();
    assert_eq!((key.port, key.outgoing), (80, false));
}

#[test]
fn time_that_the_machine_slept_is_left_out() {
    let mut aggregator = aggregator(Settings::default());
    assert_eq!(aggregator.advance(BootTime(SECOND - 1)).len(), 0);
    assert_eq!(aggregator.advance(BootTime(3 * SECOND)).len(), 3);
    assert_eq!(aggregator.advance(BootTime(3_600 * SECOND + 5)).len(), 1);
    let next = window(&mut aggregator, 3_601);
    assert_eq!((next.start, next.length_ns), (BootTime(3_600 * SECOND), SECOND));
}

#[test]
fn failures_and_retransmits_are_summed_by_kind_and_merged() {
    let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
    let tcp = tcp(7, true, "10.0.0.2:80", Some(&b));
    let mut aggregator = aggregator(Settings::default());
    let mut windows = Vec::new();
    for (second, errno) in [(1, 111), (2, 111), (3, 0)] {
        aggregator.record(&event(&a, second, retransmit(&tcp, RetransmitPhase::Syn, 1)));
        let failure = TcpConnectFailure {
            tcp: tcp.clone(),
            errno,
            sent: true,
            duration_ns: Some(9),
            syn_retransmits: 1,
        };
        aggregator.record(&event(&a, second, Detail::TcpConnectFailure(failure)));
        windows.push(window(&mut aggregator, second));
    }
    let mut whole = Window::clone(&windows[0]);
    windows[1..].iter().for_each(|window| whole.merge(window));
    let told = edge(&whole);
    assert_eq!(told.failures, [("refused", 2), ("cancelled", 1)].into());
    assert_eq!(told.retransmits, [((RetransmitPhase::Syn, RetransmitCause::Timeout), 3)].into());
    assert_eq!((told.failed, told.retransmitted_segments), (3, 3));
}
