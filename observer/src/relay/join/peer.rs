//! The other side as a peer: what one node tells of another's workload.

use observer_proto::v1;

/// A workload as its peers know it: a pod without its containers, of which an address tells nothing.
pub(super) fn as_peer(of: &v1::Workload) -> v1::Workload {
    if of.kind() != v1::WorkloadKind::Pod {
        return of.clone();
    }
    v1::Workload {
        kind: of.kind,
        name: if of.pod.is_empty() { of.name.clone() } else { of.pod.clone() },
        namespace: of.namespace.clone(),
        pod: of.pod.clone(),
        pod_uid: of.pod_uid.clone(),
        labels: of.labels.clone(),
        owner_kind: of.owner_kind.clone(),
        owner_name: of.owner_name.clone(),
        ..v1::Workload::default()
    }
}

/// What a workload of another node is as a peer, where an address alone did not tell.
fn kind(of: &v1::Workload, known: v1::PeerKind) -> v1::PeerKind {
    use v1::PeerKind::{Host, Loopback, Many, Node, Outside, Pod, Service, Unspecified};
    match known {
        Outside | Unspecified => {}
        Pod | Host | Loopback | Service | Node | Many => return known,
    }
    match v1::WorkloadKind::try_from(of.kind) {
        Ok(v1::WorkloadKind::Pod) => Pod,
        Ok(v1::WorkloadKind::Unit | v1::WorkloadKind::Host) => Node,
        Ok(v1::WorkloadKind::Container | v1::WorkloadKind::Unspecified) | Err(_) => known,
    }
}

/// Puts in what a node did not know of an end that is a workload of that other node.
pub(super) fn fill_end(end: &mut v1::Endpoint, of: Option<&v1::Workload>, node: &str) {
    let v1::Endpoint { address: _, port: _, workload, kind: told, service: _, node_name, dns_name: _ } = end;
    fill(workload, told, node_name, of, node);
}

/// The same of the peer of an edge; of who answers in its name, where somebody does.
pub(super) fn fill_edge(edge: &mut v1::Edge, of: Option<&v1::Workload>, node: &str) {
    if let Some(answering) = &mut edge.backend {
        return fill_end(answering, of, node);
    }
    let v1::Edge {
        kind: told,
        address: _,
        port: _,
        outgoing: _,
        workload,
        service: _,
        node_name,
        backend: _,
        dns_name: _,
    } = edge;
    fill(workload, told, node_name, of, node);
}

fn fill(
    workload: &mut Option<v1::Workload>,
    told: &mut i32,
    node_name: &mut String,
    of: Option<&v1::Workload>,
    node: &str,
) {
    let Some(of) = of else { return };
    let known = v1::PeerKind::try_from(*told).unwrap_or_default();
    *told = kind(of, known).into();
    workload.get_or_insert_with(|| as_peer(of));
    if node_name.is_empty() {
        node.clone_into(node_name);
    }
}

/// Whether who an end is said to be may be that one; whoever is not known may be anybody.
pub(super) fn may_be(said: Option<&v1::Workload>, of: Option<&v1::Workload>) -> bool {
    let (Some(said), Some(of)) = (said, of) else { return true };
    if said.pod_uid.is_empty() && said.pod.is_empty() {
        // A container of no pod is known to its own node alone: another node's has its address by chance.
        return said.container_id.is_empty() || said.container_id == of.container_id;
    }
    let same_uid = !said.pod_uid.is_empty() && said.pod_uid == of.pod_uid;
    // The UID that a node gives to a pod of its own files is not the one that the API tells.
    let same_name = !said.pod.is_empty() && said.pod == of.pod && said.namespace == of.namespace;
    same_uid || same_name
}
