//! What daemons of three nodes may tell, right or wrong.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

pub(super) const NODES: [&str; 3] = ["a", "b", "c"];
const ADDRESSES: [&str; 7] =
    ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "127.0.0.1", "fe80::1%2"];

fn owners() -> impl Strategy<Value = v1::Workload> {
    select(vec!["p", "p", "q", "r", "r", "s", "t", "unit", "container"]).prop_map(|name| match name {
        "unit" => unit("kubelet"),
        "container" => v1::Workload {
            kind: v1::WorkloadKind::Container.into(),
            container_id: "docker".into(),
            ..unit("docker")
        },
        name => pod(name),
    })
}

/// Pods are mostly where they belong, and sometimes told by several nodes.
fn homes(owner: &v1::Workload, anywhere: usize) -> &'static str {
    match owner.pod.as_str() {
        "p" | "q" => "a",
        "r" | "s" => "b",
        _ => NODES[anywhere],
    }
}

fn kinds() -> impl Strategy<Value = v1::PeerKind> {
    use v1::PeerKind::{Host, Loopback, Many, Node, Outside, Pod, Service, Unspecified};
    select(vec![Pod, Pod, Pod, Pod, Outside, Outside, Node, Host, Service, Loopback, Many, Unspecified])
}

fn ends() -> impl Strategy<Value = v1::Endpoint> {
    let at = (kinds(), select(&ADDRESSES[..]), 1..3_u32);
    let who = (option::weighted(0.7, owners()), select(vec!["", "", "a", "b", "c", "elsewhere"]));
    (at, who).prop_map(|((kind, address, port), (workload, node_name))| {
        let by_workload = kind == v1::PeerKind::Pod && workload.is_some();
        v1::Endpoint {
            address: if by_workload { String::new() } else { address.into() },
            port,
            workload: workload.filter(|_| by_workload).map(|of| far(&of.name)),
            kind: kind.into(),
            node_name: node_name.into(),
            ..v1::Endpoint::default()
        }
    })
}

/// The address that somebody has on that node.
fn address_of(owner: &v1::Workload, node: &str) -> String {
    let subnet = NODES.iter().position(|of| *of == node).unwrap() + 1;
    match owner.name.as_str() {
        "kubelet" => format!("192.168.0.{subnet}"),
        "docker" => "172.17.0.2".into(),
        "s" => format!("2001:db8:{subnet}::1"),
        name => format!("10.0.{subnet}.{}", name.as_bytes()[0]),
    }
}

/// One side of an edge as its node knows it: by the API, by the address, through a Service, or hidden.
fn side(other: &v1::Workload, at: &str, how: usize, outgoing: bool) -> v1::Edge {
    let by_address = unknown(&address_of(other, at));
    let by_name =
        if other.pod.is_empty() { machine(&by_address.address, at) } else { known(&other.name, at) };
    let end = |edge: &v1::Edge| v1::Endpoint {
        address: edge.address.clone(),
        port: 1,
        workload: edge.workload.clone(),
        kind: edge.kind,
        node_name: edge.node_name.clone(),
        ..v1::Endpoint::default()
    };
    match how {
        0..=2 => by_name,
        3 | 4 => by_address,
        5 if outgoing => service("web", 2, Some(end(&by_name))),
        6 if outgoing => service("web", 2, Some(end(&by_address))),
        _ => unknown("198.51.100.7"),
    }
}

pub(super) type Ends<T> = Vec<(Arc<str>, T)>;

/// Both sides of an edge, or one of them.
fn edge_sides() -> impl Strategy<Value = Ends<v1::Summary>> {
    let who = (owners(), owners(), 0..3_usize, 0..3_usize);
    (who, 0..8_usize, 0..8_usize, 0..6_u64, 0..9_usize).prop_map(
        |((client, server, at, or_at), near, far, opened, missing)| {
            let [a, b] = [homes(&client, at), homes(&server, or_at)];
            let asks = v1::Edge { outgoing: true, port: 1, ..side(&server, b, near, true) };
            let asked = v1::Edge { outgoing: false, port: 1, ..side(&client, a, far, false) };
            let mut asked = summary(server, asked, opened + 1);
            let stalled = v1::Stalled { unread: (missing % 2) as u32, ..v1::Stalled::default() };
            asked.tcp.as_mut().unwrap().stalled = Some(stalled);
            let both = [(Arc::from(a), summary(client, asks, opened)), (Arc::from(b), asked)];
            both.into_iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, one)| one).collect()
        },
    )
}

