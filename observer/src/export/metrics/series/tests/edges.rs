//! Series of edges.

use super::*;
use crate::event::{Edge, EdgeSummary, LiveEdge, Peer, PeerKind};

fn edge(of: &Workload, port: u16) -> Edge {
    Edge {
        workload: of.id,
        kind: PeerKind::Outside,
        peer: None,
        address: Some([192, 0, 2, 1].into()),
        interface: 0,
        port,
        outgoing: true,
        backend: None,
    }
}

fn summary(of: &Arc<Workload>, tcp: TcpSummary) -> EdgeSummary {
    EdgeSummary { workload: Arc::clone(of), peer: Peer::of(PeerKind::Outside), backend: None, tcp }
}

/// One that is connected, to port 443.
fn connected(of: &Arc<Workload>) -> Arc<Live> {
    let live = LiveEdge {
        edge: edge(of, 443),
        workload: Arc::clone(of),
        peer: Peer::of(PeerKind::Outside),
        backend: None,
        live: 1,
        stalled: Stalled::default(),
    };
    Arc::new(Live { workloads: Vec::new(), edges: vec![live] })
}

fn by_peer(name: &str) -> Settings {
    let label = BTreeMap::from([(name.to_owned(), vec![Label::Pod, Label::Peer, Label::Port])]);
    Settings { label, ..Settings::default() }
}

#[test]
fn they_last_as_long_as_they_are_told_or_connected() {
    let mut series = Series::new(&by_peer(OPENED));
    let a = pod(1, "a");
    let live = connected(&a);
    let edges = [(edge(&a, 443), summary(&a, opened(2))), (edge(&a, 80), summary(&a, opened(3)))];
    let with = |second, edges: Vec<_>| Window {
        edges: edges.into_iter().collect(),
        live: Arc::clone(&live),
        ..window(second, [(Arc::clone(&a), opened(5))])
    };
    series.add(&with(1, edges.to_vec()), now(1));
    let both = [("a/443/192.0.2.1".to_owned(), 2), ("a/80/192.0.2.1".to_owned(), 3)];
    assert_eq!(told(&series, OPENED), both.clone().into());
    for second in 2..=70 {
        series.add(&with(second, Vec::new()), now(second));
    }
    // The workload is there; the one edge is connected, the other one is not, and was not told for a minute.
    series.list(&[entry(&a)], now(70));
    assert_eq!(told(&series, OPENED), [both[0].clone()].into());
    assert_eq!(told(&series, "observer_tcp_connection_closes_total").len(), 1);
}

#[test]
fn what_is_connected_comes_back_where_its_series_ended_too_early() {
    const CONNECTED: &str = "observer_tcp_connections";
    let mut series = Series::new(&by_peer(CONNECTED));
    let a = pod(1, "a");
    let live = connected(&a);
    let with = |second| Window { live: Arc::clone(&live), ..window(second, []) };
    series.add(&with(1), now(1));
    assert_eq!(told(&series, CONNECTED), [("a/443/192.0.2.1".to_owned(), 1)].into());
    // The machine slept.
    series.list(&[], now(500));
    assert!(told(&series, CONNECTED).is_empty());
    series.add(&with(501), now(501));
    assert_eq!(told(&series, CONNECTED), [("a/443/192.0.2.1".to_owned(), 1)].into());
}

#[test]
fn the_incidents_of_their_workload_are_theirs() {
    let mut series = Series::new(&by_peer(FAILURES));
    series.incident(&incident("i-1", 10));
    let a = pod(1, "a");
    let failed = TcpSummary { failed: 2, failures: [("refused", 2)].into(), ..opened(1) };
    let edges = [(edge(&a, 443), summary(&a, failed))].into_iter().collect();
    // Another metric knows the workload before there is an edge.
    series.add(&window(1, [(Arc::clone(&a), opened(1))]), now(1));
    series.add(&Window { edges, ..window(2, []) }, now(2));
    // The key has no namespace here.
    assert_eq!(exemplars(&series), ["i-1"]);
    series.list(&[], now(5_000));
    assert!(exemplars(&series).is_empty());
}
