//! What daemons tell, as tests need it.

mod connections;
mod edges;
mod generated;
mod judged;
mod machines;
mod many;
mod properties;
mod verdicts;

use std::sync::Arc;

use observer_proto::v1;

use super::Addresses;

/// A pod `name` of `shop` has a container `app`; its UID is `uid-name`.
fn pod(name: &str) -> v1::Workload {
    v1::Workload {
        kind: v1::WorkloadKind::Pod.into(),
        name: name.into(),
        namespace: "shop".into(),
        pod: name.into(),
        pod_uid: format!("uid-{name}"),
        container: "app".into(),
        container_id: format!("container-of-{name}"),
        cgroup_id: 7,
        ..v1::Workload::default()
    }
}

/// The same pod as another node knows it.
fn far(name: &str) -> v1::Workload {
    v1::Workload { container: String::new(), container_id: String::new(), cgroup_id: 0, ..pod(name) }
}

fn unit(name: &str) -> v1::Workload {
    v1::Workload {
        kind: v1::WorkloadKind::Unit.into(),
        name: name.into(),
        cgroup_id: 3,
        ..v1::Workload::default()
    }
}

/// An end of which nobody knows whose it is, such as `10.0.0.1:80` or `[2001:db8::1]:80`.
fn end(at: &str) -> v1::Endpoint {
    let (address, port) = at.rsplit_once(':').unwrap();
    v1::Endpoint {
        address: address.trim_matches(['[', ']']).into(),
        port: port.parse().unwrap(),
        kind: v1::PeerKind::Outside.into(),
        ..v1::Endpoint::default()
    }
}

/// A pod of another node, as an end.
fn end_of(at: &str, name: &str, node: &str) -> v1::Endpoint {
    v1::Endpoint {
        kind: v1::PeerKind::Pod.into(),
        workload: Some(far(name)),
        node_name: node.into(),
        ..end(at)
    }
}

/// One side of a connection.
fn connection(
    owner: v1::Workload,
    outgoing: bool,
    source: v1::Endpoint,
    destination: v1::Endpoint,
) -> v1::Connection {
    v1::Connection {
        tcp: Some(v1::Tcp {
            connection_id: format!("socket-of-{}", owner.name),
            source: Some(source),
            destination: Some(destination),
            outgoing,
            netns: 4_026_531_840,
            backend: None,
        }),
        process: Some(v1::Process { pid: 77, comm: owner.name.clone(), ..v1::Process::default() }),
        workload: Some(owner),
        state: "ESTABLISHED".into(),
        handshake_latency_ns: Some(if outgoing { 900_000 } else { 300_000 }),
        flow: Some(v1::TcpFlow { accepted: outgoing, ..v1::TcpFlow::default() }),
        ..v1::Connection::default()
    }
}

fn asks(name: &str, source: &str, destination: &str) -> v1::Connection {
    connection(pod(name), true, end(source), end(destination))
}

fn is_asked(name: &str, source: &str, destination: &str) -> v1::Connection {
    connection(pod(name), false, end(source), end(destination))
}

/// Who is on the other side of an edge.
fn known(name: &str, node: &str) -> v1::Edge {
    v1::Edge {
        kind: v1::PeerKind::Pod.into(),
        workload: Some(far(name)),
        node_name: node.into(),
        ..v1::Edge::default()
    }
}

/// An address of which a daemon knows nothing more.
fn unknown(address: &str) -> v1::Edge {
    v1::Edge { kind: v1::PeerKind::Outside.into(), address: address.into(), ..v1::Edge::default() }
}

/// A node of the cluster.
fn machine(address: &str, node: &str) -> v1::Edge {
    v1::Edge { kind: v1::PeerKind::Node.into(), node_name: node.into(), ..unknown(address) }
}

/// A Service, and who answers for it.
fn service(name: &str, port: u32, answers: Option<v1::Endpoint>) -> v1::Edge {
    v1::Edge {
        kind: v1::PeerKind::Service.into(),
        address: "10.96.0.7".into(),
        port,
        service: format!("shop/{name}"),
        backend: answers,
        ..v1::Edge::default()
    }
}

/// The figures of an edge on which so many connections were made.
fn figures(opened: u64) -> v1::TcpSummary {
    v1::TcpSummary {
        opened,
        closed: opened,
        sent_bytes: opened * 1_000,
        sent_segments: opened * 10,
        received_segments: opened * 10,
        longest: Some(v1::Standstill::default()),
        stalled: Some(v1::Stalled::default()),
        ..v1::TcpSummary::default()
    }
}

fn healthy() -> v1::Diagnosis {
    v1::Diagnosis { verdict: v1::Verdict::Healthy.into(), ..v1::Diagnosis::default() }
}

fn summary(owner: v1::Workload, edge: v1::Edge, opened: u64) -> v1::Summary {
    v1::Summary {
        window_ns: 1_000_000_000,
        workload: Some(owner),
        edge: Some(edge),
        tcp: Some(figures(opened)),
        diagnosis: Some(healthy()),
        ..v1::Summary::default()
    }
}

/// An edge that asks.
fn to(owner: v1::Workload, port: u32, edge: v1::Edge) -> v1::Summary {
    summary(owner, v1::Edge { outgoing: true, port, ..edge }, 10)
}

/// An edge that is asked.
fn from(owner: v1::Workload, port: u32, edge: v1::Edge) -> v1::Summary {
    summary(owner, v1::Edge { outgoing: false, port, ..edge }, 10)
}

/// Of that node each.
fn on<T, const MANY: usize>(node: &str, told: [T; MANY]) -> Vec<(Arc<str>, T)> {
    told.map(|one| (Arc::from(node), one)).into()
}

/// Whose addresses are, where each connection's own end is at a workload that is reached there.
fn seen_in(connections: &[(Arc<str>, v1::Connection)]) -> Addresses {
    let reached = connections.iter().map(|(node, one)| {
        let tcp = one.tcp.clone().unwrap_or_default();
        let own = if tcp.outgoing { tcp.source } else { tcp.destination };
        let addresses = own.into_iter().map(|end| end.address).collect();
        let workload = one.workload.clone();
        (Arc::clone(node), v1::WorkloadStatus { workload, addresses, ..v1::WorkloadStatus::default() })
    });
    let reached: Vec<_> = reached.collect();
    Addresses::of(reached.iter().map(|(node, status)| (node, status)))
}
