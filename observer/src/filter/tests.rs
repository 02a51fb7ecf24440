//! Tables of filters and what they match.

use std::sync::Arc;

use observer_proto::served as v1;

use super::*;
use crate::event::examples::{close, connect, counters, event, exited, host, pod, tcp};
use crate::event::{
    Backend, Detail, EdgeBackend, Ending, Owner, Peer, PeerKind, Place, TcpSummary, WorkloadId,
};

fn compile(allow: Vec<v1::Filter>, deny: Vec<v1::Filter>) -> Result<Filters, String> {
    Filters::compile(allow, deny, Purpose::Events, "node-1").map_err(|error| error.to_string())
}

fn texts<const N: usize>(values: [&str; N]) -> Vec<String> {
    values.map(str::to_owned).to_vec()
}

/// That of the examples' handshakes.
const HANDSHAKE_NS: u64 = 1_000_000;

fn range(first: u32, last: u32) -> v1::PortRange {
    v1::PortRange { first, last }
}

#[allow(clippy::unnecessary_wraps, reason = "it is a field's value")]
fn latency(ns: u64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: 0, nanos: ns as i32 })
}

/// `shop/web-1` (10.0.0.1:40000) asks `data/db-1` (10.0.0.2:5432).
fn connected() -> Event {
    let (web, db) = (pod(1, "shop", "web-1"), pod(2, "data", "db-1"));
    event(&web, 1, connect(&tcp(1, true, "10.0.0.2:5432", Some(&db))))
}

#[test]
fn fields_match_as_documented() {
    let none = v1::Filter::default;
    let db_id = format!("{:064x}", 2);
    let cases: Vec<(v1::Filter, bool)> = vec![
        (v1::Filter { namespaces: texts(["shop"]), ..none() }, true),
        (v1::Filter { namespaces: texts(["data"]), ..none() }, true),
        (v1::Filter { namespaces: texts(["sho"]), ..none() }, false),
        (v1::Filter { pods: texts(["shop/we"]), ..none() }, true),
        (v1::Filter { pods: texts(["data/we"]), ..none() }, false),
        (v1::Filter { pods: texts(["data/"]), ..none() }, true),
        (v1::Filter { pods: texts(["/db-1"]), ..none() }, true),
        (v1::Filter { pods: texts(["/db"]), ..none() }, false),
        (v1::Filter { pods: texts(["db", "nothing"]), ..none() }, true),
        (v1::Filter { from_pods: texts(["web"]), ..none() }, true),
        (v1::Filter { from_pods: texts(["db"]), ..none() }, false),
        (v1::Filter { to_pods: texts(["db"]), ..none() }, true),
        (v1::Filter { to_pods: texts(["web"]), ..none() }, false),
        (v1::Filter { containers: texts(["app"]), ..none() }, true),
        (v1::Filter { containers: texts(["00000000"]), ..none() }, true),
        (v1::Filter { containers: texts(["0000000"]), ..none() }, false),
        (v1::Filter { containers: vec![db_id], ..none() }, false),
        (v1::Filter { workloads: texts(["web-1"]), ..none() }, true),
        (v1::Filter { workloads: texts(["db-1"]), ..none() }, false),
        (v1::Filter { types: vec![EventType::TcpConnect as i32], ..none() }, true),
        (v1::Filter { types: vec![EventType::TcpClose as i32], ..none() }, false),
        (v1::Filter { ports: vec![5432], ..none() }, true),
        (v1::Filter { ports: vec![40000], ..none() }, true),
        (v1::Filter { ports: vec![80], ..none() }, false),
        (v1::Filter { addresses: texts(["10.0.0.2"]), ..none() }, true),
        (v1::Filter { addresses: texts(["10.9.9.9/8"]), ..none() }, true),
        (v1::Filter { addresses: texts(["::ffff:10.0.0.1"]), ..none() }, true),
        (v1::Filter { addresses: texts(["fe80::/10", "192.0.2.1"]), ..none() }, false),
        (v1::Filter { port_ranges: vec![range(5000, 5432)], ..none() }, true),
        (v1::Filter { port_ranges: vec![range(1, 80), range(5433, 39_999)], ..none() }, false),
        (v1::Filter { ports: vec![1], port_ranges: vec![range(40_000, 40_000)], ..none() }, true),
        (v1::Filter { labels: texts(["app=web-1"]), ..none() }, true),
        (v1::Filter { labels: texts(["app == db-1"]), ..none() }, true),
        (v1::Filter { labels: texts(["app in (x, db-1)"]), ..none() }, true),
        (v1::Filter { labels: texts(["app notin (web-1, db-1)"]), ..none() }, false),
        (v1::Filter { labels: texts(["app,!canary"]), ..none() }, true),
        (v1::Filter { labels: texts(["app=web-1,app=db-1"]), ..none() }, false),
        (v1::Filter { labels: texts(["tier", "app!=web-1"]), ..none() }, true),
        (v1::Filter { labels: texts(["example.com/team=a"]), ..none() }, false),
        (v1::Filter { min_latency: latency(HANDSHAKE_NS), ..none() }, true),
        (v1::Filter { min_latency: latency(HANDSHAKE_NS + 1), ..none() }, false),
        (v1::Filter { failure_only: true, ..none() }, false),
        (v1::Filter { node_names: texts(["node-1"]), ..none() }, true),
        (v1::Filter { node_names: texts(["node-2"]), ..none() }, false),
        (v1::Filter { namespaces: texts(["shop"]), ports: vec![80], ..none() }, false),
    ];
    let event = connected();
    for (filter, expected) in cases {
        let filters = compile(vec![filter.clone()], Vec::new()).unwrap();
        assert_eq!(filters.event(&event), expected, "{filter:?}");
        let filters = compile(Vec::new(), vec![filter.clone()]).unwrap();
        assert_eq!(filters.event(&event), !expected, "deny {filter:?}");
    }
}

