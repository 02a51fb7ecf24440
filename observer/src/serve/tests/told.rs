//! An event passes the same filters whether it happened here or was told: on the wire, and as JSON.

use std::net::SocketAddr;
use std::sync::Arc;

use observer_proto::{served, v1};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree as _;
use prost::Message as _;

use crate::event::examples::{connect, counters, event, exited, host, pod, tcp};
use crate::event::{
    Backend, BootTime, ContainerCrashLoop, ContainerReady, ContainerStart, ContainerStop, Counters, Detail,
    Ending, Event, EventType, ExecOrigin, FoldNotice, Now, OomKill, Owner, Peer, PeerKind, Place,
    ProcessExec, ResetDirection, RetransmitCause, RetransmitPhase, RuntimeEnd, Shortage, Tcp, TcpAccept,
    TcpClose, TcpConnectFailure, TcpConnectPending, TcpReset, TcpRetransmit, TcpState, Workload, WorkloadId,
    WorkloadKind,
};
use crate::filter::{Cache, Purpose, Scope, Seen};
use crate::serve::Filters;
use crate::wire;

const NODE: &str = "node-1";
const ADDRESSES: [&str; 6] = [
    "10.0.0.1:80",
    "10.0.0.2:5432",
    "[::ffff:10.0.0.2]:80",
    "[fe80::1%2]:8080",
    "[2001:db8::1]:443",
    "192.0.2.1:0",
];

/// A workload of one of few, which differ in what filters ask for.
fn workloads() -> impl Strategy<Value = Arc<Workload>> {
    (1..4_u64, select(vec!["shop", "data", ""]), select(vec!["web-1", "db-1", ""]), 0..6_u8).prop_map(
        |(id, namespace, name, kind)| {
            let mut workload = (*pod(id, namespace, name)).clone();
            match kind {
                0 => workload = (*host(id)).clone(),
                1 => {
                    workload.kind = WorkloadKind::Unit;
                    workload.unit = "ssh.service".to_owned();
                    workload.labels.clear();
                }
                2 => workload.kind = WorkloadKind::Container,
                3 => {
                    workload.kind = WorkloadKind::Container;
                    workload.container.clear();
                    workload.pod.clear();
                }
                4 => workload.owner = Some(Arc::new(Owner { kind: "Deployment".into(), name: "web".into() })),
                _ => _ = workload.labels.insert("tier".to_owned(), "front".to_owned()),
            }
            Arc::new(workload)
        },
    )
}

fn peers() -> impl Strategy<Value = Peer> {
    let place = select(vec!["data/db", "shop/web", ""]).prop_map(|service| {
        Arc::new(Place { id: WorkloadId(9), service: service.to_owned(), node_name: String::new() })
    });
    (option::of(workloads()), option::of(place)).prop_map(|(workload, place)| Peer {
        workload,
        place,
        ..Peer::of(PeerKind::Outside)
    })
}

fn ends() -> impl Strategy<Value = Tcp> {
    let address = || select(ADDRESSES.to_vec()).prop_map(|address| address.parse::<SocketAddr>().unwrap());
    let backend = (address(), peers()).prop_map(|(address, peer)| Arc::new(Backend { address, peer }));
    (address(), address(), any::<bool>(), peers(), option::of(backend)).prop_map(
        |(local, remote, outgoing, peer, backend)| Tcp {
            local,
            remote,
            peer,
            backend,
            ..tcp(1, outgoing, "10.0.0.2:1", None)
        },
    )
}

/// What an event is made of, where its type has it.
#[derive(Debug)]
struct Parts {
    tcp: Tcp,
    ns: Option<u64>,
    errno: u32,
    ending: Option<Ending>,
    runtime: Option<RuntimeEnd>,
}

