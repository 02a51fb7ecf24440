//! Edges from and to machines, and pods on their network.

use super::super::{Addresses, edges};
use super::edges::{only, stay};
use super::*;

fn join(told: Vec<(Arc<str>, v1::Summary)>) -> Vec<v1::Summary> {
    edges(told, &Addresses::default())
}

/// The addresses of both nodes' machines; the pod `exporter` is on the network of `b`.
fn addresses() -> Addresses {
    let told = [
        on("a", [connection(unit("kubelet"), true, end("192.168.0.1:1"), end("192.168.0.9:6443"))]),
        on(
            "b",
            [
                connection(unit("kubelet"), true, end("192.168.0.2:1"), end("192.168.0.9:6443")),
                is_asked("exporter", "10.1.0.5:5", "192.168.0.2:9100"),
            ],
        ),
    ];
    seen_in(&told.concat())
}

#[test]
fn a_unit_asks_a_unit() {
    let told = [
        on("a", [to(unit("kubelet"), 6443, machine("192.168.0.2", "b"))]),
        on("b", [from(unit("api"), 6443, machine("192.168.0.1", "a"))]),
    ];
    let all = join(told.concat());
    let (one, far_end) = only(&all);
    assert_eq!((&far_end.workload, &*far_end.node_name), (&Some(unit("api")), "b"));
    assert_eq!(one.edge.as_ref().unwrap().workload, Some(unit("api")));
    // Without the API, by what the nodes say of their own addresses, or by connections.
    let by_address = || {
        [
            on("a", [to(unit("kubelet"), 6443, unknown("192.168.0.2"))]),
            on("b", [from(unit("api"), 6443, unknown("192.168.0.1"))]),
        ]
        .concat()
    };
    stay(by_address(), &Addresses::default());
    let all = edges(by_address(), &addresses());
    assert_eq!(only(&all).0.edge.as_ref().unwrap().kind(), v1::PeerKind::Node);
    let own = |address| v1::Edge { kind: v1::PeerKind::Host.into(), ..unknown(address) };
    let told = [
        by_address(),
        on("a", [to(unit("x"), 22, own("192.168.0.1"))]),
        on("b", [to(unit("x"), 22, own("192.168.0.2"))]),
    ];
    assert_eq!(join(told.concat()).iter().filter(|one| one.far_end.is_some()).count(), 1);
}

#[test]
fn two_units_that_ask_are_one_machine() {
    let to_api = || machine("192.168.0.2", "b");
    let told = [
        on("a", [to(unit("kubelet"), 6443, to_api()), to(unit("proxy"), 6443, to_api())]),
        on("b", [from(unit("api"), 6443, machine("192.168.0.1", "a"))]),
    ];
    stay(told.concat(), &Addresses::default());
}

#[test]
fn a_pod_that_may_ask_in_its_machines_name_makes_it_nobodys() {
    let asked = || on("b", [from(pod("web"), 8080, machine("192.168.0.1", "a"))]);
    let by_unit = || to(unit("probe"), 8080, known("web", "b"));
    let by_pod = || to(pod("cart"), 8080, known("web", "b"));
    only(&join([on("a", [by_unit()]), asked()].concat()));
    stay([on("a", [by_unit(), by_pod()]), asked()].concat(), &Addresses::default());
    // What source NAT hides stays two, also where nobody else can have asked.
    stay([on("a", [by_pod()]), asked()].concat(), &Addresses::default());
    stay([on("a", [by_pod()]), asked()].concat(), &addresses());
    // That pod was found there by itself, so it does not ask in the machine's name.
    let all = join(
        [on("a", [by_unit(), by_pod()]), on("b", [from(pod("web"), 8080, known("cart", "a"))]), asked()]
            .concat(),
    );
    let nodes: Vec<_> = all.iter().map(|one| (&*one.node_name, one.far_end.is_some())).collect();
    assert_eq!(nodes, [("a", true), ("a", true)]);
}