#[test]
fn what_made_a_pod_and_the_service_that_is_asked_match_too() {
    let mut web = (*pod(1, "shop", "web-1")).clone();
    web.owner = Some(Arc::new(Owner { kind: "Deployment".into(), name: "web".into() }));
    let mut ends = tcp(1, true, "10.96.0.7:80", None);
    ends.peer.place =
        Some(Arc::new(Place { id: WorkloadId(9), service: "data/db".into(), node_name: String::new() }));
    let event = event(&Arc::new(web), 1, connect(&ends));
    let none = v1::Filter::default;
    for (filter, expected) in [
        (v1::Filter { workloads: texts(["web"]), ..none() }, true),
        (v1::Filter { workloads: texts(["deployment/web"]), ..none() }, true),
        (v1::Filter { workloads: texts(["Deployment/web"]), ..none() }, true),
        (v1::Filter { workloads: texts(["web-1"]), ..none() }, true),
        (v1::Filter { workloads: texts(["statefulset/web"]), ..none() }, false),
        (v1::Filter { workloads: texts(["deployment/web-1"]), ..none() }, false),
        (v1::Filter { namespaces: texts(["data"]), ..none() }, true),
        (v1::Filter { namespaces: texts(["db"]), ..none() }, false),
        (v1::Filter { services: texts(["db"]), ..none() }, true),
        (v1::Filter { services: texts(["web", "data/db"]), ..none() }, true),
        (v1::Filter { services: texts(["shop/db", "d"]), ..none() }, false),
    ] {
        let filters = compile(vec![filter.clone()], Vec::new()).unwrap();
        assert_eq!(filters.event(&event), expected, "{filter:?}");
    }
}

#[test]
fn filters_add_up_and_deny_wins() {
    let by_port = |port| v1::Filter { ports: vec![port], ..v1::Filter::default() };
    let event = connected();
    assert!(compile(vec![by_port(1), by_port(5432)], Vec::new()).unwrap().event(&event));
    assert!(!compile(vec![by_port(5432)], vec![by_port(40000)]).unwrap().event(&event));
    assert!(Filters::default().event(&event));
}

#[test]
fn processes_have_no_peer_and_no_port() {
    let exit = |code| Detail::ProcessExit(exited(Ending::Code(code)));
    let web = pod(1, "shop", "web-1");
    let failures = v1::Filter { failure_only: true, ..v1::Filter::default() };
    let failures = compile(vec![failures], Vec::new()).unwrap();
    assert!(failures.event(&event(&web, 1, exit(1))));
    assert!(!failures.event(&event(&web, 1, exit(0))));
    let from = v1::Filter { from_pods: texts(["web"]), ..v1::Filter::default() };
    assert!(!compile(vec![from], Vec::new()).unwrap().event(&event(&web, 1, exit(1))));
    let of_host = v1::Filter { workloads: texts(["host"]), ..v1::Filter::default() };
    let of_host = compile(vec![of_host], Vec::new()).unwrap();
    assert!(of_host.event(&event(&host(3), 1, exit(0))) && !of_host.event(&event(&web, 1, exit(0))));
    let close = close(&tcp(1, false, "192.0.2.1:9", None), counters(1, 0));
    assert!(!failures.event(&event(&web, 1, close)));
}

