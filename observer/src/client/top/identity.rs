//! What tells a row from others while figures and places change.

use observer_proto::v1::{Connection, Edge, Summary, Workload};

use super::super::label;
use super::super::summary::way;

/// Of a workload: a container's id is for one run of it, all else has its name.
pub(super) fn workload(workload: Option<&Workload>) -> String {
    match workload {
        Some(Workload { container_id, .. }) if !container_id.is_empty() => container_id.clone(),
        _ => label::owner(workload),
    }
}

/// Of an edge.
pub(super) fn edge(summary: &Summary) -> String {
    let Edge { address, port, outgoing, .. } = summary.edge.clone().unwrap_or_default();
    let owner = workload(summary.workload.as_ref());
    format!("{owner} {outgoing} {address} {port} {}", way(summary))
}

/// Of a connection, whose two ends on one node are two of them.
pub(super) fn connection(connection: &Connection) -> String {
    let id = connection.tcp.as_ref().map(|tcp| tcp.connection_id.as_str()).unwrap_or_default();
    format!("connection {id}")
}
