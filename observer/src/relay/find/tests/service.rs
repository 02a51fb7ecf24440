//! A Service whose endpoints are told by a Kubernetes API.

use serde_json::{Value, json};

use super::super::service::Endpoints;
use super::*;
use crate::inventory::kubernetes::fake::Api;
use crate::inventory::kubernetes::{Endpoint, EndpointNews, Slice};

/// A slice with endpoints: the address, and the number of the pod and its node.
fn slice(uid: &str, family: &str, ends: &[(&str, u32)]) -> Value {
    let ends: Vec<_> = ends
        .iter()
        .map(|(address, at)| {
            let target = json!({ "kind": "Pod", "uid": format!("pod-{at}") });
            json!({ "addresses": [address], "nodeName": format!("node-{at}"), "targetRef": target,
                "conditions": { "ready": true, "serving": true, "terminating": false } })
        })
        .collect();
    json!({ "addressType": family, "metadata": { "uid": uid, "name": uid }, "endpoints": ends,
        "ports": [{ "name": "grpc", "port": 4400, "protocol": "TCP" }] })
}

fn started(api: &Api, service: &str, tasks: &mut JoinSet<()>) -> Receiver {
    let service = Some((api.access(), service.parse().unwrap()));
    start(Settings { service, ..Settings::default() }, tasks)
}

#[tokio::test]
async fn endpoints_are_listed_and_followed() {
    let api = Api::start().await;
    for at in 1..=5_u32 {
        api.put(slice(&format!("s{at}"), "IPv4", &[(&format!("10.0.0.{at}"), at)]));
    }
    api.put(slice("v6", "IPv6", &[("fd00::1", 1), ("fd00::9", 9)]));
    let mut tasks = JoinSet::new();
    let mut receiver = started(&api, "ns/nodes", &mut tasks);
    let found = until(&mut receiver, true, "6 daemons").await;
    let last = &found.nodes["tls://[fd00::9]:4400"];
    assert_eq!(last.server, Server::Secured { host: "fd00::9".to_owned(), port: 4400 });
    assert_eq!(last.node_name.as_deref(), Some("node-9"));
    assert_eq!(last.tls_name.as_deref(), Some("nodes.ns.svc"));
    assert!(!found.nodes.contains_key("tls://[fd00::1]:4400"), "the same pod as 10.0.0.1");
    assert_eq!(found.sources[0].endpoint, "ns/nodes");
    // What comes and goes.
    api.put(slice("s1", "IPv4", &[("10.0.0.11", 11), ("10.0.0.1", 1)]));
    until(&mut receiver, true, "7 daemons").await;
    api.delete("s1");
    let found = until(&mut receiver, true, "6 daemons").await;
    assert!(found.nodes.contains_key("tls://[fd00::1]:4400"));
    let asked = api.asked();
    let path = "/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices?";
    let of_service =
        |asked: &String| asked.starts_with(path) && asked.contains("kubernetes.io%2Fservice-name%3Dnodes");
    assert!(asked.iter().all(of_service), "{asked:?}");
    assert!(asked.len() >= 4, "three pages and a watch: {asked:?}");
}

#[tokio::test]
async fn without_the_api_all_stay() {
    let mut api = Api::start().await;
    api.put(slice("a", "IPv4", &[("10.0.0.1", 1)]));
    api.put(slice("b", "IPv4", &[("10.0.0.2", 2)]));
    let mut tasks = JoinSet::new();
    let mut receiver = started(&api, "ns/nodes:grpc", &mut tasks);
    until(&mut receiver, true, "2 daemons").await;
    api.stop().await;
    let found = until(&mut receiver, false, "cannot be reached").await;
    assert_eq!(found.nodes.len(), 2);
    assert!(found.sources[0].message.ends_with("from before: 2 daemons"), "{found:?}");
    // What changed meanwhile is told by a new list.
    api.delete("a");
    api.put(slice("c", "IPv4", &[("10.0.0.3", 3)]));
    api.refuse(Some(403));
    api.come_back().await;
    until(&mut receiver, false, "403: the test says so; from before: 2 daemons").await;
    api.refuse(None);
    let found = until(&mut receiver, true, "2 daemons").await;
    assert_eq!(keys(&found), ["tls://10.0.0.2:4400", "tls://10.0.0.3:4400"]);
}

