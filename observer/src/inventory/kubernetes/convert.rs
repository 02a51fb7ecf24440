//! From the API's objects to facts. What names them is bounded, whatever the API sends.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::super::cluster::{Body, ClusterContainer, ClusterPod, Object, Resource};
use super::owner;
use super::query::SERVICE_NAME;
use crate::event::WallTime;

/// The longest name or UID that Kubernetes allows.
const LONGEST_NAME: usize = 253;
/// Labels that are kept of one pod, and how long they may be.
const MOST_LABELS: usize = 128;
const LONGEST_LABEL: usize = 512;
/// The longest name of an image.
const LONGEST_IMAGE: usize = 1024;
/// Addresses with ports that are kept of one object.
const MOST_ENDS: usize = 4096;
/// Addresses of a pod or node.
const MOST_ADDRESSES: usize = 16;
/// Ports of a node that lead to one pod.
const MOST_HOST_PORTS: usize = 64;
/// Containers of a pod.
const MOST_CONTAINERS: usize = 256;

/// Stands for all addresses of a node.
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// An object of a resource; `None` where it has no name or no address to be known by.
pub(super) fn object(resource: Resource, text: &str) -> Result<Option<Object>, serde_json::Error> {
    Ok(match resource {
        Resource::OwnPods => pod(serde_json::from_str(text)?, true),
        Resource::FarPods => pod(serde_json::from_str(text)?, false).filter(has_addresses),
        Resource::Nodes => node(serde_json::from_str(text)?),
        Resource::Services => service(serde_json::from_str(text)?),
        Resource::EndpointSlices => slice(serde_json::from_str(text)?),
    })
}

fn has_addresses(object: &Object) -> bool {
    match &object.body {
        Body::Pod(pod) => !(pod.addresses.is_empty() && pod.host_ends.is_empty()),
        Body::Service { ends, .. } | Body::Endpoints { ends, .. } => !ends.is_empty(),
        Body::Node { addresses, .. } => !addresses.is_empty(),
    }
}

fn pod(pod: Pod, own: bool) -> Option<Object> {
    let Pod { metadata, spec, status } = pod;
    let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let (mut addresses, mut host_ends) = (Vec::new(), Vec::new());
    let on_host = spec.host_network.unwrap_or_default();
    if !ended {
        let mut node = Vec::new();
        let more = status.host_ips.unwrap_or_default().into_iter().map(|address| address.ip);
        // All addresses of this node are known, of another one those that are told.
        let own = own.then(|| ANY.to_string());
        push_addresses(&mut node, own.into_iter().chain(status.host_ip).chain(more));
        let containers = spec.containers.into_iter().chain(spec.init_containers.unwrap_or_default());
        host_ends = containers.flat_map(|container| host_ports(container, on_host, &node)).collect();
        host_ends.truncate(MOST_HOST_PORTS);
    }
    if !on_host && !ended {
        let more = status.pod_ips.unwrap_or_default().into_iter().map(|address| address.ip);
        push_addresses(&mut addresses, status.pod_ip.into_iter().chain(more));
    }
    let networked = status
        .conditions
        .unwrap_or_default()
        .into_iter()
        .find(|condition| condition.type_ == "PodReadyToStartContainers" && condition.status == "True");
    let owner = owner::of_pod(&metadata).filter(|owner| is_name(&owner.kind) && is_name(&owner.name));
    let containers = if own {
        let all =
            [status.init_container_statuses, status.container_statuses, status.ephemeral_container_statuses];
        all.into_iter().flatten().flatten().filter_map(container).take(MOST_CONTAINERS).collect()
    } else {
        Vec::new()
    };
    let labels = if own { labels(metadata.labels.clone().unwrap_or_default()) } else { BTreeMap::new() };
    let pod = ClusterPod {
        namespace: named(metadata.namespace.clone())?,
        name: named(metadata.name.clone())?,
        node_name: spec.node_name.filter(|name| is_name(name)).unwrap_or_default(),
        owner,
        addresses,
        host_ends,
        networked: networked.and_then(|condition| wall_time(condition.last_transition_time)),
        ended,
        labels,
        containers,
    };
    finish(metadata, Body::Pod(Box::new(pod)))
}

/// The ends of its node that lead to a container; on the host's network its own ports are the host's.
fn host_ports(container: Container, on_host: bool, node: &[IpAddr]) -> Vec<(IpAddr, u16)> {
    let ports = container.ports.unwrap_or_default().into_iter();
    let tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    tcp.flat_map(|port| {
        let number = port.host_port.or(on_host.then_some(port.container_port));
        let number = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
        let at: Option<IpAddr> = port.host_ip.and_then(|address| address.parse().ok());
        let at = at.filter(|address| !address.is_unspecified()).map(|address| vec![address.to_canonical()]);
        let at = at.unwrap_or_else(|| node.to_vec());
        number.into_iter().flat_map(move |number| at.clone().into_iter().map(move |at| (at, number)))
    })
    .take(MOST_HOST_PORTS)
    .collect()
}

