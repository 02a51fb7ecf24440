//! Whose an address was: claims, releases, lists that are broken off, and bounds.

use super::*;

const SECOND: u64 = 1_000_000_000;
const ADDRESS: &str = "10.244.1.9";

/// The clocks so many seconds after the machine booted, which was at second 1,000 of the wall clock.
fn at(seconds: u64) -> Now {
    Now { boot: BootTime(seconds * SECOND), wall: WallTime((seconds + 1_000) * SECOND) }
}

fn wall(seconds: u64) -> WallTime {
    at(seconds).wall
}

fn pod(uid: &str, created: u64, networked: Option<u64>) -> Object {
    let pod = ClusterPod {
        namespace: "shop".to_owned(),
        name: uid.to_owned(),
        node_name: "node2".to_owned(),
        addresses: vec![ADDRESS.parse().unwrap()],
        networked: networked.map(wall),
        ..ClusterPod::default()
    };
    Object { uid: uid.to_owned(), created: Some(wall(created)), body: Body::Pod(Box::new(pod)) }
}

fn service(uid: &str, ends: &[(&str, u16)]) -> Object {
    let ends = ends.iter().map(|(address, port)| (address.parse().unwrap(), *port)).collect();
    let body = Body::Service { namespace: "shop".to_owned(), name: uid.to_owned(), ends };
    Object { uid: uid.to_owned(), created: Some(wall(1)), body }
}

fn owner_at(cluster: &Cluster, seconds: u64) -> Option<String> {
    let peer = cluster.pod(ADDRESS.parse().unwrap(), at(seconds).boot)?;
    peer.workload.map(|workload| workload.pod.clone())
}

#[test]
fn an_address_goes_from_one_to_the_next() {
    let mut cluster = Cluster::new(10);
    cluster.has(Resource::FarPods, pod("a", 100, Some(105)), at(110));
    assert_eq!(owner_at(&cluster, 99), None, "it was not there");
    assert_eq!(owner_at(&cluster, 102).as_deref(), Some("a"), "nobody else is known to have had it");
    cluster.gone("a", at(200).boot);
    assert_eq!(owner_at(&cluster, 199).as_deref(), Some("a"));
    assert_eq!(owner_at(&cluster, 201), None);
    // It was made while the former one still had the address.
    cluster.has(Resource::FarPods, pod("b", 150, None), at(220));
    assert_eq!(owner_at(&cluster, 199).as_deref(), Some("a"));
    assert_eq!(owner_at(&cluster, 200).as_deref(), Some("b"));
    cluster.expire(at(200 + 15 * 60).boot);
    assert_eq!(owner_at(&cluster, 199), None, "that was long ago");
    assert_eq!(owner_at(&cluster, 5_000).as_deref(), Some("b"));
}

#[test]
fn an_end_that_is_heard_late_takes_nothing_from_the_next() {
    let mut cluster = Cluster::new(10);
    cluster.has(Resource::FarPods, pod("a", 100, Some(100)), at(110));
    // The kubelet says since when it has its network: the former one had the address until then.
    cluster.has(Resource::FarPods, pod("b", 290, Some(300)), at(400));
    assert_eq!(owner_at(&cluster, 299).as_deref(), Some("a"));
    assert_eq!(owner_at(&cluster, 300).as_deref(), Some("b"));
    cluster.gone("a", at(500).boot);
    assert_eq!(owner_at(&cluster, 450).as_deref(), Some("b"));
    // Without that it is known from when it is heard.
    cluster.has(Resource::FarPods, pod("c", 450, None), at(600));
    assert_eq!(owner_at(&cluster, 599).as_deref(), Some("b"));
    assert_eq!(owner_at(&cluster, 600).as_deref(), Some("c"));
    // An older one that is told again takes nothing.
    cluster.has(Resource::FarPods, pod("d", 320, Some(320)), at(700));
    assert_eq!(owner_at(&cluster, 700).as_deref(), Some("c"));
}