#[tokio::test]
async fn a_service_without_endpoints_is_told_plainly() {
    let api = Api::start().await;
    let mut tasks = JoinSet::new();
    let mut receiver = started(&api, "ns/nodes", &mut tasks);
    let none = "no daemon; the Service has no endpoint, or there is no such Service";
    until(&mut receiver, false, none).await;
    api.put(slice("a", "IPv4", &[("10.0.0.1", 1)]));
    until(&mut receiver, true, "1 daemon").await;
    // An answer is no failure: it is true that nothing is there.
    let mut ends = slice("a", "IPv4", &[("10.0.0.1", 1)]);
    ends["endpoints"][0]["conditions"] = json!({ "ready": false, "serving": false, "terminating": true });
    api.put(ends);
    assert!(until(&mut receiver, false, none).await.nodes.is_empty());
}

fn endpoints(service: &str, slices: Vec<Slice>) -> (Vec<String>, Vec<String>) {
    let mut endpoints = Endpoints::new(service.parse().unwrap());
    for news in [EndpointNews::Listing, EndpointNews::Has(slices), EndpointNews::Listed] {
        endpoints.take(news);
    }
    let (found, lacks) = endpoints.daemons();
    (found.into_keys().collect(), lacks)
}

fn parsed(uid: &str, ports: &[(&str, u16)], addresses: impl IntoIterator<Item = u32>) -> Slice {
    let ends = addresses.into_iter().map(|at| Endpoint {
        address: std::net::Ipv4Addr::from_bits((10 << 24) + at).into(),
        node_name: None,
        target: None,
    });
    let ports = ports.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    Slice { uid: uid.to_owned(), ports, endpoints: ends.collect(), left_out: 0 }
}

#[test]
fn the_port_is_the_only_one_or_the_one_that_is_named() {
    let one = || parsed("a", &[("grpc", 4400)], [1]);
    let two = || parsed("b", &[("metrics", 9000), ("grpc", 4401)], [2]);
    let none = || parsed("c", &[], [3]);
    let all = || vec![one(), two(), none()];
    let (found, lacks) = endpoints("ns/nodes", all());
    assert_eq!(found, ["tls://10.0.0.1:4400"]);
    assert_eq!(lacks, ["2 endpoints have several ports, or none: name one, as ns/nodes:PORT"]);
    let (found, lacks) = endpoints("ns/nodes:grpc", all());
    assert_eq!(found, ["tls://10.0.0.1:4400", "tls://10.0.0.2:4401"]);
    assert_eq!(lacks, ["1 endpoints have no port that is called `grpc`"]);
    let (found, lacks) = endpoints("ns/nodes:7", all());
    assert_eq!(found, ["tls://10.0.0.1:7", "tls://10.0.0.2:7", "tls://10.0.0.3:7"]);
    assert!(lacks.is_empty());
}

#[test]
fn what_is_held_is_bounded() {
    let slices = (0..21).map(|at| parsed(&format!("{at:02}"), &[("", 7)], at * 1_000..(at + 1) * 1_000));
    let (found, lacks) = endpoints("ns/nodes", slices.collect());
    assert_eq!(found.len(), 20_000);
    assert_eq!(lacks, ["1000 endpoints have no address of IP, or are too many"]);
}

#[test]
fn what_had_no_room_is_missing_for_as_long_as_it_is_there() {
    let slice = |at: u32| parsed(&format!("{at:02}"), &[("", 7)], at * 1_000..(at + 1) * 1_000);
    let mut endpoints = Endpoints::new("ns/nodes".parse().unwrap());
    let all = EndpointNews::Has((0..21).map(slice).collect());
    for news in [EndpointNews::Listing, all, EndpointNews::Listed] {
        endpoints.take(news);
    }
    let missing = |endpoints: &Endpoints| endpoints.daemons().1;
    let words = "1000 endpoints have no address of IP, or are too many";
    // The same is told again, as a change of it is.
    endpoints.take(EndpointNews::Has(vec![slice(20)]));
    assert_eq!(missing(&endpoints), [words]);
    endpoints.take(EndpointNews::Gone("20".to_owned()));
    assert_eq!(missing(&endpoints), [""; 0]);
    endpoints.take(EndpointNews::Gone("03".to_owned()));
    endpoints.take(EndpointNews::Has(vec![slice(20)]));
    assert_eq!((endpoints.daemons().0.len(), missing(&endpoints).len()), (20_000, 0));
}
