//! Names in titles and reasons: pods as they are called everywhere, edges from who asks to who is asked.

use std::net::IpAddr;

use super::FiredEdge;
use crate::event::{Peer, PeerKind, Workload, WorkloadKind};

/// How much of a container's id tells it apart for a reader.
const SHORT_ID: usize = 12;

/// A pod, a container without one, a unit, or the host.
pub(crate) fn whole(workload: &Workload) -> String {
    match workload.kind {
        WorkloadKind::Pod if !workload.pod.is_empty() => format!("{}/{}", workload.namespace, workload.pod),
        WorkloadKind::Pod | WorkloadKind::Container | WorkloadKind::Unit | WorkloadKind::Host => {
            workload.name().to_owned()
        }
    }
}

/// Its container, as a part of a sentence: `container app`; `None` for what is none, or is named by it already.
pub(super) fn container(workload: &Workload) -> Option<String> {
    if workload.container_id.is_empty() {
        return None;
    }
    let short = workload.container_id.get(..SHORT_ID).unwrap_or(&workload.container_id);
    let name = if workload.container.is_empty() { short } else { &workload.container };
    Some(if workload.pod.is_empty() { "the container".to_owned() } else { format!("container {name}") })
}

/// Who is at the other end.
pub(super) fn peer(peer: &Peer, address: Option<IpAddr>) -> String {
    if let Some(workload) = peer.workload.as_deref().filter(|_| peer.kind != PeerKind::Loopback) {
        return whole(workload);
    }
    let place = peer.place.as_deref();
    if let Some(place) = place.filter(|place| !place.service.is_empty()) {
        return place.service.clone();
    }
    if let Some(place) = place.filter(|place| peer.kind == PeerKind::Node && !place.node_name.is_empty()) {
        return place.node_name.clone();
    }
    match (&peer.dns_name, address, peer.kind) {
        (Some(name), _, _) => name.as_ref().to_owned(),
        (None, Some(IpAddr::V6(address)), _) => format!("[{address}]"),
        (None, Some(address), _) => address.to_string(),
        (None, None, PeerKind::Host) => "host".to_owned(),
        (None, None, PeerKind::Loopback) => "itself".to_owned(),
        (None, None, _) => "others".to_owned(),
    }
}

/// The two sides of an edge: who asks, and who is asked with its port.
pub(crate) fn sides(workload: &Workload, of: &FiredEdge) -> [String; 2] {
    let FiredEdge { edge, peer: far, backend } = of;
    let (own, other) = (whole(workload), peer(far, edge.address));
    if !edge.outgoing {
        return [other, format!("{own}:{}", edge.port)];
    }
    let behind = edge.backend.as_ref().zip(backend.as_deref()).map_or_else(String::new, |(to, backend)| {
        format!(" ({}:{})", peer(&backend.peer, to.address), to.port)
    });
    [own, format!("{other}:{}{behind}", edge.port)]
}

/// The same as one name: `shop/web -> shop/db:5432`.
pub(super) fn edge(workload: &Workload, of: &FiredEdge) -> String {
    sides(workload, of).join(" -> ")
}