#[test]
fn clocks_of_other_machines_may_be_ahead() {
    let mut cluster = Cluster::new(10);
    cluster.has(Resource::FarPods, pod("a", 900, Some(950)), at(110));
    assert_eq!(owner_at(&cluster, 110).as_deref(), Some("a"));
}

#[test]
fn a_pod_that_ended_has_no_address() {
    let mut cluster = Cluster::new(10);
    cluster.has(Resource::FarPods, pod("a", 100, None), at(110));
    let mut ended = pod("a", 100, None);
    if let Body::Pod(pod) = &mut ended.body {
        pod.ended = true;
    }
    cluster.has(Resource::FarPods, ended, at(120));
    assert_eq!(owner_at(&cluster, 121), None);
    // The same one again, at the same address: not from when it was made.
    cluster.has(Resource::FarPods, pod("a", 100, None), at(130));
    assert_eq!(owner_at(&cluster, 131).as_deref(), Some("a"));
}

#[test]
fn a_list_names_all_there_is_unless_it_breaks_off() {
    let mut cluster = Cluster::new(10);
    let resource = Resource::FarPods;
    cluster.listing(resource);
    cluster.has(resource, pod("a", 1, None), at(2));
    cluster.has(Resource::Services, service("s", &[("10.96.0.1", 0)]), at(2));
    cluster.listed(resource, at(2).boot);
    assert_eq!(cluster.size(), (2, 10), "a list says nothing of other resources");
    // One that breaks off.
    cluster.listing(resource);
    assert_eq!(owner_at(&cluster, 3).as_deref(), Some("a"));
    cluster.listing(resource);
    cluster.has(resource, pod("b", 4, None), at(5));
    cluster.listed(resource, at(6).boot);
    assert_eq!(owner_at(&cluster, 7).as_deref(), Some("b"));
    assert_eq!(owner_at(&cluster, 3).as_deref(), Some("a"));
    assert_eq!(cluster.size().0, 2);
    cluster.listing(resource);
    cluster.listed(resource, at(8).boot);
    assert_eq!(owner_at(&cluster, 9), None);
}

#[test]
fn services_have_all_ports_or_those_that_are_theirs() {
    let mut cluster = Cluster::new(10);
    let (own, shared) = ("10.96.0.1", "192.0.2.9");
    cluster.has(Resource::Services, service("web", &[(own, 0), (shared, 80)]), at(2));
    cluster.has(Resource::Services, service("api", &[(shared, 443)]), at(2));
    let named = |cluster: &Cluster, address: &str, port| {
        let peer = cluster.service(address.parse().unwrap(), port, at(9).boot)?;
        peer.place.map(|place| place.service.clone())
    };
    assert_eq!(named(&cluster, own, 1).as_deref(), Some("shop/web"));
    assert_eq!(named(&cluster, shared, 80).as_deref(), Some("shop/web"));
    assert_eq!(named(&cluster, shared, 443).as_deref(), Some("shop/api"));
    assert_eq!(named(&cluster, shared, 22), None);
    // Its ports change.
    cluster.has(Resource::Services, service("api", &[(shared, 8443)]), at(5));
    assert_eq!(named(&cluster, shared, 443), None);
    assert_eq!(named(&cluster, shared, 8443).as_deref(), Some("shop/api"));
}

