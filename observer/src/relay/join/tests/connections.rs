//! Both ends of connections.

use super::super::connections;
use super::*;

const CLIENT: &str = "10.1.0.5:40000";
const SERVER: &str = "10.2.0.9:8080";

fn joined(client: v1::Connection, server: v1::Connection) -> Vec<v1::Connection> {
    connections([on("a", [client]), on("b", [server])].concat())
}

#[track_caller]
fn stay(told: Vec<(Arc<str>, v1::Connection)>) {
    let named = told
        .iter()
        .map(|(node, connection)| v1::Connection { node_name: node.as_ref().into(), ..connection.clone() });
    let expected: Vec<_> = named.collect();
    assert_eq!(connections(told), expected);
}

#[test]
fn from_pod_to_pod() {
    let all = joined(asks("cart", CLIENT, SERVER), is_asked("web", CLIENT, SERVER));
    let [one] = &all[..] else { panic!("{all:?}") };
    assert_eq!(one.node_name, "a");
    assert_eq!(one.workload, Some(pod("cart")));
    let peer = one.peer.as_ref().unwrap();
    let server = is_asked("web", CLIENT, SERVER);
    assert_eq!((peer.node_name.as_str(), &peer.workload), ("b", &Some(pod("web"))));
    assert_eq!((&*peer.connection_id, &peer.process), ("socket-of-web", &server.process));
    assert_eq!((peer.handshake_latency_ns, &peer.flow), (Some(300_000), &server.flow));
    // Node `a` knew an address alone.
    let asked = one.tcp.as_ref().unwrap().destination.as_ref().unwrap();
    assert_eq!((asked.kind(), &asked.workload), (v1::PeerKind::Pod, &Some(far("web"))));
    assert_eq!((&*asked.node_name, &*asked.address, asked.port), ("b", "10.2.0.9", 8080));
}

#[test]
fn a_container_with_the_same_address_on_its_own_node_is_another() {
    let docker = |id: &str| v1::Workload {
        kind: v1::WorkloadKind::Container.into(),
        name: id.into(),
        container_id: id.into(),
        ..v1::Workload::default()
    };
    let asks_one = |id: &str| {
        let destination = v1::Endpoint { workload: Some(docker(id)), ..end(SERVER) };
        connection(pod("cart"), true, end(CLIENT), destination)
    };
    let asked = || connection(docker("there"), false, end(CLIENT), end(SERVER));
    stay([on("a", [asks_one("here")]), on("b", [asked()])].concat());
    assert_eq!(joined(asks_one("there"), asked()).len(), 1);
    assert_eq!(joined(asks("cart", CLIENT, SERVER), asked()).len(), 1);
}

#[test]
fn what_a_node_knew_stays() {
    let mut known = v1::Workload { labels: [("app".into(), "web".into())].into(), ..far("web") };
    known.owner_name = "web".into();
    let destination = v1::Endpoint { workload: Some(known.clone()), ..end_of(SERVER, "web", "b") };
    let all =
        joined(connection(pod("cart"), true, end(CLIENT), destination), is_asked("web", CLIENT, SERVER));
    let [one] = &all[..] else { panic!("{all:?}") };
    assert_eq!(one.tcp.as_ref().unwrap().destination.as_ref().unwrap().workload, Some(known));
}

#[test]
fn through_a_service() {
    let mut client = asks("cart", CLIENT, "10.96.0.7:80");
    client.tcp.as_mut().unwrap().backend = Some(end(SERVER));
    let all = joined(client, is_asked("web", CLIENT, SERVER));
    let [one] = &all[..] else { panic!("{all:?}") };
    let tcp = one.tcp.as_ref().unwrap();
    assert_eq!(tcp.destination.as_ref().unwrap().workload, None, "the Service is nobody's");
    let backend = tcp.backend.as_ref().unwrap();
    assert_eq!((backend.kind(), &backend.workload), (v1::PeerKind::Pod, &Some(far("web"))));
    // The server's side of a connection to the Service's own address is nobody's.
    let mut client = asks("cart", CLIENT, "10.96.0.7:80");
    client.tcp.as_mut().unwrap().backend = Some(end(SERVER));
    stay([on("a", [client]), on("b", [is_asked("web", CLIENT, "10.96.0.7:80")])].concat());
}

#[test]
fn of_ipv6_and_of_ipv4_within_it() {
    let (client, server) = ("[2001:db8:1::5]:40000", "[2001:db8:2::9]:8080");
    assert_eq!(joined(asks("cart", client, server), is_asked("web", client, server)).len(), 1);
    let mapped = is_asked("web", "[::ffff:10.1.0.5]:40000", "[::ffff:10.2.0.9]:8080");
    assert_eq!(joined(asks("cart", CLIENT, SERVER), mapped).len(), 1);
}