#[test]
fn what_is_not_allowed_is_named_with_what_is() {
    let none = v1::Filter::default;
    let many = vec!["a".to_owned(); 1_001];
    let cases: Vec<(v1::Filter, &str)> = vec![
        (none(), "allow[0]: an empty filter is not allowed: set at least one field"),
        (v1::Filter { ports: vec![0], ..none() }, "allow[0].ports: 0 is not allowed: a port from 1 to 65535"),
        (v1::Filter { ports: vec![70_000], ..none() }, "allow[0].ports: 70000 is not"),
        (v1::Filter { types: vec![0], ..none() }, "allow[0].types: 0 is not allowed: one of process_exec, "),
        (v1::Filter { types: vec![99], ..none() }, "allow[0].types: 99 is not"),
        (v1::Filter { pods: texts(["a", "a/b/c"]), ..none() }, "allow[0].pods: \"a/b/c\" is not allowed: `"),
        (v1::Filter { pods: texts(["/"]), ..none() }, "allow[0].pods: \"/\""),
        (v1::Filter { pods: texts([""]), ..none() }, "allow[0].pods: \"\""),
        (v1::Filter { to_pods: texts(["web-*"]), ..none() }, "allow[0].to_pods: \"web-*\""),
        (v1::Filter { services: texts(["a/b/c"]), ..none() }, "allow[0].services: \"a/b/c\""),
        (v1::Filter { services: texts(["/b"]), ..none() }, "allow[0].services: \"/b\""),
        (v1::Filter { addresses: texts(["10.0.0.0/33"]), ..none() }, "allow[0].addresses: \"10.0.0.0/33\""),
        (
            v1::Filter { labels: texts(["a in (b"]), ..none() },
            "allow[0].labels: \"a in (b\" is not allowed: a sel",
        ),
        (v1::Filter { labels: texts([""]), ..none() }, "allow[0].labels: \"\""),
        (v1::Filter { labels: texts(["a=b,"]), ..none() }, "allow[0].labels: \"a=b,\""),
        (v1::Filter { labels: texts(["a within (b)"]), ..none() }, "allow[0].labels: \"a within (b)\""),
        (
            v1::Filter { port_ranges: vec![range(9, 8)], ..none() },
            "allow[0].port_ranges: 9 to 8 is not allowed: a range",
        ),
        (v1::Filter { port_ranges: vec![range(0, 8)], ..none() }, "allow[0].port_ranges: 0 is not"),
        (
            v1::Filter { min_latency: latency(0), ..none() },
            "allow[0].min_latency: 0 s and 0 ns is not allowed",
        ),
        (
            v1::Filter { namespaces: texts([""]), ..none() },
            "allow[0].namespaces: \"\" is not allowed: a name",
        ),
        (v1::Filter { namespaces: many, ..none() }, "allow, deny: 1001 values is not allowed"),
    ];
    for (filter, expected) in cases {
        let error = compile(vec![filter], Vec::new()).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    let filter = v1::Filter { failure_only: true, ..none() };
    assert!(compile(vec![filter; 101], Vec::new()).is_err());
}

#[test]
fn what_can_never_match_is_refused_with_the_reason() {
    let none = v1::Filter::default;
    let types = |types: &[EventType]| types.iter().map(|of| *of as i32).collect::<Vec<_>>();
    let exec = || types(&[EventType::ProcessExec, EventType::OomKill]);
    let refused = |allow: v1::Filter, deny: Vec<v1::Filter>| compile(vec![allow], deny).err();
    let cases = [
        (
            v1::Filter { types: exec(), ports: vec![80], ..none() },
            "no process_exec, oom_kill is about a connection; leave `ports` out, or ask for tcp_ types",
        ),
        (v1::Filter { types: exec(), to_pods: texts(["a"]), ..none() }, "leave `to_pods` out"),
        (
            v1::Filter { types: types(&[EventType::TcpReset]), min_latency: latency(1), ..none() },
            "no tcp_reset has a latency",
        ),
        (
            v1::Filter { types: types(&[EventType::TcpConnect]), failure_only: true, ..none() },
            "no tcp_connect is a failure",
        ),
    ];
    for (filter, reason) in cases {
        let error = refused(filter.clone(), Vec::new()).unwrap();
        assert!(error.starts_with("allow[0]: a filter that can never match is not allowed: "), "{error}");
        assert!(error.contains(reason), "{error}");
        assert!(compile(Vec::new(), vec![filter]).unwrap_err().starts_with("deny[0]: "));
    }
    let mixed = types(&[EventType::ProcessExec, EventType::TcpConnect]);
    assert_eq!(refused(v1::Filter { types: mixed, ports: vec![80], ..none() }, Vec::new()), None);

    let shop = || v1::Filter { namespaces: texts(["shop"]), ..none() };
    let web = || v1::Filter { pods: texts(["web"]), port_ranges: vec![range(80, 80)], ..shop() };
    let error = refused(web(), vec![v1::Filter { ports: vec![1], ..none() }, shop()]).unwrap();
    assert!(
        error.contains("allow[0]: a filter that can never match") && error.contains("deny[1] leaves out"),
        "{error}"
    );
    assert!(refused(web(), vec![v1::Filter { ports: vec![79, 80], ..none() }]).is_some());
    assert_eq!(refused(shop(), vec![web()]), None);
    assert_eq!(
        refused(web(), vec![v1::Filter { namespaces: texts(["shop"]), failure_only: true, ..none() }]),
        None
    );
}

#[test]
fn fields_without_a_meaning_are_refused() {
    let types = v1::Filter { types: vec![1], ..v1::Filter::default() };
    let ports = v1::Filter { ports: vec![1], ..v1::Filter::default() };
    let refused = |filter: &v1::Filter, purpose| {
        Filters::compile(Vec::new(), vec![filter.clone()], purpose, "").map_err(|error| error.field).err()
    };
    for purpose in [Purpose::Summaries, Purpose::Connections, Purpose::Workloads] {
        assert_eq!(refused(&types, purpose), Some("deny[0].types".to_owned()));
    }
    assert_eq!(refused(&ports, Purpose::Summaries), None);
    assert_eq!(refused(&ports, Purpose::Workloads), Some("deny[0].ports".to_owned()));
    let services = v1::Filter { services: texts(["web"]), ..v1::Filter::default() };
    assert_eq!(refused(&services, Purpose::Connections), None);
    assert_eq!(refused(&services, Purpose::Workloads), Some("deny[0].services".to_owned()));
}

/// `shop/web-1` asks the service `data/db` on port 80, for which `data/db-1` (10.0.0.9:5432) answers.
#[test]
fn edges_match_by_both_the_service_and_who_answers() {
    let (web, db) = (pod(1, "shop", "web-1"), pod(2, "data", "db-1"));
    let place = Place { id: WorkloadId(9), service: "data/db".into(), node_name: String::new() };
    let answers = Peer { workload: Some(db), ..Peer::of(PeerKind::Pod) };
    let summary = EdgeSummary {
        workload: web,
        peer: Peer { place: Some(Arc::new(place)), ..Peer::of(PeerKind::Service) },
        backend: Some(Arc::new(Backend { address: "10.0.0.9:5432".parse().unwrap(), peer: answers })),
        tcp: TcpSummary::default(),
    };
    let edge = Edge {
        workload: WorkloadId(1),
        kind: PeerKind::Service,
        peer: Some(WorkloadId(9)),
        address: "10.96.0.7".parse().ok(),
        interface: 0,
        port: 80,
        outgoing: true,
        backend: Some(EdgeBackend { kind: PeerKind::Pod, peer: None, address: None, port: 5432 }),
    };
    let none = v1::Filter::default;
    for (filter, told, explained) in [
        (v1::Filter { services: texts(["db"]), ..none() }, true, true),
        (v1::Filter { services: texts(["web"]), ..none() }, false, false),
        (v1::Filter { to_pods: texts(["data/db-1"]), ..none() }, true, false),
        (v1::Filter { pods: texts(["shop/web"]), ..none() }, true, true),
        (v1::Filter { ports: vec![80], addresses: texts(["10.96.0.7"]), ..none() }, true, true),
        (v1::Filter { ports: vec![5432], addresses: texts(["10.0.0.9"]), ..none() }, true, true),
        (v1::Filter { addresses: texts(["10.0.0.8"]), ..none() }, false, false),
    ] {
        let filters = Filters::compile(vec![filter.clone()], Vec::new(), Purpose::Summaries, "").unwrap();
        let found = (filters.edge(&edge, &summary), filters.explained(&edge, &summary));
        assert_eq!(found, (told, explained), "{filter:?}");
    }
}
