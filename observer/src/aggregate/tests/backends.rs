//! Connections to a Service's address: each is counted on one edge, by who answers.

use super::*;
use crate::event::{Backend, EdgeSummary, Peer, PeerKind, WorkloadId};

/// A connection to a Service, answered by that pod, as far as that is known.
fn through(id: u64, backend: Option<&Arc<Workload>>) -> Tcp {
    let backend = backend.map(|pod| {
        let peer = Peer { workload: Some(Arc::clone(pod)), ..Peer::of(PeerKind::Pod) };
        Arc::new(Backend { address: "10.0.0.9:8080".parse().unwrap(), peer })
    });
    Tcp { backend, ..tcp(id, true, "10.96.0.7:80", None) }
}

/// Of each edge, by the pod that answers: opened, closed, live and bytes sent.
fn by_backend(window: &Window) -> Vec<(Option<&str>, [u64; 4])> {
    let mut told: Vec<_> = window
        .edges
        .values()
        .filter(|edge| edge.workload.id == WorkloadId(1))
        .map(|EdgeSummary { backend, tcp, .. }| {
            let pod = backend.as_ref().and_then(|backend| backend.peer.workload.as_ref());
            (pod.map(|pod| &*pod.pod), [tcp.opened, tcp.closed, tcp.live, tcp.sent_bytes])
        })
        .collect();
    told.sort_unstable();
    told
}

/// The same of the workload itself.
fn whole(window: &Window) -> [u64; 4] {
    let tcp = &window.workloads[&WorkloadId(1)].tcp;
    [tcp.opened, tcp.closed, tcp.live, tcp.sent_bytes]
}

#[test]
fn each_is_on_the_edge_of_its_backend() {
    let (a, x, y) = (pod(1, "shop", "a"), pod(2, "shop", "x"), pod(3, "shop", "y"));
    let mut aggregator = aggregator(Settings::default());
    for (id, backend) in [(7, Some(&x)), (8, Some(&y)), (9, Some(&y)), (10, None)] {
        aggregator.record(&event(&a, id, connect(&through(id, backend))));
    }
    aggregator.record(&event(&a, 20, close(&through(8, Some(&y)), counters(3, 0))));
    let told = window(&mut aggregator, 1);
    let expected = [(None, [1, 0, 1, 0]), (Some("x"), [1, 0, 1, 0]), (Some("y"), [2, 1, 1, 300])];
    assert_eq!((by_backend(&told), whole(&told)), (expected.to_vec(), [4, 1, 3, 300]));
    // A name that comes later is everybody's.
    aggregator.record(&event(&x, 30, accept(&tcp(77, false, "192.0.2.1:4000", None))));
    aggregator.renew(&Arc::new(Workload { pod: "x-named".into(), ..Workload::clone(&x) }));
    let (listed, _) = aggregator.connections(|of| of.tcp.id.0 == 7, ConnectionOrder::Worst, 9);
    assert_eq!(listed[0].tcp.answerer().unwrap().pod, "x-named");
    let mut idle = Window::default();
    aggregator.record(&event(&a, SECOND, close(&through(9, Some(&y)), counters(1, 0))));
    idle.live = Arc::clone(&window(&mut aggregator, 2).live);
    idle.show_idle();
    assert_eq!(by_backend(&idle), [(None, [0, 0, 1, 0]), (Some("x-named"), [0, 0, 1, 0])]);
}

#[test]
fn what_was_counted_before_the_backend_was_known_stays_where_it_is() {
    let (a, x) = (pod(1, "shop", "a"), pod(2, "shop", "x"));
    let mut aggregator = aggregator(Settings::default());
    aggregator.record(&event(&a, 1, connect(&through(7, None))));
    let mut still = sample(7, counters(2, 0));
    still.flow.timeouts = 3;
    aggregator.sample(BootTime(2), &[still]);
    let first = window(&mut aggregator, 1);
    assert_eq!(by_backend(&first), [(None, [1, 0, 1, 200])]);
    assert_eq!(edge(&first).stalled.unanswered, 1);
    let backend = through(7, Some(&x)).backend.unwrap();
    for _ in 0..2 {
        aggregator.translated(crate::event::ConnectionId(7), &backend);
    }
    still.counters = counters(5, 0);
    aggregator.sample(BootTime(SECOND), &[still]);
    let second = window(&mut aggregator, 2);
    let expected = [(None, [0, 0, 0, 0]), (Some("x"), [0, 0, 1, 300])];
    assert_eq!((by_backend(&second), whole(&second)), (expected.to_vec(), [0, 0, 1, 300]));
    let stalled = |of: &EdgeSummary| (of.backend.is_some(), of.tcp.stalled.unanswered);
    let mut stalled: Vec<_> = second.edges.values().map(stalled).collect();
    stalled.sort_unstable();
    assert_eq!(stalled, [(false, 0), (true, 1)]);
    aggregator.record(&event(&a, 2 * SECOND, close(&through(7, Some(&x)), counters(9, 0))));
    let last = window(&mut aggregator, 3);
    assert_eq!(by_backend(&last), [(Some("x"), [0, 1, 0, 400])]);
    let mut all = Window::clone(&first);
    all.merge(&second);
    all.merge(&last);
    let expected = [(None, [1, 0, 0, 200]), (Some("x"), [0, 1, 0, 700])];
    assert_eq!((by_backend(&all), whole(&all)), (expected.to_vec(), [1, 1, 0, 900]));
}

#[test]
fn a_service_of_more_backends_than_there_is_room_for_is_told_as_a_whole() {
    let a = pod(1, "shop", "a");
    let mut aggregator = aggregator(Settings { max_edges: 8, ..Settings::default() });
    for id in 2..22 {
        let backend = pod(id, "shop", "of-many");
        aggregator.record(&event(&a, id, connect(&through(id, Some(&backend)))));
    }
    let told = window(&mut aggregator, 1);
    let opened: Vec<_> = by_backend(&told).iter().map(|(pod, figures)| (pod.is_some(), figures[0])).collect();
    let mut expected = vec![(false, 14)];
    expected.extend([(true, 1); 6]);
    assert_eq!((opened, told.lost_events), (expected, 0));
    let losses = aggregator.losses(BootTime(SECOND));
    assert_eq!(
        losses.iter().map(|loss| (loss.kind, loss.count)).collect::<Vec<_>>(),
        [("backends of edges", 14)]
    );
}
