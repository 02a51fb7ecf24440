//! What one workload does beyond measure: figures are whole, and the others keep their room.

use super::*;
use crate::event::{
    ConnectionId, EdgeSummary, Ending, Folded, FoldedFigures, Peer, PeerKind, ProcessSummary,
    TcpConnectFailure, TcpSummary, WorkloadId, WorkloadSummary,
};

fn refused(port: u16) -> Detail {
    let tcp = tcp(u64::from(port), true, &format!("192.0.2.1:{port}"), None);
    let (errno, sent, duration_ns) = (111, true, Some(1));
    Detail::TcpConnectFailure(TcpConnectFailure { tcp, errno, sent, duration_ns, syn_retransmits: 0 })
}

/// Of a workload's edges: how many there are, and the failed attempts of all and of that to many.
fn failed(window: &Window, workload: u64) -> (usize, u64, u64) {
    let own = || window.edges.values().filter(|edge| edge.workload.id == WorkloadId(workload));
    let sum = |edges: Vec<&EdgeSummary>| edges.iter().map(|edge| edge.tcp.failed).sum();
    let many = own().filter(|edge| edge.peer.kind == PeerKind::Many).collect();
    (own().count(), sum(own().collect()), sum(many))
}

#[test]
fn one_that_tries_every_port_leaves_edges_to_the_others() {
    let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
    let mut aggregator = aggregator(Settings { max_edges: 1500, ..Settings::default() });
    for round in 1..=2 {
        let times = [(round - 1) * SECOND + 1, (round - 1) * SECOND + 2];
        for port in 1..=3000 {
            aggregator.record(&event(&a, times[0], refused(port)));
        }
        for port in 1..=200 {
            aggregator.record(&event(&b, times[1], refused(port)));
        }
        let told = window(&mut aggregator, round);
        // Its share, and the edge to the rest.
        assert_eq!(failed(&told, 1), (1025, 3000, 1976), "in round {round}");
        assert_eq!(failed(&told, 2), (200, 200, 0), "in round {round}");
        assert_eq!(told.workloads[&WorkloadId(1)].tcp.failed, 3000);
        assert_eq!((told.lost_events, aggregator.losses(BootTime(round * SECOND)).len()), (0, 0));
    }
}

#[test]
fn what_was_only_counted_is_in_the_figures() {
    let a = pod(1, "shop", "a");
    let mut aggregator = aggregator(Settings::default());
    aggregator.record(&event(&a, 1, connect(&tcp(7, true, "10.0.0.3:80", None))));
    let sum = TcpSummary { opened: 5, closed: 4, sent_bytes: 900, folded: 9, ..TcpSummary::default() };
    let of = |tcp: Tcp| FoldedFigures::Tcp(Box::new((tcp, sum.clone())));
    let same = Tcp { id: ConnectionId(0), ..tcp(7, true, "10.0.0.3:80", None) };
    let many = Tcp { peer: Peer::of(PeerKind::Many), ..tcp(0, true, "0.0.0.0:0", None) };
    let exits = [(Ending::Code(0), 3)].into();
    let processes = ProcessSummary { execs: 3, exits, folded: 6, ..ProcessSummary::default() };
    for figures in [of(same), of(many), FoldedFigures::Processes(processes), FoldedFigures::None] {
        aggregator.fold(&Folded { workload: Some(Arc::clone(&a)), figures, counts: Vec::new() });
    }
    let told = window(&mut aggregator, 1);
    let WorkloadSummary { tcp, processes, .. } = &told.workloads[&WorkloadId(1)];
    assert_eq!((tcp.opened, tcp.closed, tcp.live, tcp.sent_bytes, tcp.folded), (11, 8, 1, 1800, 18));
    assert_eq!((processes.execs, processes.exits[&Ending::Code(0)], processes.folded), (3, 3, 6));
    let mut opened: Vec<u64> = told.edges.values().map(|edge| edge.tcp.opened).collect();
    opened.sort_unstable();
    assert_eq!(opened, [5, 6], "one edge has what was told and what was counted");
    let totals = aggregator.totals(WorkloadId(1));
    assert_eq!((totals.opened, totals.execs, totals.live), (11, 3, 1));
}