/// Anything at all.
fn any_edge() -> impl Strategy<Value = Ends<v1::Summary>> {
    let edge = (ends(), option::weighted(0.2, ends()), any::<bool>());
    let one = (owners(), 0..3_usize, edge, 0..5_u64, option::weighted(0.8, Just(())), 0..9_u32);
    one.prop_map(|(owner, anywhere, (end, backend, outgoing), opened, told, failed)| {
        let node = homes(&owner, anywhere);
        let v1::Endpoint { address, port, workload, kind, node_name, .. } = end;
        let edge = v1::Edge {
            kind,
            address,
            port,
            outgoing,
            workload,
            node_name,
            backend: backend.filter(|_| outgoing),
            ..v1::Edge::default()
        };
        let mut summary = summary(owner, edge, opened);
        summary.tcp.as_mut().unwrap().failed = failed.into();
        if told.is_none() {
            summary = v1::Summary { edge: None, diagnosis: None, ..summary };
        }
        vec![(Arc::from(node), summary)]
    })
}

pub(super) fn summaries() -> impl Strategy<Value = Ends<v1::Summary>> {
    (vec(edge_sides(), 0..6), vec(any_edge(), 0..6)).prop_map(|(sides, any)| [sides, any].concat().concat())
}

/// Both ends of a connection, or one of them.
fn connection_ends() -> impl Strategy<Value = Ends<v1::Connection>> {
    let who = (owners(), owners(), 0..3_usize, 0..3_usize);
    (who, 1..3_u32, any::<bool>(), 0..9_usize).prop_map(
        |((client, server, at, or_at), port, translated, missing)| {
            let [a, b] = [homes(&client, at), homes(&server, or_at)];
            let of = |address: String, port| v1::Endpoint { address, port, ..end("0.0.0.0:1") };
            let [source, destination] = [of(address_of(&client, a), port), of(address_of(&server, b), 80)];
            let is_asked = connection(server, false, source.clone(), destination.clone());
            let mut asks = connection(client, true, source, destination.clone());
            if translated {
                let tcp = asks.tcp.as_mut().unwrap();
                (tcp.destination, tcp.backend) = (Some(of("10.96.0.7".into(), 443)), Some(destination));
            }
            let both = [(Arc::from(a), asks), (Arc::from(b), is_asked)];
            both.into_iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, one)| one).collect()
        },
    )
}

/// Anything at all.
fn any_connection() -> impl Strategy<Value = Ends<v1::Connection>> {
    let at = || (select(&ADDRESSES[..]), 1..3_u32);
    let end = move || {
        (at(), ends()).prop_map(|((address, port), end)| v1::Endpoint {
            address: address.into(),
            port,
            ..end
        })
    };
    let ends = (end(), end(), option::weighted(0.2, end()), any::<bool>());
    let one = (owners(), 0..3_usize, ends, option::weighted(0.1, Just(v1::PeerEnd::default())));
    one.prop_map(|(owner, anywhere, (source, destination, backend, outgoing), peer)| {
        let node = homes(&owner, anywhere);
        let mut connection = connection(owner, outgoing, source, destination);
        connection.tcp.as_mut().unwrap().backend = backend.filter(|_| outgoing);
        vec![(Arc::from(node), v1::Connection { peer, ..connection })]
    })
}

pub(super) fn live() -> impl Strategy<Value = Ends<v1::Connection>> {
    (vec(connection_ends(), 0..6), vec(any_connection(), 0..6))
        .prop_map(|(ends, any)| [ends, any].concat().concat())
}
