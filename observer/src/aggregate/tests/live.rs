//! Live connections: what readings tell, one after the other.

use super::*;
use crate::event::{Stalled, Stalls};

#[test]
fn connections_are_listed_worst_first_with_what_became_known() {
    let a = pod(1, "", "");
    let mut aggregator = aggregator(Settings::default());
    for id in 1..5 {
        aggregator.record(&event(&a, id, connect(&tcp(id, true, "192.0.2.1:443", None))));
    }
    aggregator.sample(BootTime(50), &[sample(3, counters(1, 2)), sample(2, counters(1, 0))]);
    aggregator.renew(&pod(1, "shop", "cart"));
    let (listed, total) = aggregator.connections(|of| of.workload.pod == "cart", ConnectionOrder::Worst, 3);
    let ids: Vec<_> = listed.iter().map(|connection| connection.tcp.id.0).collect();
    assert_eq!((ids, total), (vec![3, 2, 1], 4));
    assert_eq!(aggregator.totals(WorkloadId(1)), Totals { live: 4, execs: 0, opened: 4 });
    assert_eq!(window(&mut aggregator, 1).workloads[&a.id].workload.pod, "cart");
}

fn found(owner: &Arc<Workload>, tcp: &Tcp, adopted: bool) -> Connection {
    Connection {
        tcp: tcp.clone(),
        workload: Arc::clone(owner),
        process: None,
        start: BootTime(1),
        adopted,
        handshake_latency_ns: None,
        state: TcpState::ESTABLISHED,
        counters: Counters::default(),
        flow: None,
        half_closed: None,
        stalls: Stalls::default(),
        peer_end: None,
    }
}

#[test]
fn what_an_older_connection_did_before_belongs_to_no_window() {
    let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
    let tcp = tcp(7, true, "10.0.0.2:80", Some(&b));
    let mut aggregator = aggregator(Settings::default());
    let unknown = aggregator.sample(BootTime(1), &[sample(7, counters(5, 2))]);
    assert_eq!(unknown.len(), 1);
    aggregator.know(found(&a, &tcp, true), &unknown[&tcp.id], BootTime(0));
    aggregator.sample(BootTime(2), &[sample(7, counters(6, 2))]);
    let older = Detail::TcpClose(TcpClose { tcp, duration_ns: None, counters: counters(8, 3), errno: 0 });
    aggregator.record(&event(&a, 3, older.clone()));
    assert_eq!(sums(&[window(&mut aggregator, 1)]), (300, 12, 1));
    // One that ends before it was ever read has no beginning to count from.
    aggregator.record(&event(&a, SECOND + 1, older));
    let last = window(&mut aggregator, 2);
    assert_eq!((sums(&[Arc::clone(&last)]), edge(&last).closed), ((0, 0, 0), 1));
}

#[test]
fn a_connection_whose_event_is_late_or_lost_is_counted_from_its_beginning_once() {
    let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
    let tcp = tcp(7, true, "10.0.0.2:80", Some(&b));
    for late in [true, false] {
        let mut aggregator = aggregator(Settings::default());
        let unknown = aggregator.sample(BootTime(1), &[sample(7, counters(5, 2))]);
        aggregator.know(found(&a, &tcp, false), &unknown[&tcp.id], BootTime(0));
        if late {
            aggregator.record(&event(&a, 2, connect(&tcp)));
        }
        aggregator.record(&event(&a, 3, close(&tcp, counters(8, 3))));
        let window = window(&mut aggregator, 1);
        assert_eq!(sums(&[Arc::clone(&window)]), (800, 32, 3), "{late}");
        assert_eq!((edge(&window).live, edge(&window).closed), (0, 1));
    }
}

/// A reading of a connection that nobody accepts or reads.
fn standing(id: u64) -> Sample {
    let flow =
        Flow { unread_bytes: 10, own_window_bytes: 1, window_closed_ns: Some(SECOND), ..Flow::default() };
    Sample { flow: Flow { timeouts: 3, backoff: 2, ..flow }, ..sample(id, counters(1, 0)) }
}