#[test]
fn an_end_that_two_name_is_the_others_when_one_lets_go() {
    let end = "192.0.2.9";
    let slice = |uid: &str, service: &str, ports: &[u16]| {
        let ends = ports.iter().map(|port| (end.parse().unwrap(), *port)).collect();
        let body = Body::Endpoints { namespace: "shop".to_owned(), service: service.to_owned(), ends };
        Object { uid: uid.to_owned(), created: Some(wall(1)), body }
    };
    let named = |cluster: &Cluster, seconds: u64| {
        let place = cluster.endpoint(end.parse().unwrap(), 80, at(seconds).boot)?;
        Some(place.service.clone())
    };
    let mut cluster = Cluster::new(10);
    // An end moves from one slice of a service to another one, and is in both for a while; or in those of two services.
    for (uid, service) in [("x1", "web"), ("x2", "web"), ("y", "api")] {
        cluster.has(Resource::EndpointSlices, slice(uid, service, &[80]), at(2));
    }
    let both = named(&cluster, 3);
    assert!(both.is_some());
    cluster.gone("x1", at(4).boot);
    assert_eq!(named(&cluster, 5), both, "whoever lets go of what it has not");
    cluster.has(Resource::EndpointSlices, slice("y", "api", &[443]), at(6));
    assert_eq!(named(&cluster, 7).as_deref(), Some("shop/web"));
    assert_eq!(named(&cluster, 5), both);
    cluster.gone("x2", at(8).boot);
    assert_eq!(named(&cluster, 9), None);
}

#[test]
fn a_port_of_a_node_leads_to_a_service_or_a_pod() {
    let mut cluster = Cluster::new(10);
    cluster.has(Resource::Services, service("web", &[("0.0.0.0", 30_080)]), at(2));
    let mut on_host = pod("exporter", 1, None);
    if let Body::Pod(pod) = &mut on_host.body {
        (pod.addresses, pod.host_ends) = (Vec::new(), vec![(ADDRESS.parse().unwrap(), 9_100)]);
    }
    cluster.has(Resource::FarPods, on_host, at(2));
    let time = at(3).boot;
    let service = cluster.node_port(30_080, time).and_then(|peer| peer.place);
    assert_eq!(service.map(|place| place.service.clone()).as_deref(), Some("shop/web"));
    assert!(cluster.node_port(30_081, time).is_none());
    let address = ADDRESS.parse().unwrap();
    assert!(
        cluster.host_port(address, 9_100, time).is_some_and(|peer| peer.workload.unwrap().pod == "exporter")
    );
    assert!(cluster.host_port(address, 9_101, time).is_none() && cluster.pod(address, time).is_none());
}

#[test]
fn memory_is_bounded_and_what_finds_no_room_is_counted() {
    let mut cluster = Cluster::new(2);
    for number in 0..5 {
        cluster.has(Resource::FarPods, pod(&number.to_string(), number, None), at(10));
    }
    assert_eq!((cluster.size(), cluster.take_overflow(), cluster.take_overflow()), ((2, 2), 3, 0));
    let ends: Vec<(&str, u16)> = (1..100).map(|port| ("192.0.2.1", port)).collect();
    cluster.gone("0", at(10).boot);
    cluster.has(Resource::Services, service("many", &ends), at(10));
    assert_eq!(cluster.take_overflow(), 99 - 3, "the pod that is left has an address");
    for second in 0..40_000 {
        cluster.has(Resource::FarPods, pod("x", second, None), at(second));
        cluster.gone("x", at(second).boot);
    }
    assert!(cluster.tenures.former_count() <= 16_384);
}

#[test]
fn what_many_share_goes_with_the_last_of_them() {
    let mut cluster = Cluster::new(10);
    for second in 0..40_000 {
        let mut object = pod("x", second, None);
        if let Body::Pod(pod) = &mut object.body {
            let owner = Owner { kind: "Job".to_owned(), name: format!("job-{second}") };
            pod.owner = Some(owner);
            pod.namespace = format!("namespace-{second}");
            pod.node_name = format!("node-{second}");
        }
        cluster.has(Resource::FarPods, object, at(second));
        cluster.gone("x", at(second).boot);
        cluster.expire(at(second).boot);
    }
    // Those of the last 15 minutes are still known.
    assert!(cluster.shared_texts() < 3 * 2 * 1_000 + 1024, "{}", cluster.shared_texts());
}