#[test]
fn between_machines() {
    let at_home = "192.168.0.1:50000";
    let to_node =
        v1::Endpoint { kind: v1::PeerKind::Node.into(), node_name: "b".into(), ..end("192.168.0.2:6443") };
    let client = connection(unit("kubelet"), true, end(at_home), to_node);
    let server = connection(unit("api"), false, end(at_home), end("192.168.0.2:6443"));
    let all = joined(client, server);
    let [one] = &all[..] else { panic!("{all:?}") };
    let asked = one.tcp.as_ref().unwrap().destination.as_ref().unwrap();
    assert_eq!((asked.kind(), &asked.workload), (v1::PeerKind::Node, &Some(unit("api"))));
}

#[test]
fn what_nat_hides_stays_two() {
    stay(
        [on("a", [asks("cart", CLIENT, SERVER)]), on("b", [is_asked("web", "192.168.0.1:61000", SERVER)])]
            .concat(),
    );
}

#[test]
fn addresses_that_each_has_its_own_of_are_nobodys() {
    for (client, server) in [
        ("127.0.0.1:40000", "127.0.0.1:80"),
        ("[::1]:40000", "[::1]:80"),
        ("[fe80::1%2]:40000", "[fe80::2%2]:80"),
        ("[fe80::1]:40000", "[fe80::2]:80"),
        ("169.254.1.1:40000", "169.254.1.2:80"),
        ("0.0.0.0:40000", "0.0.0.0:80"),
        ("[::ffff:127.0.0.1]:40000", "[::ffff:127.0.0.1]:80"),
    ] {
        stay([on("a", [asks("cart", client, server)]), on("b", [is_asked("web", client, server)])].concat());
    }
}

#[test]
fn ends_of_one_node_stay() {
    stay(on("a", [asks("cart", CLIENT, SERVER), is_asked("web", CLIENT, SERVER)]));
    let with_peer = |connection| v1::Connection { peer: Some(v1::PeerEnd::default()), ..connection };
    stay(on("a", [with_peer(asks("cart", CLIENT, SERVER)), with_peer(is_asked("web", CLIENT, SERVER))]));
}

#[test]
fn the_same_addresses_twice_are_nobodys() {
    let pair = || [asks("cart", CLIENT, SERVER), is_asked("web", CLIENT, SERVER)];
    let [client, server] = pair();
    let [other_client, other_server] = pair();
    stay([on("a", [client]), on("b", [server]), on("c", [other_client]), on("d", [other_server])].concat());
    let [client, server] = pair();
    let [other_client, _] = pair();
    stay([on("a", [client]), on("b", [server]), on("c", [other_client])].concat());
    // Node `c` has both ends of one, so those addresses are in use more than once.
    let [client, server] = pair();
    let within = pair().map(|end| v1::Connection { peer: Some(v1::PeerEnd::default()), ..end });
    stay([on("a", [client]), on("b", [server]), on("c", within)].concat());
}

#[test]
fn what_a_node_says_of_the_other_end_must_agree() {
    let to = |destination| connection(pod("cart"), true, end(CLIENT), destination);
    let server = || on("b", [is_asked("web", CLIENT, SERVER)]);
    stay([on("a", [to(end_of(SERVER, "other", ""))]), server()].concat());
    // Node `c` is one that is asked as well; what `d` would be nobody knows.
    let elsewhere = on("c", [asks("cart", "10.3.0.3:1", "10.3.0.4:2")]);
    stay([on("a", [to(end_of(SERVER, "web", "c"))]), server(), elsewhere].concat());
    let all = connections([on("a", [to(end_of(SERVER, "web", "d"))]), server()].concat());
    assert_eq!(all.len(), 1);
    let from = connection(pod("web"), false, end_of(CLIENT, "other", "a"), end(SERVER));
    stay([on("a", [asks("cart", CLIENT, SERVER)]), on("b", [from])].concat());
    // A pod of a node's own files has another UID there than the API tells.
    let mut mirrored = end_of(SERVER, "web", "b");
    mirrored.workload.as_mut().unwrap().pod_uid = "uid-of-the-mirror".into();
    assert_eq!(connections([on("a", [to(mirrored)]), server()].concat()).len(), 1);
}

#[test]
fn the_order_stays() {
    let names = |all: &[v1::Connection]| -> Vec<String> {
        all.iter().map(|one| one.workload.as_ref().unwrap().name.clone()).collect()
    };
    let all = connections(
        [
            on("b", [is_asked("web", CLIENT, SERVER), asks("x", "10.2.0.1:1", "1.1.1.1:1")]),
            on("a", [asks("y", "10.1.0.1:1", "1.1.1.1:1"), asks("cart", CLIENT, SERVER)]),
        ]
        .concat(),
    );
    assert_eq!(names(&all), ["x", "y", "cart"]);
}
