//! Objects as the API sends them, whole, empty and absurd.

use serde_json::{Value, json};

use super::*;

fn parsed(resource: Resource, value: &Value) -> Option<Object> {
    object(resource, &value.to_string()).unwrap()
}

fn pod_json() -> Value {
    json!({
        "metadata": { "uid": "u1", "namespace": "shop", "name": "web-0", "labels": { "app": "web" },
            "creationTimestamp": "2026-01-31T08:12:03Z" },
        "spec": { "nodeName": "node1", "containers": [] },
        "status": { "phase": "Running", "podIP": "10.1.0.4",
            "podIPs": [{ "ip": "10.1.0.4" }, { "ip": "fd00::4" }, { "ip": "" }],
            "conditions": [
                { "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-31T09:00:00Z" },
                { "type": "PodReadyToStartContainers", "status": "True",
                    "lastTransitionTime": "2026-01-31T08:12:09Z" },
            ],
            "containerStatuses": [
                { "name": "web", "containerID": "containerd://0a1b", "image": "web:1", "imageID": "",
                    "ready": true, "restartCount": 2 },
                { "name": "waits", "image": "w:1", "imageID": "", "ready": false, "restartCount": 0 },
            ] },
    })
}

#[test]
fn pods_of_this_node_are_taken_in_full() {
    let Some(Object { uid, created, body: Body::Pod(pod) }) = parsed(Resource::OwnPods, &pod_json()) else {
        panic!("no pod")
    };
    assert_eq!((uid.as_str(), created), ("u1", Some(WallTime(1_769_847_123_000_000_000))));
    assert_eq!(pod.addresses, ["10.1.0.4".parse::<IpAddr>().unwrap(), "fd00::4".parse().unwrap()]);
    assert_eq!(pod.networked, Some(WallTime(1_769_847_129_000_000_000)));
    assert_eq!(pod.labels.len(), 1);
    let [container] = &pod.containers[..] else { panic!("{:?}", pod.containers) };
    assert_eq!((container.id.as_str(), container.name.as_str(), container.restarts), ("0a1b", "web", 2));
    let Some(Object { body: Body::Pod(pod), .. }) = parsed(Resource::FarPods, &pod_json()) else {
        panic!("no pod")
    };
    assert!(pod.labels.is_empty() && pod.containers.is_empty() && pod.addresses.len() == 2);
}

#[test]
fn pods_without_an_address_of_their_own_have_none() {
    for (pointer, value) in [
        ("/status/phase", json!("Succeeded")),
        ("/status/phase", json!("Failed")),
        ("/spec", json!({ "hostNetwork": true, "containers": [] })),
        ("/status", json!({})),
    ] {
        let mut pod = pod_json();
        *pod.pointer_mut(pointer).unwrap() = value;
        assert_eq!(parsed(Resource::FarPods, &pod), None, "{pod}");
        let own = parsed(Resource::OwnPods, &pod).map(|object| object.body);
        assert!(matches!(own, Some(Body::Pod(pod)) if pod.addresses.is_empty()));
    }
}

#[test]
fn ports_of_a_node_lead_to_pods() {
    let mut pod = pod_json();
    pod["spec"] = json!({ "nodeName": "node1", "containers": [
        { "name": "a", "ports": [{ "containerPort": 80, "hostPort": 8080 }, { "containerPort": 81 },
            { "containerPort": 53, "hostPort": 5353, "protocol": "UDP" }] },
        { "name": "b", "ports": [{ "containerPort": 90, "hostPort": 9090, "hostIP": "192.0.2.77" },
            { "containerPort": 91, "hostPort": 0 }] },
    ] });
    pod["status"]["hostIP"] = json!("192.0.2.2");
    pod["status"]["hostIPs"] = json!([{ "ip": "192.0.2.2" }, { "ip": "fd00::2" }]);
    let ends = |resource, pod: &Value| {
        let Some(Object { body: Body::Pod(pod), .. }) = parsed(resource, pod) else { panic!("no pod") };
        pod.host_ends.iter().map(|(address, port)| format!("{address} {port}")).collect::<Vec<_>>()
    };
    let far = ["192.0.2.2 8080", "fd00::2 8080", "192.0.2.77 9090"];
    assert_eq!(ends(Resource::FarPods, &pod), far);
    let own = ["0.0.0.0 8080", "192.0.2.2 8080", "fd00::2 8080", "192.0.2.77 9090"];
    assert_eq!(ends(Resource::OwnPods, &pod), own);
    // On the host's network a container's ports are the node's.
    pod["spec"]["hostNetwork"] = json!(true);
    assert!(ends(Resource::FarPods, &pod).contains(&"192.0.2.2 81".to_owned()));
    pod["status"]["phase"] = json!("Failed");
    assert_eq!(ends(Resource::OwnPods, &pod), [""; 0]);
    pod["status"]["phase"] = json!("Running");
    let many: Vec<Value> = (1..9_000).map(|port| json!({ "containerPort": port })).collect();
    pod["spec"]["containers"][0]["ports"] = json!(many);
    assert_eq!(ends(Resource::OwnPods, &pod).len(), MOST_HOST_PORTS);
}

