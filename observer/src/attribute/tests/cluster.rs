//! What the Kubernetes API tells of this node's pods, beside what their runtime tells.

use super::*;
use crate::event::{Owner, Peer};
use crate::inventory::ClusterFact;
use crate::inventory::cluster::{self, ClusterContainer, ClusterPod, Resource};

const ADDRESS: &str = "10.0.0.9";

fn told(change: impl FnOnce(&mut ClusterPod)) -> Fact {
    let mut pod = ClusterPod {
        namespace: "shop".to_owned(),
        name: "cart-api".to_owned(),
        node_name: "node1".to_owned(),
        owner: Some(Owner { kind: "Deployment".to_owned(), name: "cart".to_owned() }),
        addresses: vec![ADDRESS.parse().unwrap()],
        labels: BTreeMap::from([("team".to_owned(), "present".to_owned())]),
        ..ClusterPod::default()
    };
    change(&mut pod);
    let body = cluster::Body::Pod(Box::new(pod));
    let object = cluster::Object { uid: UID.to_owned(), created: None, body };
    Fact::Cluster(ClusterFact::Has(Resource::OwnPods, vec![object]))
}

fn gone() -> Fact {
    Fact::Cluster(ClusterFact::Gone(Resource::OwnPods, UID.to_owned()))
}

fn holder(bench: &Bench) -> Option<Arc<Workload>> {
    bench.attributor.addresses.own_pod(ADDRESS.parse().unwrap(), BootTime(bench.time + 1))
}

fn of_container(bench: &Bench) -> Arc<Workload> {
    let known = bench.attributor.workloads().find(|known| known.workload.container_id == ID);
    Arc::clone(&known.unwrap().workload)
}

#[test]
fn a_port_of_this_node_leads_to_a_pod_or_a_service() {
    let mut bench = Bench::new();
    bench.fact(Fact::HostAddresses(vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()]));
    let any = "0.0.0.0".parse().unwrap();
    let ends = vec![(any, 8080), ("192.0.2.2".parse().unwrap(), 9090)];
    bench.fact(told(|pod| pod.host_ends = ends));
    let ends = vec![("10.96.0.7".parse().unwrap(), 0), (any, 30_080)];
    let body = cluster::Body::Service { namespace: "shop".to_owned(), name: "web".to_owned(), ends };
    let service = cluster::Object { uid: "s".to_owned(), created: None, body };
    bench.fact(Fact::Cluster(ClusterFact::Has(Resource::Services, vec![service])));
    let peer = |bench: &Bench, remote: &str, asked: bool| {
        let (local, time) = ("192.0.2.1".parse().unwrap(), BootTime(bench.time + 1));
        let Peer { kind, workload, place, dns_name: _ } =
            bench.attributor.addresses.peer(local, remote.parse().unwrap(), asked, time);
        let service = place.map(|place| place.service.clone());
        (kind, workload.map(|workload| workload.pod.clone()).or(service))
    };
    let pod = (PeerKind::Pod, Some("cart-api".to_owned()));
    let web = (PeerKind::Service, Some("shop/web".to_owned()));
    let host = (PeerKind::Host, None);
    for (remote, asked, expected) in [
        ("192.0.2.1:8080", true, &pod),
        ("192.0.2.2:8080", true, &pod),
        ("192.0.2.2:9090", true, &pod),
        ("192.0.2.1:9090", true, &host),
        ("192.0.2.1:30080", true, &web),
        ("192.0.2.1:30081", true, &host),
        ("192.0.2.1:8080", false, &host),
        ("192.0.2.1:30080", false, &host),
    ] {
        assert_eq!(&peer(&bench, remote, asked), expected, "{remote} {asked}");
    }
    // What leads to a pod or a service is translated there, if anything is.
    bench.attributor.translations = Translations::new(true);
    for (cookie, remote) in [(1, "192.0.2.1:8080"), (2, "192.0.2.1:30080"), (3, "192.0.2.1:22")] {
        bench.record(1, super::translations::opened(cookie, remote));
    }
    let asked: Vec<_> = bench.queries.iter().map(|query| query.remote.port()).collect();
    assert_eq!(asked, [8080, 30080]);
    bench.fact(told(|_| {}));
    assert_eq!(peer(&bench, "192.0.2.1:8080", true), host, "it has given the port up");
}

#[test]
fn a_pod_is_known_before_its_containers_are() {
    let mut bench = Bench::new();
    bench.fact(told(|_| {}));
    bench.make_container();
    bench.fact(Fact::Unknown { container_id: ID.to_owned() });
    let workload = of_container(&bench);
    assert_eq!((workload.pod.as_str(), workload.container.as_str()), ("cart-api", ""));
    assert_eq!(workload.owner.as_ref().map(|owner| owner.name.as_str()), Some("cart"));
    let container =
        ClusterContainer { id: ID.to_owned(), name: "app".to_owned(), image: "i:1".to_owned(), restarts: 2 };
    bench.fact(told(|pod| pod.containers = vec![container]));
    let workload = of_container(&bench);
    assert_eq!((workload.container.as_str(), workload.restart_count), ("app", Some(2)));
    assert_eq!(holder(&bench).unwrap().pod, "cart-api");
    bench.fact(gone());
    assert!(holder(&bench).is_none());
    assert_eq!(of_container(&bench).pod, "cart-api", "what is over keeps its names");
}

#[test]
fn what_a_runtime_says_of_names_and_addresses_stays() {
    let mut bench = Bench::new();
    bench.make_container();
    bench.act(|attributor, now, _| attributor.pod(&pod_fact(ADDRESS, "s1", UID), now));
    bench.fact(named(UID));
    let before = of_container(&bench);
    let container =
        ClusterContainer { id: ID.to_owned(), name: "other".to_owned(), image: "o".to_owned(), restarts: 9 };
    bench.fact(told(|pod| pod.containers = vec![container]));
    let workload = of_container(&bench);
    assert_eq!((&workload.container, &workload.image), (&before.container, &before.image));
    assert_eq!(workload.labels.get("team").map(String::as_str), Some("present"));
    assert!(workload.owner.is_some());
    // The runtime's next word does not bring its labels back.
    bench.fact(named(UID));
    assert_eq!(of_container(&bench).labels.get("team").map(String::as_str), Some("present"));
    assert!(holder(&bench).unwrap().owner.is_some());
    // Its sandbox is gone, though the API has not heard of it yet.
    bench.fact(Fact::PodGone { sandbox_id: "s1".to_owned() });
    bench.fact(told(|_| {}));
    assert!(holder(&bench).is_none());
}

#[test]
fn the_api_may_be_first_to_tell_of_an_address() {
    let mut bench = Bench::new();
    bench.fact(told(|_| {}));
    bench.act(|attributor, now, _| attributor.pod(&pod_fact(ADDRESS, "s1", UID), now));
    assert_eq!(bench.attributor.addresses.len(), 1, "it is the same pod");
    bench.fact(gone());
    assert!(holder(&bench).is_some(), "its runtime still has it");
    bench.fact(Fact::PodGone { sandbox_id: "s1".to_owned() });
    assert!(holder(&bench).is_none());
}

#[test]
fn a_list_that_does_not_name_a_pod_ends_it() {
    let mut bench = Bench::new();
    bench.fact(told(|_| {}));
    bench.fact(Fact::Cluster(ClusterFact::Listing(Resource::OwnPods)));
    assert!(holder(&bench).is_some());
    bench.fact(Fact::Cluster(ClusterFact::Listed(Resource::OwnPods)));
    assert!(holder(&bench).is_none());
}
