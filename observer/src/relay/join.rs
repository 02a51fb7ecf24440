//! Joins both ends.
use std::sync::Arc;

use observer_proto::v1;

pub(crate) fn connections(told: Vec<(Arc<str>, v1::Connection)>) -> Vec<v1::Connection> {
    told.into_iter().map(|(node, one)| v1::Connection { node_name: node.to_string(), ..one }).collect()
}
pub(crate) fn edges(told: Vec<(Arc<str>, v1::Summary)>) -> Vec<v1::Summary> {
    told.into_iter().map(|(node, one)| v1::Summary { node_name: node.to_string(), ..one }).collect()
}
pub(crate) fn verdicts(told: Vec<(Arc<str>, v1::ExplainResponse)>) -> v1::ExplainResponse {
    let mut all = v1::ExplainResponse::default();
    for (_, one) in told {
        all.edges.extend(one.edges);
        all.total += one.total;
    }
    all
}
