//! The verdicts of all nodes.

use std::sync::Arc;

use observer_proto::v1;
use prost_types::Timestamp;

use super::Addresses;
use super::edges::joined;

/// What all nodes say of their edges, as one answer: the edges as [`super::edges`] joins them, those with a fault first, then by
/// whose they are and by node. It has the earliest start and the greatest length of the nodes' times, all that was lost,
/// and no node's name.
pub(crate) fn verdicts(
    told: Vec<(Arc<str>, v1::ExplainResponse)>,
    addresses: &Addresses,
) -> v1::ExplainResponse {
    let mut whole = v1::ExplainResponse::default();
    let mut all = Vec::with_capacity(told.iter().map(|(_, response)| response.edges.len()).sum());
    for (node, response) in told {
        let v1::ExplainResponse {
            edges,
            total,
            node_name: _,
            window_start,
            window_ns,
            lost_events,
            missing_nodes,
        } = response;
        all.extend(edges.into_iter().map(|edge| (Arc::clone(&node), edge)));
        whole.total = whole.total.saturating_add(total);
        whole.window_start = earliest(whole.window_start, window_start);
        whole.window_ns = whole.window_ns.max(window_ns);
        whole.lost_events = whole.lost_events.saturating_add(lost_events);
        whole.missing_nodes.extend(missing_nodes);
    }
    let before = all.len();
    let edges = joined(all, addresses);
    whole.total = whole.total.saturating_sub((before - edges.len()) as u64);
    whole.missing_nodes.sort_by(|one, other| one.node_name.cmp(&other.node_name));
    whole.edges = in_order(edges);
    whole
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    let by_time = |time: &Timestamp| (time.seconds, time.nanos);
    one.into_iter().chain(other).min_by_key(by_time)
}

/// Sorted as a daemon sorts its own; a node's edges of one workload stay in its order.
fn in_order(edges: Vec<(Arc<str>, v1::Summary)>) -> Vec<v1::Summary> {
    let mut places: Vec<usize> = (0..edges.len()).collect();
    places.sort_by(|one, other| key(&edges[*one]).cmp(&key(&edges[*other])));
    let mut edges: Vec<_> = edges.into_iter().map(|(_, edge)| Some(edge)).collect();
    places.into_iter().filter_map(|at| edges[at].take()).collect()
}

/// By what edges are sorted: namespace, pod, container, name, node.
type Key<'a> = (u8, &'a str, &'a str, &'a str, &'a str, &'a str);

fn key((node, summary): &(Arc<str>, v1::Summary)) -> Key<'_> {
    let rank = rank(summary);
    match &summary.workload {
        Some(v1::Workload { namespace, pod, container, name, .. }) => {
            (rank, namespace, pod, container, name, node)
        }
        None => (rank, "", "", "", "", node),
    }
}

/// Those with a fault come first, and those without at the end.
fn rank(summary: &v1::Summary) -> u8 {
    use v1::Verdict::{
        Healthy, NetworkLatency, NetworkLoss, OwnProcessNotReading, OwnSendBuffer, PeerNotAccepting,
        PeerNotReading, Refused, Unknown, Unreachable, Unspecified,
    };
    match summary.diagnosis.as_ref().map_or(Unspecified, v1::Diagnosis::verdict) {
        NetworkLoss | NetworkLatency | PeerNotAccepting | PeerNotReading | OwnProcessNotReading
        | OwnSendBuffer | Refused | Unreachable => 0,
        Unknown | Unspecified => 1,
        Healthy => 2,
    }
}
