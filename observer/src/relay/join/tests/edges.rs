//! Both ends of edges between pods.

use super::super::{Addresses, edges};
use super::*;

fn join(told: Vec<(Arc<str>, v1::Summary)>) -> Vec<v1::Summary> {
    edges(told, &Addresses::default())
}

/// Nothing is joined; told in the order of the nodes' names.
#[track_caller]
pub(super) fn stay(told: Vec<(Arc<str>, v1::Summary)>, addresses: &Addresses) {
    let named = |(node, summary): &(Arc<str>, v1::Summary)| v1::Summary {
        node_name: node.as_ref().into(),
        ..summary.clone()
    };
    let expected: Vec<_> = told.iter().map(named).collect();
    let all = edges(told, addresses);
    assert!(all.iter().all(|one| one.far_end.is_none()), "{all:?}");
    assert_eq!(all.len(), expected.len());
    for (one, expected) in all.iter().zip(&expected) {
        assert_eq!(
            (&one.node_name, &one.edge, &one.tcp),
            (&expected.node_name, &expected.edge, &expected.tcp)
        );
    }
}

#[track_caller]
pub(super) fn only(all: &[v1::Summary]) -> (&v1::Summary, &v1::FarEnd) {
    let [one] = all else { panic!("{all:?}") };
    (one, one.far_end.as_ref().expect("it is joined"))
}

#[test]
fn from_pod_to_pod() {
    let far_side = v1::Summary { lost_events: 3, ..from(pod("web"), 8080, known("cart", "a")) };
    let all =
        join([on("a", [to(pod("cart"), 8080, known("web", "b"))]), on("b", [far_side.clone()])].concat());
    let (one, far_end) = only(&all);
    assert_eq!((&*one.node_name, &one.workload, &one.tcp), ("a", &Some(pod("cart")), &Some(figures(10))));
    let v1::FarEnd { node_name, workload, tcp, diagnosis, lost_events } = far_end;
    assert_eq!((&**node_name, workload, *lost_events), ("b", &Some(pod("web")), 3));
    assert_eq!((tcp, diagnosis), (&far_side.tcp, &far_side.diagnosis));
}

#[test]
fn through_a_service() {
    let answers = v1::Endpoint { address: String::new(), ..end_of(":8080", "web", "b") };
    let through = to(pod("cart"), 80, service("web", 80, Some(answers)));
    let all =
        join([on("a", [through.clone()]), on("b", [from(pod("web"), 8080, known("cart", "a"))])].concat());
    let (one, _) = only(&all);
    assert_eq!(one.edge, through.edge, "nothing was unknown");
    // The Service's own port is none that the server knows.
    stay(
        [on("a", [through.clone()]), on("b", [from(pod("web"), 80, known("cart", "a"))])].concat(),
        &Addresses::default(),
    );
    // Who answers is not known.
    let alone = to(pod("cart"), 80, service("web", 80, None));
    stay(
        [on("a", [alone]), on("b", [from(pod("web"), 80, known("cart", "a"))])].concat(),
        &Addresses::default(),
    );
}

/// A pod is reached there.
fn at(name: &str, address: &str) -> v1::WorkloadStatus {
    let addresses = vec![address.to_owned()];
    v1::WorkloadStatus { workload: Some(pod(name)), addresses, ..v1::WorkloadStatus::default() }
}

fn addresses(told: &[(Arc<str>, v1::WorkloadStatus)]) -> Addresses {
    Addresses::of(told.iter().map(|(node, status)| (node, status)))
}

#[test]
fn by_addresses_alone() {
    let told = [on("a", [at("cart", "10.1.0.5")]), on("b", [at("web", "10.2.0.9")])].concat();
    let edges_of = || {
        [
            on("a", [to(pod("cart"), 8080, unknown("10.2.0.9"))]),
            on("b", [from(pod("web"), 8080, unknown("10.1.0.5"))]),
        ]
        .concat()
    };
    let all = edges(edges_of(), &addresses(&told));
    let (one, _) = only(&all);
    let edge = one.edge.as_ref().unwrap();
    assert_eq!((edge.kind(), &edge.workload, &*edge.node_name), (v1::PeerKind::Pod, &Some(far("web")), "b"));
    assert_eq!((&*edge.address, edge.port), ("10.2.0.9", 8080));
    // Another node has a pod with that address.
    let more = [told, on("c", [at("other", "10.2.0.9")])].concat();
    stay(edges_of(), &addresses(&more));
    stay(edges_of(), &Addresses::default());
}

