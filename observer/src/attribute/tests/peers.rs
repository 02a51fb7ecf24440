//! Whose the other end of a connection is.

use PeerKind::{Host, Loopback, Outside, Pod, Unknown};

use super::*;

#[test]
fn an_address_belongs_to_whom_it_belonged_then() {
    let mut bench = Bench::new();
    bench.act(|attributor, now, _| attributor.pod(&pod_fact("10.0.0.9", "s1", "u1"), now));
    let first = bench.time + 500;
    bench.act(|attributor, now, _| attributor.pod(&pod_fact("10.0.0.9", "s2", "u2"), now));
    let peer = |bench: &Bench, time: u64| {
        let address = "10.0.0.9".parse().unwrap();
        let peer = bench.attributor.addresses.own_pod(address, BootTime(time));
        peer.map(|workload| workload.pod.clone())
    };
    assert_eq!(peer(&bench, first).as_deref(), Some("cart-s1"));
    assert_eq!(peer(&bench, bench.time + 1).as_deref(), Some("cart-s2"));
    bench.fact(Fact::PodGone { sandbox_id: "s2".to_owned() });
    assert_eq!(peer(&bench, bench.time + 1), None);
}

#[test]
fn peers_are_told_apart() {
    let mut bench = Bench::new();
    bench.fact(Fact::HostAddresses(vec!["192.0.2.1".parse().unwrap()]));
    bench.act(|attributor, now, _| attributor.pod(&pod_fact("10.0.0.9", "s1", "u1"), now));
    for remote in ["127.0.0.1:1", "192.0.2.1:1", "10.0.0.9:1", "198.51.100.7:1", "[::1]:1"] {
        bench.record(1, closed("10.0.0.1:40000", remote));
    }
    let kinds: Vec<PeerKind> = bench.events.iter().map(|event| event.tcp().unwrap().peer.kind).collect();
    assert_eq!(kinds, [Loopback, Host, Pod, Outside, Loopback]);
}

#[test]
fn a_link_local_address_is_nobodys_for_sure() {
    let mut bench = Bench::new();
    bench.fact(Fact::HostAddresses(vec!["fe80::1".parse().unwrap()]));
    bench.record(1, closed("[fe80::2%3]:40000", "[fe80::1%3]:1"));
    let tcp = bench.events[0].tcp().unwrap();
    assert_eq!(tcp.peer.kind, Unknown, "the host has it on another link");
    assert!(tcp.peer.workload.is_none());
}

#[test]
fn what_does_not_leave_a_pods_network_namespace_is_that_pods() {
    let mut bench = Bench::new();
    bench.make_container();
    bench.fact(named(UID));
    let own = [("127.0.0.1:40000", "127.0.0.1:1"), ("[fe80::5%2]:40000", "[fe80::5%2]:1")];
    for (local, remote) in own {
        bench.record(GROUP, closed(local, remote));
        // The same of a pod that has the host's network namespace.
        let mut body = closed(local, remote);
        if let Body::Ended { socket, .. } = &mut body {
            socket.netns = HOST_NETNS;
        }
        bench.record(GROUP, body);
    }
    let peers = bench.events.iter().filter_map(|event| event.tcp()).map(|tcp| {
        let pod = tcp.peer.workload.as_ref().map(|workload| workload.pod.as_str());
        (tcp.peer.kind, pod)
    });
    let peers: Vec<_> = peers.collect();
    assert_eq!(peers, [(Loopback, Some("cart-s1")), (Loopback, None), (Pod, Some("cart-s1")), (Host, None)]);
}

#[test]
fn a_connection_stays_with_whom_it_was_made() {
    let mut bench = Bench::new();
    bench.act(|attributor, now, _| attributor.pod(&pod_fact("10.0.0.9", "s1", "u1"), now));
    let start = BootTime(bench.time + 1);
    bench.fact(Fact::PodGone { sandbox_id: "s1".to_owned() });
    bench.act(|attributor, now, _| attributor.pod(&pod_fact("10.0.0.9", "s2", "u2"), now));
    for since in [Some(start), None] {
        let mut body = closed("10.0.0.1:40000", "10.0.0.9:1");
        if let Body::Ended { start, .. } = &mut body {
            *start = since;
        }
        bench.record(1, body);
    }
    let peers = bench.events.iter().filter_map(|event| event.tcp()?.peer.workload.as_ref());
    let peers: Vec<&str> = peers.map(|workload| workload.pod.as_str()).collect();
    assert_eq!(peers, ["cart-s1", "cart-s2"]);
}
