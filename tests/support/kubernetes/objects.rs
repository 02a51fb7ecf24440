//! Objects as a cluster has them, in k8s-openapi's types.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::{
    Node, NodeAddress, NodeStatus, ObjectReference, Pod, PodIP, PodSpec, PodStatus, Service, ServicePort,
    ServiceSpec,
};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;

/// The present second: the API tells no parts of one.
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(Timestamp::from_second(since.as_secs() as i64).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn metadata(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        name: Some(name.to_owned()),
        creation_timestamp: Some(now()),
        ..ObjectMeta::default()
    }
}

/// A running pod of a node, with these addresses; `owner` is its controller's kind and name.
pub fn pod(
    namespace: &str,
    name: &str,
    node_name: &str,
    addresses: &[IpAddr],
    owner: Option<(&str, &str)>,
) -> Pod {
    let controller = owner.map(|(kind, name)| OwnerReference {
        controller: Some(true),
        kind: kind.to_owned(),
        name: name.to_owned(),
        ..OwnerReference::default()
    });
    Pod {
        metadata: ObjectMeta {
            owner_references: controller.map(|controller| vec![controller]),
            ..metadata(namespace, name)
        },
        spec: Some(PodSpec { node_name: Some(node_name.to_owned()), ..PodSpec::default() }),
        status: Some(PodStatus {
            phase: Some("Running".to_owned()),
            pod_ip: addresses.first().map(ToString::to_string),
            pod_ips: Some(addresses.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()),
            start_time: Some(now()),
            ..PodStatus::default()
        }),
    }
}

/// A service with a cluster address and external ones.
pub fn service(
    namespace: &str,
    name: &str,
    cluster: Option<IpAddr>,
    external: &[IpAddr],
    port: u16,
) -> Service {
    let cluster_ip = cluster.map_or_else(|| "None".to_owned(), |address| address.to_string());
    Service {
        metadata: metadata(namespace, name),
        spec: Some(ServiceSpec {
            cluster_ips: Some(vec![cluster_ip.clone()]),
            cluster_ip: Some(cluster_ip),
            external_ips: Some(external.iter().map(ToString::to_string).collect()),
            ports: Some(vec![ServicePort { port: port.into(), ..ServicePort::default() }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// What stands behind a service: pods (`true`), or something that is none.
pub fn endpoint_slice(
    namespace: &str,
    service: &str,
    address: IpAddr,
    port: u16,
    is_pod: bool,
) -> EndpointSlice {
    let target = ObjectReference { kind: Some("Pod".to_owned()), ..ObjectReference::default() };
    let name = format!("{service}-slice");
    let labels = [("kubernetes.io/service-name".to_owned(), service.to_owned())];
    EndpointSlice {
        address_type: if address.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
        endpoints: Some(vec![Endpoint {
            addresses: vec![address.to_string()],
            target_ref: is_pod.then_some(target),
            ..Endpoint::default()
        }]),
        metadata: ObjectMeta { labels: Some(labels.into()), ..metadata(namespace, &name) },
        ports: Some(vec![EndpointPort { port: Some(port.into()), ..EndpointPort::default() }]),
    }
}

/// A node with an address.
pub fn node(name: &str, address: IpAddr) -> Node {
    let address = NodeAddress { type_: "InternalIP".to_owned(), address: address.to_string() };
    Node {
        metadata: metadata("", name),
        spec: None,
        status: Some(NodeStatus { addresses: Some(vec![address]), ..NodeStatus::default() }),
    }
}