#[test]
fn one_side_knows_by_the_api_and_the_other_by_the_address() {
    let edges_of = [
        on("a", [to(pod("cart"), 8080, known("web", "b"))]),
        on("b", [from(pod("web"), 8080, unknown("10.1.0.5"))]),
    ];
    only(&edges(edges_of.concat(), &addresses(&on("a", [at("cart", "10.1.0.5")]))));
}

#[test]
fn a_pod_of_a_nodes_own_files_goes_by_its_name() {
    let mut mirrored = known("web", "b");
    mirrored.workload.as_mut().unwrap().pod_uid = "uid-of-the-mirror".into();
    let told = || {
        [
            on("a", [to(pod("cart"), 8080, mirrored.clone())]),
            on("b", [from(pod("web"), 8080, known("cart", "a"))]),
        ]
    };
    only(&join(told().concat()));
    // Two have that name.
    let other = v1::Workload { pod_uid: "uid-other".into(), ..pod("web") };
    stay([told().concat(), on("c", [from(other, 1, unknown("1.1.1.1"))])].concat(), &Addresses::default());
}

#[test]
fn another_port_another_pod_and_another_node_are_others() {
    let asks = || on("a", [to(pod("cart"), 8080, known("web", "b"))]);
    for asked in [
        from(pod("web"), 8081, known("cart", "a")),
        from(pod("web"), 8080, known("other", "a")),
        from(pod("other"), 8080, known("cart", "a")),
        // The node that it is said to be of is another one.
        from(pod("web"), 8080, known("cart", "b")),
        to(pod("web"), 8080, known("cart", "a")),
    ] {
        stay([asks(), on("b", [asked])].concat(), &Addresses::default());
    }
    // The pod is said to be on `b`, and is on `c`.
    let elsewhere = on("c", [from(pod("web"), 8080, known("cart", "a"))]);
    let at_b = on("b", [to(unit("x"), 1, unknown("1.1.1.1"))]);
    stay([asks(), at_b, elsewhere].concat(), &Addresses::default());
}

#[test]
fn within_a_node_nothing_is_joined() {
    let told = on("a", [to(pod("cart"), 8080, known("web", "")), from(pod("web"), 8080, known("cart", ""))]);
    stay(told, &Addresses::default());
}

#[test]
fn several_are_nobodys() {
    let sidecar = v1::Workload { container: "sidecar".into(), container_id: "another".into(), ..pod("cart") };
    let asks = || to(pod("cart"), 8080, known("web", "b"));
    let asked = || from(pod("web"), 8080, known("cart", "a"));
    // Two containers of a pod.
    stay(
        [on("a", [asks(), to(sidecar, 8080, known("web", "b"))]), on("b", [asked()])].concat(),
        &Addresses::default(),
    );
    // Through the Service and past it.
    let answers = v1::Endpoint { address: String::new(), ..end_of(":8080", "web", "b") };
    let through = to(pod("cart"), 80, service("web", 80, Some(answers)));
    stay([on("a", [asks(), through]), on("b", [asked()])].concat(), &Addresses::default());
    // A container and the one that was started after it.
    let former = v1::Workload { container_id: "former".into(), ..pod("web") };
    stay(
        [on("a", [asks()]), on("b", [asked(), from(former, 8080, known("cart", "a"))])].concat(),
        &Addresses::default(),
    );
    // A pod that two nodes tell of.
    stay([on("a", [asks()]), on("b", [asked()]), on("c", [asked()])].concat(), &Addresses::default());
}

#[test]
fn workloads_and_what_is_counted_together_stay() {
    let whole = v1::Summary { edge: None, diagnosis: None, ..to(pod("cart"), 0, v1::Edge::default()) };
    let many = || v1::Edge { kind: v1::PeerKind::Many.into(), ..v1::Edge::default() };
    let told =
        [on("a", [whole.clone(), to(pod("cart"), 0, many())]), on("b", [whole, from(pod("web"), 0, many())])];
    stay(told.concat(), &Addresses::default());
}

#[test]
fn nodes_come_by_name_and_their_summaries_as_they_were() {
    let [first, second] = ["1.1.1.1", "1.1.1.2"].map(|address| to(pod("z"), 80, unknown(address)));
    let third = to(pod("a"), 80, unknown("1.1.1.3"));
    let mixed = vec![("b".into(), first.clone()), ("a".into(), third.clone()), ("b".into(), second.clone())];
    let all = join(mixed);
    let order: Vec<_> = all.iter().map(|one| (&*one.node_name, one.edge.as_ref())).collect();
    assert_eq!(order, [("a", third.edge.as_ref()), ("b", first.edge.as_ref()), ("b", second.edge.as_ref())]);
}