#[test]
fn what_stands_still_is_counted_until_it_moves_or_ends() {
    let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
    let tcp = tcp(7, false, "10.0.0.2:4000", Some(&b));
    let mut aggregator = aggregator(Settings::default());
    aggregator.record(&event(&a, 1, accept(&tcp)));
    aggregator.sample(BootTime(SECOND / 2), &[standing(7)]);
    let still = window(&mut aggregator, 1);
    let first = Stalled { peer_window_closed: 1, unanswered: 1, ..Stalled::default() };
    assert_eq!((edge(&still).stalled, edge(&still).deepest_backoff), (first, 2));
    aggregator.sample(BootTime(2 * SECOND - 1), &[standing(7)]);
    let still = window(&mut aggregator, 2);
    let all = Stalled { unread: 1, unaccepted: 1, ..first };
    assert_eq!((edge(&still).stalled, still.workloads[&a.id].tcp.stalled), (all, all));
    assert_eq!(edge(&still).longest.unread_ns, 3 * SECOND / 2 - 1);
    assert_eq!(edge(&still).longest.unaccepted_ns, 2 * SECOND - 2);
    // A window without a reading says how it stood.
    aggregator.advance(BootTime(3 * SECOND));
    let mut idle = Window { live: Arc::clone(&still.live), ..Window::default() };
    idle.show_idle();
    assert_eq!(edge(&idle).stalled, all);
    let moves = Sample { flow: Flow { accepted: true, ..Flow::default() }, ..sample(7, counters(2, 0)) };
    aggregator.sample(BootTime(4 * SECOND - 1), &[moves]);
    let (listed, _) = aggregator.connections(|_| true, ConnectionOrder::Unread, 9);
    let Stalls { unread, waited, accepted, .. } = listed[0].stalls;
    assert_eq!((unread, waited, accepted.is_some()), (None, Some(BootTime(2 * SECOND - 1)), true));
    assert_eq!(edge(&window(&mut aggregator, 4)).stalled, Stalled::default());
    aggregator.sample(BootTime(5 * SECOND - 1), &[standing(7)]);
    aggregator.record(&event(&a, 5 * SECOND, close(&tcp, counters(3, 0))));
    let ended = window(&mut aggregator, 5);
    assert_eq!((edge(&ended).stalled, edge(&ended).live), (Stalled::default(), 0));
}

#[test]
fn both_ends_on_the_node_are_joined() {
    let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
    let mut aggregator = aggregator(Settings::default());
    let client = tcp(1, true, "10.0.0.2:80", Some(&b));
    let server = Tcp {
        local: client.remote,
        remote: client.local,
        outgoing: false,
        netns: 2,
        ..tcp(2, false, "10.0.0.1:1", None)
    };
    let elsewhere = tcp(3, true, "192.0.2.1:80", None);
    aggregator.record(&event(&a, 1, connect(&client)));
    aggregator.record(&event(&a, 1, connect(&elsewhere)));
    aggregator.record(&event(&b, 2, accept(&server)));
    aggregator.sample(BootTime(SECOND), &[standing(2)]);
    let of = |aggregator: &Aggregator, id| {
        let (listed, _) = aggregator.connections(|of| of.tcp.id == id, ConnectionOrder::Worst, 9);
        listed[0].peer_end.clone()
    };
    let end = of(&aggregator, client.id).expect("the other end");
    assert_eq!((end.id, end.stalls.waited), (server.id, Some(BootTime(SECOND))));
    let end = of(&aggregator, server.id).expect("the other end");
    assert_eq!(end.handshake_latency_ns, Some(1_000_000));
    assert!(of(&aggregator, elsewhere.id).is_none());
    // Another network with the same addresses: nobody can tell the two apart.
    let twin = Tcp { id: crate::event::ConnectionId(4), netns: 9, ..server };
    aggregator.record(&event(&b, 2, accept(&twin)));
    assert!(of(&aggregator, client.id).is_none());
}