#[test]
fn who_comes_in_by_a_node_port_makes_it_nobodys() {
    let asks = || on("a", [to(unit("probe"), 8080, known("web", "b"))]);
    let asked = |opened, live| {
        let tcp = v1::TcpSummary { live, ..figures(opened) };
        v1::Summary { tcp: Some(tcp), ..from(pod("web"), 8080, machine("192.168.0.1", "a")) }
    };
    only(&join([asks(), on("b", [asked(10, 0)])].concat()));
    // One that the client's end has counted before, or that the server has not accepted yet.
    only(&join([asks(), on("b", [asked(9, 0)])].concat()));
    // More than the probe can have made are somebody else's.
    stay([asks(), on("b", [asked(11, 0)])].concat(), &Addresses::default());
    stay([asks(), on("b", [asked(10, 1)])].concat(), &Addresses::default());
    // So may be those that were lost.
    let lossy = v1::Summary { lost_events: 1, ..asked(10, 0) };
    stay([asks(), on("b", [lossy])].concat(), &Addresses::default());
    // Where no machine asks, nobody can hide behind it.
    let by_pod = on("a", [to(pod("prometheus"), 9100, machine("192.168.0.2", "b"))]);
    let more = v1::Summary {
        tcp: Some(figures(11)),
        lost_events: 1,
        ..from(unit("exporter"), 9100, known("prometheus", "a"))
    };
    only(&join([by_pod, on("b", [more])].concat()));
}

#[test]
fn a_pod_that_asks_somebody_whom_nobody_knows_makes_it_nobodys() {
    let told = |more: v1::Summary| {
        let asked = on("b", [from(pod("web"), 8080, machine("192.168.0.1", "a"))]);
        [on("a", [to(unit("probe"), 8080, known("web", "b")), more]), asked].concat()
    };
    let answers = end_of("10.2.0.9:80", "api", "b");
    let joined = |more| join(told(more)).iter().any(|one| one.far_end.is_some());
    assert!(joined(to(pod("cart"), 80, service("api", 80, Some(answers)))));
    // Who answers for it may be that pod, whose port is another one than the Service's.
    stay(told(to(pod("cart"), 80, service("web", 80, None))), &Addresses::default());
    let many = v1::Edge { kind: v1::PeerKind::Many.into(), ..v1::Edge::default() };
    stay(told(to(pod("cart"), 0, many.clone())), &Addresses::default());
    // Those who are asked by many hide nobody; and a unit's edges are the machine's own.
    assert!(joined(from(pod("cart"), 0, many.clone())));
    assert!(joined(to(unit("kubelet"), 0, many)));
}

#[test]
fn a_pod_on_its_machines_network() {
    let to_exporter = || on("a", [to(pod("prometheus"), 9100, machine("192.168.0.2", "b"))]);
    let asked = || on("b", [from(pod("exporter"), 9100, known("prometheus", "a"))]);
    let all = edges([to_exporter(), asked()].concat(), &addresses());
    let edge = only(&all).0.edge.as_ref().unwrap();
    assert_eq!((edge.kind(), &edge.workload), (v1::PeerKind::Node, &Some(far("exporter"))));
    // Nobody knows that it is there.
    stay([to_exporter(), asked()].concat(), &Addresses::default());
    // The API knows by the port that it is that pod.
    let named = on("a", [to(pod("prometheus"), 9100, known("exporter", "b"))]);
    only(&join([named, asked()].concat()));
    // It asks: the other side sees the machine.
    let asks = on("b", [to(pod("exporter"), 80, known("web", "a"))]);
    let asked = on("a", [from(pod("web"), 80, machine("192.168.0.2", "b"))]);
    only(&edges([asked, asks].concat(), &addresses()));
}

#[test]
fn what_fails_on_one_side_is_not_what_succeeds_on_the_other() {
    let mut failing = to(unit("probe"), 8080, known("web", "b"));
    failing.tcp = Some(v1::TcpSummary { failed: 5, ..v1::TcpSummary::default() });
    // Somebody else who is hidden behind that address.
    let asked = from(pod("web"), 8080, machine("192.168.0.1", "a"));
    stay([on("a", [failing]), on("b", [asked])].concat(), &Addresses::default());
}

#[test]
fn addresses_that_machines_share_are_nobodys() {
    let bridge =
        |node| on(node, [connection(unit("docker"), true, end("172.17.0.1:1"), end("172.17.0.2:2"))]);
    let told = [bridge("a"), bridge("b")].concat();
    let addresses = seen_in(&told);
    let told = [
        on("a", [to(pod("cart"), 80, unknown("172.17.0.1"))]),
        on("b", [from(unit("x"), 80, known("cart", "a"))]),
    ];
    stay(told.concat(), &addresses);
}