fn detail(kind: EventType, parts: Parts) -> Detail {
    let Parts { tcp, ns, errno, ending, runtime } = parts;
    let (waited_ns, syn_retransmits) = (ns.unwrap_or(0), 1);
    match kind {
        EventType::TcpConnect => connect(&tcp),
        EventType::TcpAccept => Detail::TcpAccept(TcpAccept { tcp, handshake_latency_ns: ns }),
        EventType::TcpConnectFailure => Detail::TcpConnectFailure(TcpConnectFailure {
            tcp,
            errno,
            sent: true,
            duration_ns: ns,
            syn_retransmits,
        }),
        EventType::TcpRetransmit => Detail::TcpRetransmit(TcpRetransmit {
            tcp,
            phase: RetransmitPhase::Data,
            cause: RetransmitCause::Fast,
            timeouts: 0,
            backoff: 0,
            segments: 1,
            state: TcpState::ESTABLISHED,
        }),
        EventType::TcpReset => {
            let direction = ResetDirection::Sent;
            Detail::TcpReset(TcpReset { tcp, direction, state: None, reason: None, cause: None })
        }
        EventType::TcpConnectPending => {
            Detail::TcpConnectPending(TcpConnectPending { tcp, waited_ns, syn_retransmits })
        }
        EventType::TcpClose => {
            let counters = Counters { rtt_ns: ns, ..counters(1, 0) };
            Detail::TcpClose(TcpClose { tcp, duration_ns: Some(5), counters, errno })
        }
        EventType::ProcessExec => Detail::ProcessExec(ProcessExec::default()),
        EventType::ProcessExit => Detail::ProcessExit(exited(ending.unwrap_or(Ending::Code(0)))),
        EventType::OomKill => Detail::OomKill(OomKill { resident_bytes: None, shortage: Shortage::Unknown }),
        EventType::ContainerStart => Detail::ContainerStart(ContainerStart::default()),
        EventType::ContainerStop => Detail::ContainerStop(ContainerStop {
            ending,
            runtime,
            executed: true,
            ..ContainerStop::default()
        }),
        EventType::ContainerReady => {
            let address = "0.0.0.0:80".parse().unwrap();
            Detail::ContainerReady(ContainerReady { address, since_start_ns: None })
        }
        EventType::ContainerCrashLoop => Detail::ContainerCrashLoop(ContainerCrashLoop {
            failures: 3,
            window_ns: 1,
            restarts_seen: 3,
            ends: Vec::new(),
        }),
    }
}

fn events() -> impl Strategy<Value = Event> {
    let endings = select(vec![
        None,
        Some(Ending::Code(0)),
        Some(Ending::Code(3)),
        Some(Ending::Signal { signal: 9, core_dumped: false }),
    ]);
    let runtimes = option::of(
        select(vec![0, 1]).prop_map(|exit_code| RuntimeEnd { exit_code, ..RuntimeEnd::default() }),
    );
    let ns = option::of(select(vec![0, 1_000_000, 2_000_000]));
    let kinds = select(EventType::ALL.to_vec());
    (option::of(workloads()), kinds, (ends(), ns, select(vec![0, 111])), (endings, runtimes)).prop_map(
        |(owner, kind, (tcp, ns, errno), (ending, runtime))| {
            let detail = detail(kind, Parts { tcp, ns, errno, ending, runtime });
            Event { workload: owner, ..event(&host(7), 1, detail) }
        },
    )
}

/// One field or two with values of which many match.
fn filters() -> impl Strategy<Value = served::Filter> {
    fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
        vec(select(of.to_vec()).prop_map(str::to_owned), 1..3)
    }
    fn with<T: std::fmt::Debug + 'static>(
        values: impl Strategy<Value = T> + 'static,
        set: fn(&mut served::Filter, T),
    ) -> BoxedStrategy<served::Filter> {
        values
            .prop_map(move |values| {
                let mut filter = served::Filter::default();
                set(&mut filter, values);
                filter
            })
            .boxed()
    }
    const PODS: &[&str] = &["shop/", "shop/web", "/web-1", "db", "data/db"];
    let types = subsequence(EventType::ALL.map(|of| of as i32).to_vec(), 1..14);
    let latency =
        select(vec![1_000_000, 1_000_001]).prop_map(|nanos| prost_types::Duration { seconds: 0, nanos });
    let one = || {
        let types = types.clone();
        let latency = latency.clone();
        prop_oneof![
            with(some(&["shop", "data", "other"]), |filter, of| filter.namespaces = of),
            with(some(PODS), |filter, of| filter.pods = of),
            with(some(PODS), |filter, of| filter.from_pods = of),
            with(some(PODS), |filter, of| filter.to_pods = of),
            with(some(&["app", "00000000", "other"]), |filter, of| filter.containers = of),
            with(
                some(&["web-1", "web", "deployment/web", "ssh.service", "host", "app", "000000000000"]),
                |filter, of| filter.workloads = of
            ),
            with(types, |filter, of| filter.types = of),
            with(vec(select(vec![80, 5432, 443, 9]), 1..3), |filter, of| filter.ports = of),
            with(some(&["10.0.0.2", "fe80::/10", "2001:db8::/32", "10.0.0.0/8"]), |filter, of| filter
                .addresses =
                of),
            with(Just(true), |filter, of| filter.failure_only = of),
            with(some(&[NODE, "node-2"]), |filter, of| filter.node_names = of),
            with(some(&["db", "data/db", "web"]), |filter, of| filter.services = of),
            with(some(&["app=web-1", "tier", "!tier", "app in (db-1, x)"]), |filter, of| filter.labels = of),
            with(Just(served::PortRange { first: 100, last: 9_000 }), |filter, of| filter.port_ranges =
                vec![of]),
            with(latency, |filter, of| filter.min_latency = Some(of)),
        ]
    };
    (one(), option::weighted(0.3, one())).prop_map(|(mut filter, other)| {
        if let Some(other) = other {
            // As of protobuf, which adds the fields of both.
            filter.merge(other.encode_to_vec().as_slice()).unwrap();
        }
        filter
    })
}

