//! The verdict over two nodes is the one that a daemon gives where both ends are on its node.

use observer_proto::v1;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;

use super::super::judge::judged;
use super::super::{Addresses, edges};
use crate::event::examples::pod;
use crate::event::{
    BootTime, Edge, EdgeSummary, ListenerSummary, Now, Peer, PeerKind, Place, RetransmitCause,
    RetransmitPhase, Stalled, Standstill, TcpSummary, WallTime, Window, Workload, WorkloadId,
};
use crate::filter::Filters;
use crate::wire;
use std::sync::Arc;

const NOW: Now = Now { boot: BootTime(50_000_000_000), wall: WallTime(1_000_000_000_000) };
const PORT: u16 = 8080;

/// Figures with faults of all kinds. Latencies are short, or long for any way: what lies between is slow within a node and
/// not between two.
fn figures() -> impl Strategy<Value = TcpSummary> {
    let values = || vec(select(vec![0, 900, 2_000_000, 700_000_000]), 0..4);
    let times = || vec(select(vec![0, 400_000_000, 1_500_000_000, 70_000_000_000]), 8);
    (vec(0..40_u64, 16), values(), values(), times(), vec(0..3_u32, 7)).prop_map(
        |(counts, latency, rtt, times, stalls)| {
            let histogram = |values: Vec<u64>| {
                let mut histogram = crate::aggregate::Histogram::default();
                for value in values {
                    histogram.record(value);
                }
                histogram
            };
            TcpSummary {
                opened: counts[0] / 2,
                failed: counts[1] / 8,
                closed: counts[2],
                live: counts[3],
                sent_segments: counts[4] * 40,
                received_segments: counts[5] * 40,
                retransmitted_segments: counts[6],
                resets_received: counts[7],
                failures: [("refused", counts[8] / 30), ("timed_out", counts[9] / 30)].into(),
                retransmits: [((RetransmitPhase::Syn, RetransmitCause::Timeout), counts[10] / 10)].into(),
                spurious_retransmits: counts[11] / 3,
                reorderings: counts[12] / 20,
                handshake_latency: histogram(latency),
                rtt: histogram(rtt),
                min_rtt_ns: (counts[13] > 20).then_some(80_000),
                pending: counts[14] / 30,
                deepest_backoff: counts[15] as u32,
                busy_ns: times[0],
                peer_window_limited_ns: times[1].min(times[0]),
                send_buffer_limited_ns: times[2].min(times[0]),
                longest: Standstill {
                    unread_ns: times[3],
                    unaccepted_ns: times[4],
                    own_window_closed_ns: times[5],
                    peer_window_closed_ns: times[6],
                    half_closed_ns: times[7],
                },
                stalled: Stalled {
                    unread: stalls[0] / 2,
                    unaccepted: stalls[1] / 2,
                    own_window_closed: stalls[2] / 2,
                    peer_window_closed: stalls[3] / 2,
                    half_closed: stalls[4] / 2,
                    unanswered: stalls[5] / 2,
                },
                ..TcpSummary::default()
            }
        },
    )
}

/// A window of one node with an edge of `owner` to or from `peer`, which is on that other node if one is named.
fn add(window: &mut Window, owner: &Arc<Workload>, peer: &Arc<Workload>, at: &str, tcp: &TcpSummary) {
    let kind = if at.is_empty() { PeerKind::Pod } else { PeerKind::FarPod };
    let outgoing = owner.id < peer.id;
    let place = Place { id: WorkloadId(1 << 63), service: String::new(), node_name: at.to_owned() };
    let edge = Edge {
        workload: owner.id,
        kind,
        peer: Some(peer.id),
        address: None,
        interface: 0,
        port: PORT,
        outgoing,
        backend: None,
    };
    let peer = Peer {
        workload: Some(Arc::clone(peer)),
        place: (!at.is_empty()).then(|| Arc::new(place)),
        ..Peer::of(kind)
    };
    let summary = EdgeSummary { workload: Arc::clone(owner), peer, backend: None, tcp: tcp.clone() };
    window.edges.insert(edge, summary);
}

fn told(window: &Window) -> Vec<v1::Summary> {
    let all = wire::explained(window, &Filters::default(), NOW);
    all.iter().map(|one| v1::Summary::decode(one.encode_to_vec().as_slice()).unwrap()).collect()
}

fn of_client(all: &[v1::Summary]) -> Option<&v1::Summary> {
    all.iter().find(|one| one.edge.as_ref().is_some_and(|edge| edge.outgoing))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn two_nodes_say_what_one_says(
        near in figures(),
        far in figures(),
        listener in (0..4_u32, 0..3_u64),
        lost_events in select(vec![0, 1_000_u64]),
    ) {
        let (client, server) = (pod(1, "shop", "cart"), pod(2, "shop", "web"));
        let (most_waiting, overflowed) = listener;
        // What was dropped for another reason is told by a server's verdict only where that has nothing else to say.
        let queue = ListenerSummary {
            workload: Arc::clone(&server),
            most_waiting,
            limit: 2,
            dropped: overflowed,
            overflowed,
        };
        let queues = || [((server.id, PORT), queue.clone())].into_iter().collect();
        let window = || Window { lost_events, ..Window::default() };

        let mut one = Window { listeners: queues(), ..window() };
        add(&mut one, &client, &server, "", &near);
        add(&mut one, &server, &client, "", &far);
        let [mut a, mut b] = [window(), Window { listeners: queues(), ..window() }];
        add(&mut a, &client, &server, "b", &near);
        add(&mut b, &server, &client, "a", &far);

        let apart = [("a", told(&a)), ("b", told(&b))];
        let apart = apart.into_iter().flat_map(|(node, all)| all.into_iter().map(move |one| (node.into(), one)));
        let joined = edges(apart.collect(), &Addresses::default());
        prop_assert_eq!(joined.len(), 1);
        let diagnosis = |all: &[v1::Summary]| of_client(all).and_then(|one| one.diagnosis.clone());
        prop_assert_eq!(diagnosis(&joined), diagnosis(&told(&one)));
    }

    #[test]
    fn a_node_alone_says_what_it_said(near in figures(), lost_events in select(vec![0, 1_000_u64])) {
        let mut window = Window { lost_events, ..Window::default() };
        add(&mut window, &pod(1, "shop", "cart"), &pod(2, "shop", "web"), "b", &near);
        let all = told(&window);
        prop_assert_eq!(judged(&all[0], std::iter::empty()), all[0].diagnosis.clone());
    }
}