/// A container that was started: those that were not have no id.
fn container(status: ContainerStatus) -> Option<ClusterContainer> {
    // Such as `containerd://0123…`.
    let (_, id) = status.container_id.as_deref()?.split_once("://")?;
    let id = id.to_owned();
    Some(ClusterContainer {
        id: Some(id).filter(|id| is_name(id))?,
        name: Some(status.name).filter(|name| is_name(name))?,
        image: Some(status.image).filter(|image| image.len() <= LONGEST_IMAGE).unwrap_or_default(),
        restarts: u32::try_from(status.restart_count).unwrap_or(0),
    })
}

fn service(service: Service) -> Option<Object> {
    let Service { metadata, spec, status } = service;
    let spec = spec.unwrap_or_default();
    // A service that is only another name has no address of its own.
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    let of_tcp = spec.ports.unwrap_or_default().into_iter();
    let of_tcp = of_tcp.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    let (ports, of_nodes): (Vec<_>, Vec<_>) = of_tcp.map(|port| (port.port, port.node_port)).unzip();
    let number = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
    let ports: Vec<u16> = ports.into_iter().filter_map(number).collect();
    let of_nodes: Vec<u16> = of_nodes.into_iter().flatten().filter_map(number).collect();
    // An address of the cluster's is this service's alone; one from outside it may share, port by port.
    let mut alone = Vec::new();
    push_addresses(&mut alone, spec.cluster_ip.into_iter().chain(spec.cluster_ips.unwrap_or_default()));
    let balancer = status.and_then(|status| status.load_balancer).unwrap_or_default();
    let balanced = balancer.ingress.unwrap_or_default().into_iter().filter_map(|ingress| ingress.ip);
    let mut shared = Vec::new();
    push_addresses(&mut shared, spec.external_ips.unwrap_or_default().into_iter().chain(balanced));
    let mut ends: Vec<(IpAddr, u16)> = alone.into_iter().map(|address| (address, 0)).collect();
    push_ends(&mut ends, &[ANY], &of_nodes);
    push_ends(&mut ends, &shared, &ports);
    if ends.is_empty() {
        return None;
    }
    let (namespace, name) = (named(metadata.namespace.clone())?, named(metadata.name.clone())?);
    finish(metadata, Body::Service { namespace, name, ends })
}

/// Of what stands behind services, pods are known by themselves already.
fn slice(slice: EndpointSlice) -> Option<Object> {
    let EndpointSlice { address_type: _, endpoints, metadata, ports } = slice;
    let service = metadata.labels.as_ref()?.get(SERVICE_NAME).cloned();
    let ports: Vec<u16> = ports
        .unwrap_or_default()
        .into_iter()
        .filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
        .filter_map(|port| u16::try_from(port.port?).ok())
        .collect();
    let mut ends = Vec::new();
    for endpoint in endpoints.unwrap_or_default() {
        let is_pod = endpoint.target_ref.is_some_and(|target| target.kind.is_none_or(|kind| kind == "Pod"));
        if !is_pod {
            let mut addresses = Vec::new();
            push_addresses(&mut addresses, endpoint.addresses);
            push_ends(&mut ends, &addresses, &ports);
        }
    }
    if ends.is_empty() {
        return None;
    }
    let (namespace, service) = (named(metadata.namespace.clone())?, named(service)?);
    finish(metadata, Body::Endpoints { namespace, service, ends })
}

fn node(node: Node) -> Option<Object> {
    let Node { metadata, spec: _, status } = node;
    let listed = status.and_then(|status| status.addresses).unwrap_or_default();
    let mut addresses = Vec::new();
    let listed = listed.into_iter().filter(|address| matches!(&*address.type_, "InternalIP" | "ExternalIP"));
    push_addresses(&mut addresses, listed.map(|address| address.address));
    let name = named(metadata.name.clone())?;
    finish(metadata, Body::Node { name, addresses }).filter(has_addresses)
}

fn finish(metadata: ObjectMeta, body: Body) -> Option<Object> {
    let created = metadata.creation_timestamp.and_then(|time| wall_time(Some(time)));
    Some(Object { uid: named(metadata.uid)?, created, body })
}

pub(super) fn named(name: Option<String>) -> Option<String> {
    name.filter(|name| is_name(name))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME
}

fn labels(labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels
        .into_iter()
        .filter(|(key, value)| key.len() <= LONGEST_LABEL && value.len() <= LONGEST_LABEL)
        .take(MOST_LABELS)
        .collect()
}

/// Adds what is an address: a headless service has `None` in its place.
fn push_addresses(addresses: &mut Vec<IpAddr>, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        if addresses.len() < MOST_ADDRESSES
            && let Ok(address) = text.parse::<IpAddr>()
            && !addresses.contains(&address.to_canonical())
        {
            addresses.push(address.to_canonical());
        }
    }
}

fn push_ends(ends: &mut Vec<(IpAddr, u16)>, addresses: &[IpAddr], ports: &[u16]) {
    let all = addresses.iter().flat_map(|address| ports.iter().map(move |port| (*address, *port)));
    let room = MOST_ENDS.saturating_sub(ends.len());
    ends.extend(all.take(room));
}

fn wall_time(time: Option<Time>) -> Option<WallTime> {
    u64::try_from(time?.0.as_nanosecond()).ok().filter(|time| *time > 0).map(WallTime)
}

#[cfg(test)]
mod tests;
