//! A window that was told and is read again gives the same summaries, the same verdicts and the same merged window.

use observer_proto::served;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;

use super::*;
use crate::event::examples::{host, pod};
use crate::event::{
    Ending, ProcessSummary, RetransmitCause, RetransmitPhase, Stalled, Standstill, TcpSummary, WallTime,
};
use crate::filter::{Filters, Purpose, Scope};
use crate::wire;

const NOW: Now = Now { boot: BootTime(50_000_000_000), wall: WallTime(1_000_000_000_000) };

fn workloads() -> impl Strategy<Value = Arc<Workload>> {
    (1..6_u64, select(vec!["shop", "data"])).prop_map(|(id, namespace)| match id {
        5 => host(5),
        // A pod's name and namespace go with its number.
        id => pod(id, if id < 3 { "shop" } else { namespace }, &format!("pod-{id}")),
    })
}

fn kinds() -> impl Strategy<Value = PeerKind> {
    select(vec![
        PeerKind::Pod,
        PeerKind::FarPod,
        PeerKind::Service,
        PeerKind::Node,
        PeerKind::Host,
        PeerKind::Loopback,
        PeerKind::Outside,
        PeerKind::Many,
        PeerKind::Unknown,
    ])
}

fn peers() -> impl Strategy<Value = Peer> {
    let place = (20..23_u64).prop_map(|id| {
        Arc::new(Place { id: WorkloadId(id), service: format!("data/db-{id}"), node_name: "n".to_owned() })
    });
    let name = option::of(select(vec!["example.org", "example.com"]));
    (kinds(), option::of(workloads()), option::of(place), name).prop_map(|(kind, workload, place, name)| {
        Peer { kind, workload, place, dns_name: name.map(Arc::from) }
    })
}

fn tcp_summaries() -> impl Strategy<Value = TcpSummary> {
    let values = || vec(select(vec![0, 1, 900, 5_000_000, 70_000_000_000]), 0..6);
    let counts = vec(0..4_u64, 20);
    let stalls = vec(0..3_u32, 6);
    (counts, values(), values(), values(), stalls, option::of(1..9_u64)).prop_map(
        |(counts, latency, rtt, duration, stalls, min_rtt_ns)| {
            let histogram = |values: Vec<u64>| {
                let mut histogram = crate::aggregate::Histogram::default();
                values.into_iter().for_each(|value| histogram.record(value));
                histogram
            };
            TcpSummary {
                opened: counts[0],
                failed: counts[1],
                closed: counts[2],
                live: counts[3],
                sent_bytes: counts[4],
                received_bytes: counts[5],
                sent_segments: counts[6] * 10,
                received_segments: counts[7],
                retransmitted_segments: counts[8],
                resets_sent: counts[9],
                resets_received: counts[10],
                listen_drops: counts[11],
                listen_overflows: counts[12],
                failures: [("refused", counts[1]), ("not_sent", 1)].into_iter().collect(),
                retransmits: [((RetransmitPhase::Syn, RetransmitCause::Unknown), counts[8])].into(),
                spurious_retransmits: counts[13],
                reorderings: counts[14],
                handshake_latency: histogram(latency),
                rtt: histogram(rtt),
                duration: histogram(duration),
                min_rtt_ns,
                pending: counts[15],
                deepest_backoff: counts[16] as u32,
                busy_ns: counts[17],
                peer_window_limited_ns: counts[18],
                send_buffer_limited_ns: counts[19],
                longest: Standstill { unread_ns: counts[0] << 30, ..Standstill::default() },
                stalled: Stalled {
                    unread: stalls[0],
                    unaccepted: stalls[1],
                    own_window_closed: stalls[2],
                    peer_window_closed: stalls[3],
                    half_closed: stalls[4],
                    unanswered: stalls[5],
                },
                folded: counts[2],
            }
        },
    )
}

fn edges() -> impl Strategy<Value = (Edge, Arc<Workload>, Peer, Option<Arc<Backend>>)> {
    let address = select(vec!["10.0.0.1", "fe80::1", "2001:db8::7"]);
    let backend = option::of((peers(), 1..3_u16));
    (workloads(), peers(), address, any::<bool>(), 80..83_u16, backend).prop_map(
        |(workload, peer, address, outgoing, port, backend)| {
            let address = peer.id().is_none().then(|| address.parse().unwrap());
            let of = |backend: &(Peer, u16)| EdgeBackend {
                kind: backend.0.kind,
                peer: backend.0.id(),
                address: backend.0.id().is_none().then(|| "10.9.9.9".parse().unwrap()),
                port: backend.1,
            };
            let edge = Edge {
                workload: workload.id,
                kind: peer.kind,
                peer: peer.id(),
                address,
                interface: u32::from(port == 81),
                port,
                outgoing,
                backend: backend.as_ref().map(of),
            };
            let backend = backend.map(|(peer, port)| {
                let address = std::net::SocketAddr::new("10.9.9.9".parse().unwrap(), port);
                Arc::new(Backend { address, peer })
            });
            (edge, workload, peer, backend)
        },
    )
}