#[test]
fn services_have_their_addresses_and_ports() {
    let service = json!({
        "metadata": { "uid": "s", "namespace": "shop", "name": "web" },
        "spec": { "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"],
            "externalIPs": ["192.0.2.7"],
            "ports": [{ "port": 80, "nodePort": 30_080 }, { "port": 443, "protocol": "TCP" },
                { "port": 53, "protocol": "UDP", "nodePort": 30_053 }] },
        "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.8" }, { "hostname": "lb.example" }] } },
    });
    let Some(Object { body: Body::Service { ends, .. }, .. }) = parsed(Resource::Services, &service) else {
        panic!("no service")
    };
    let end = |address: &str, port| (address.parse::<IpAddr>().unwrap(), port);
    let expected = [
        end("10.96.0.7", 0),
        end("fd00::7", 0),
        end("0.0.0.0", 30_080),
        end("192.0.2.7", 80),
        end("192.0.2.7", 443),
        end("192.0.2.8", 80),
        end("192.0.2.8", 443),
    ];
    assert_eq!(ends, expected);
    let headless = json!({ "metadata": { "uid": "s", "namespace": "shop", "name": "db" },
        "spec": { "clusterIP": "None", "clusterIPs": ["None"], "ports": [{ "port": 80 }] } });
    assert_eq!(parsed(Resource::Services, &headless), None);
}

#[test]
fn of_what_stands_behind_services_pods_are_left_out() {
    let slice = |target: Value| {
        json!({
            "metadata": { "uid": "e", "namespace": "shop", "name": "db-x1",
                "labels": { "kubernetes.io/service-name": "db" } },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": ["192.0.2.5"], "targetRef": target }],
            "ports": [{ "port": 5432 }, { "name": "all" }],
        })
    };
    let Some(object) = parsed(Resource::EndpointSlices, &slice(Value::Null)) else { panic!("no slice") };
    let address = "192.0.2.5".parse().unwrap();
    let expected =
        Body::Endpoints { namespace: "shop".into(), service: "db".into(), ends: vec![(address, 5432)] };
    assert_eq!(object.body, expected);
    assert_eq!(parsed(Resource::EndpointSlices, &slice(json!({ "kind": "Pod" }))), None);
}

#[test]
fn nodes_have_addresses_but_names() {
    let node = json!({
        "metadata": { "uid": "n", "name": "node2" },
        "status": { "addresses": [{ "type": "Hostname", "address": "node2" },
            { "type": "InternalIP", "address": "192.0.2.2" }] },
    });
    let Some(Object { body: Body::Node { name, addresses }, .. }) = parsed(Resource::Nodes, &node) else {
        panic!("no node")
    };
    assert_eq!((name.as_str(), addresses.len()), ("node2", 1));
}

#[test]
fn nothing_absurd_is_kept_and_nothing_panics() {
    let long = "x".repeat(100_000);
    let mut pod = pod_json();
    pod["metadata"]["name"] = json!(long);
    assert_eq!(parsed(Resource::OwnPods, &pod), None);
    let mut pod = pod_json();
    pod["metadata"]["labels"] = (0..1_000).map(|at| (format!("{at}"), json!("v"))).collect();
    pod["metadata"]["labels"][&long] = json!(long);
    pod["status"]["podIPs"] = (0..1_000).map(|at| json!({ "ip": format!("fd00::{at:x}") })).collect();
    let Some(Object { body: Body::Pod(pod), .. }) = parsed(Resource::OwnPods, &pod) else { panic!("no pod") };
    assert!(pod.labels.len() <= MOST_LABELS && pod.addresses.len() <= MOST_ADDRESSES);
    for resource in Resource::ALL {
        assert_eq!(parsed(resource, &json!({ "metadata": {} })), None);
        assert_eq!(parsed(resource, &json!({})), None);
        assert!(object(resource, "{\"metadata\":[7]}").is_err());
        assert!(object(resource, "").is_err());
    }
}