fn told(event: &Event) -> v1::Event {
    let sent = wire::event(event, NODE).encode_to_vec();
    v1::Event::decode(sent.as_slice()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn what_was_told_passes_the_same_filters(
        event in events(),
        allow in vec(filters(), 0..3),
        deny in vec(filters(), 0..2),
    ) {
        // What could never match is refused before it is asked.
        let Ok(compiled) = Filters::compile(allow.clone(), deny.clone(), Purpose::Events, NODE) else { return Ok(()) };
        let told = told(&event);
        prop_assert_eq!(compiled.event(&event), compiled.told_event(&told), "{:?} {:?} {:#?}", allow, deny, told);
    }

    #[test]
    fn what_was_only_counted_is_told_to_the_same(
        workload in option::of(workloads()),
        kind in select(EventType::ALL.map(EventType::name).to_vec()),
        allow in vec(filters(), 0..3),
    ) {
        let Ok(compiled) = Filters::compile(allow, Vec::new(), Purpose::Events, NODE) else { return Ok(()) };
        let (since, until) = (BootTime(1), BootTime(2));
        let notice = FoldNotice { workload, counts: vec![(kind, 3)], budget: 1, since, until };
        let sent = wire::folded(&notice, Now::default()).encode_to_vec();
        let told = v1::Folded::decode(sent.as_slice()).unwrap();
        prop_assert_eq!(compiled.folded(&notice), compiled.told_folded(&told, NODE));
    }
}

/// What some client may see.
fn scopes() -> impl Strategy<Value = Scope> {
    select(vec![&["shop"][..], &["data"], &["shop", "data"], &["other"]])
        .prop_map(|names| Scope::Namespaces(Arc::new(names.iter().map(|name| (*name).to_owned()).collect())))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn what_was_recorded_is_seen_as_it_would_have_been_live(
        event in entered(),
        scope in option::of(scopes()),
        allow in vec(filters(), 0..3),
        deny in vec(filters(), 0..2),
    ) {
        let Ok(compiled) = Filters::compile(allow.clone(), deny.clone(), Purpose::Events, NODE) else { return Ok(()) };
        let scope = scope.unwrap_or_default();
        let compiled = compiled.within(scope.clone());
        let live = compiled.event(&event).then(|| scope.event(&event).map(|event| told(&event))).flatten();
        let recorded = wire::event(&event, NODE).encode_to_vec();
        let seen = compiled.encoded_event(&recorded, &mut Cache::default()).map(|seen| match seen {
            Seen::Whole => told(&event),
            Seen::Part(part) => *part,
        });
        prop_assert_eq!(live, seen, "{:?} {:?} {:?} {:#?}", scope, allow, deny, told(&event));
        let time = event.time;
        prop_assert_eq!(crate::filter::time(&recorded), time);
    }
}

/// Events, of which some execs came from outside.
fn entered() -> impl Strategy<Value = Event> {
    (events(), option::of(workloads())).prop_map(|(mut event, of)| {
        if let (Detail::ProcessExec(exec), Some(of)) = (&mut event.detail, of) {
            exec.origin = ExecOrigin::Namespaces { of, kinds: vec!["mnt"] };
        }
        event
    })
}

/// Scopes hide all, nothing and parts.
#[test]
fn scopes_hide_all_nothing_and_parts() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = [0; 3];
    for _ in 0..1_000 {
        let (event, scope) = (entered(), scopes()).new_tree(&mut runner).unwrap().current();
        let compiled = Filters::default().within(scope);
        let recorded = wire::event(&event, NODE).encode_to_vec();
        let place = match compiled.encoded_event(&recorded, &mut Cache::default()) {
            None => 0,
            Some(Seen::Whole) => 1,
            Some(Seen::Part(_)) => 2,
        };
        counts[place] += 1;
    }
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}

/// The two above would hold as well if nothing ever passed, or everything.
#[test]
fn both_passing_and_staying_happen() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut decided = [0, 0];
    for _ in 0..1_000 {
        let (event, filter) = (events(), filters()).new_tree(&mut runner).unwrap().current();
        if let Ok(compiled) = Filters::compile(vec![filter], Vec::new(), Purpose::Events, NODE) {
            decided[usize::from(compiled.told_event(&told(&event)))] += 1;
        }
    }
    assert!(decided.iter().all(|count| *count > 100), "{decided:?}");
}

#[test]
fn a_node_is_asked_for_by_the_name_that_is_told() {
    let of = |name: &str| served::Filter { node_names: vec![name.to_owned()], ..served::Filter::default() };
    let filters = Filters::compile(vec![of("node-2")], Vec::new(), Purpose::Events, "").unwrap();
    let here = told(&event(&host(7), 1, Detail::ProcessExec(ProcessExec::default())));
    let there = v1::Event { node_name: "node-2".to_owned(), ..here.clone() };
    assert!(!filters.told_event(&here) && filters.told_event(&there));
    assert!(filters.told_folded(&v1::Folded::default(), "node-2"));
    assert!(!filters.told_folded(&v1::Folded::default(), NODE));
}