fn windows() -> impl Strategy<Value = Window> {
    let processes = (0..3_u64, 0..3_u64, 0..3_u64).prop_map(|(execs, exits, other_exits)| ProcessSummary {
        execs,
        exits: [(Ending::Code(3), exits + 1), (Ending::Signal { signal: 9, core_dumped: false }, 1)].into(),
        other_exits,
        ..ProcessSummary::default()
    });
    let own = vec((workloads(), tcp_summaries(), processes), 0..4);
    let edges_ = vec((edges(), tcp_summaries()), 0..6);
    let live = vec((edges(), 1..4_u64), 0..3);
    let listeners = vec((workloads(), 80..83_u16, 0..4_u32), 0..3);
    (own, edges_, live, listeners, 0..4_u64).prop_map(|(own, edges, live, listeners, lost_events)| {
        let mut window = Window {
            start: BootTime(7_000_000_000),
            length_ns: 1_000_000_000,
            lost_events,
            ..Window::default()
        };
        for (workload, tcp, processes) in own {
            window.workloads.insert(workload.id, WorkloadSummary { workload, tcp, processes });
        }
        for ((edge, workload, peer, backend), tcp) in edges {
            window.edges.insert(edge, EdgeSummary { workload, peer, backend, tcp });
        }
        for (workload, port, waiting) in listeners {
            let (dropped, overflowed) = (waiting.into(), 0);
            let summary = ListenerSummary { workload, most_waiting: waiting, limit: 2, dropped, overflowed };
            window.listeners.insert((summary.workload.id, port), summary);
        }
        let edges = live.into_iter().map(|((edge, workload, peer, backend), live)| LiveEdge {
            edge,
            workload,
            peer,
            backend,
            live,
            stalled: Stalled::default(),
        });
        let edges: Vec<LiveEdge> = edges.collect();
        let workloads = edges.iter().map(|one| LiveWorkload {
            workload: Arc::clone(&one.workload),
            live: one.live,
            stalled: one.stalled,
        });
        let workloads = workloads.collect();
        window.live = Arc::new(Live { workloads, edges });
        window
    })
}

fn again(identities: &mut Identities, run: u32, window: &Window) -> Window {
    let told = wire::recorded_window(window, NOW);
    identities.window(run, &v1::RecordedWindow::decode(told.as_slice()).unwrap())
}

/// What is told of it: summaries with their diagnoses, and verdicts.
fn told(window: &Window, filters: &Filters, now: Now) -> Vec<v1::Summary> {
    let mut window = window.clone();
    window.show_idle();
    let window = filters.scope().window(&window);
    let summaries = wire::summaries(&window, filters, now).into_iter().map(|(_, summary)| summary);
    let explained = wire::explained(&window, filters, now);
    let bytes = summaries.chain(explained).map(|summary| summary.encode_to_vec());
    bytes.map(|bytes| v1::Summary::decode(bytes.as_slice()).unwrap()).collect()
}

/// Ties are in no order where a workload is known by two names.
fn sorted(mut told: Vec<v1::Summary>) -> Vec<v1::Summary> {
    told.sort_by_cached_key(prost::Message::encode_to_vec);
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn what_was_told_is_the_same_again(one in windows(), other in windows(), scoped in any::<bool>()) {
        let names = ["shop".to_owned()];
        let scope = if scoped { Scope::Namespaces(Arc::new(names.into())) } else { Scope::All };
        let failed = served::Filter { failure_only: true, ..served::Filter::default() };
        let other = Window { start: BootTime(8_000_000_000), ..other };
        for allow in [Vec::new(), vec![failed]] {
            let filters = Filters::compile(allow, Vec::new(), Purpose::Summaries, "node").unwrap();
            let filters = filters.within(scope.clone());
            let mut identities = Identities::default();
            let mut rebuilt = again(&mut identities, 1, &one);
            prop_assert_eq!(sorted(told(&one, &filters, NOW)), sorted(told(&rebuilt, &filters, CLOCKS)));
            let mut merged = one.clone();
            merged.merge(&other);
            rebuilt.merge(&again(&mut identities, 1, &other));
            prop_assert_eq!(sorted(told(&merged, &filters, NOW)), sorted(told(&rebuilt, &filters, CLOCKS)));
        }
    }
}

#[test]
fn runs_count_anew_and_workloads_are_the_same() {
    let mut window = Window { length_ns: 1, ..Window::default() };
    for id in [1, 2] {
        let workload = pod(id, "shop", &format!("pod-{id}"));
        let (tcp, processes) =
            (TcpSummary { opened: id, ..TcpSummary::default() }, ProcessSummary::default());
        window.workloads.insert(workload.id, WorkloadSummary { workload, tcp, processes });
    }
    // In the next run they have each other's numbers.
    let mut swapped = Window { length_ns: 1, ..Window::default() };
    for (id, summary) in &window.workloads {
        let id = WorkloadId(3 - id.0);
        let workload = Arc::new(Workload { id, ..(*summary.workload).clone() });
        swapped.workloads.insert(id, WorkloadSummary { workload, ..summary.clone() });
    }
    let mut identities = Identities::default();
    let mut whole = again(&mut identities, 1, &window);
    whole.merge(&again(&mut identities, 2, &swapped));
    let opened = |name: &str| {
        let of = whole.workloads.values().filter(|summary| summary.workload.pod == name);
        of.map(|summary| summary.tcp.opened).collect::<Vec<_>>()
    };
    assert_eq!((opened("pod-1"), opened("pod-2")), (vec![2], vec![4]));
}
