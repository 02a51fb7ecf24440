//! The verdict on an edge with what the other node tells of it: by the rules that a daemon has for edges within its node.

use observer_proto::v1;

use crate::diagnose::{self, Peer, Subject};
use crate::event::{ListenerSummary, TcpSummary, Workload, WorkloadId, WorkloadKind};
use crate::record::told_tcp;
use crate::wire;

/// The verdict on an edge that asks, with the figures of those that are its other end. None where what is needed was not told.
pub(super) fn judged<'a>(
    near: &v1::Summary,
    far: impl Iterator<Item = (Option<&'a v1::TcpSummary>, Option<&'a v1::Diagnosis>)>,
) -> Option<v1::Diagnosis> {
    near.diagnosis.as_ref()?;
    let own = told_tcp(Some(near.tcp.as_ref()?));
    let mut listener: Option<ListenerSummary> = None;
    let mut edges: Vec<TcpSummary> = Vec::new();
    for (tcp, diagnosis) in far {
        edges.push(told_tcp(Some(tcp?)));
        listener = listener.or_else(|| queue(diagnosis?));
    }
    let edges: Vec<&TcpSummary> = edges.iter().collect();
    let diagnosis = diagnose::edge(&Subject {
        own: &own,
        own_listener: None,
        // A long way may lie between two nodes.
        near: false,
        peer: Peer { edges: &edges, listener: listener.as_ref() },
        lost_events: near.lost_events,
    });
    Some(wire::diagnosis(&diagnosis))
}

/// The queue of the server's listener, as that side's verdict tells of it: it does where the queue was full, and where there is
/// nothing else to tell than what it dropped.
fn queue(of: &v1::Diagnosis) -> Option<ListenerSummary> {
    let evidence = || of.evidence.iter().chain(of.others.iter().flat_map(|finding| &finding.evidence));
    let told = |figure: &str| evidence().find(|evidence| evidence.figure == figure);
    let [queue, overflows, drops] = ["queue", "listen_overflows", "listen_drops"].map(told);
    queue.or(overflows).or(drops)?;
    let value = |evidence: Option<&v1::Evidence>| evidence.map_or(0, |evidence| evidence.value);
    let limit = queue.and_then(|queue| queue.of).unwrap_or(u64::from(u32::MAX));
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Some(ListenerSummary {
        workload: Workload::unknown(WorkloadId(0), WorkloadKind::Pod, 0).into(),
        most_waiting: narrow(value(queue)),
        limit: narrow(limit),
        dropped: value(drops),
        overflowed: value(overflows),
    })
}
