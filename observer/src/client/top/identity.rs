//! What tells a row from others while figures and places change.

use observer_proto::v1::{Connection, Edge, Summary, Workload, WorkloadStatus};

use super::super::label;
use super::super::summary::way;

/// Of a workload: a container's id is for one run of it, all else has its name, and where several nodes tell, its node.
pub(super) fn workload(node: &str, workload: Option<&Workload>) -> String {
    match workload {
        Some(Workload { container_id, .. }) if !container_id.is_empty() => container_id.clone(),
        _ => format!("{}{}", label::owner(workload), label::on(node)),
    }
}

/// Of the workload that a summary is of, or whose edge it is of.
pub(super) fn of(summary: &Summary) -> String {
    workload(&summary.node_name, summary.workload.as_ref())
}

/// Of the workload at the other end of an edge, where that is on another node that a relay asks.
pub(super) fn far(edge: &Summary) -> Option<String> {
    edge.far_end.as_ref().map(|far| workload(&far.node_name, far.workload.as_ref()))
}

/// Of one that is listed.
pub(super) fn status(status: &WorkloadStatus) -> String {
    workload(&status.node_name, status.workload.as_ref())
}

/// Of an edge.
pub(super) fn edge(summary: &Summary) -> String {
    let Edge { address, port, outgoing, .. } = summary.edge.clone().unwrap_or_default();
    format!("{} {outgoing} {address} {port} {}", of(summary), way(summary))
}

/// Of a connection, whose two ends on one node are two of them.
pub(super) fn connection(connection: &Connection) -> String {
    let id = connection.tcp.as_ref().map(|tcp| tcp.connection_id.as_str()).unwrap_or_default();
    format!("connection {id}{}", label::on(&connection.node_name))
}
