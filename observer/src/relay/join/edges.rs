//! Both ends of edges.

use std::sync::Arc;

use observer_proto::v1;

use super::Addresses;
use super::ends::Plan;
use super::judge::judged;
use super::peer::fill_edge;

/// One window's summaries of all nodes, each edge once: one that leads from a node to another is told by the side that asks,
/// with the other side's figures as its `far_end`; that side's own summary of it is not told. They come node by node, by
/// the nodes' names, each in the order in which they are given in.
///
/// A daemon names an edge by whom it is between and by the listening side's port, and counts on it all connections that have
/// these in common. So two edges are one if the one's peer is whose the other is, and the other way round, and no other
/// edge of either side says the same. Where there are several (two containers of a pod that ask the same server, a server that is asked
/// through its Service and past it, a container that was started again), nobody can tell whose figures the other side's are:
/// they stay as they are, but what the other side says still counts in the verdict on those that ask. The same is so on one node.
///
/// An edge to a Service of which the daemon does not know who answers has no other end; nor has what was counted together.
/// A machine's edges are joined only if none of its pods can have asked in its name, by source NAT.
pub(crate) fn edges(told: Vec<(Arc<str>, v1::Summary)>, addresses: &Addresses) -> Vec<v1::Summary> {
    joined(told, addresses).into_iter().map(|(_, summary)| summary).collect()
}

/// The same, each with its node.
pub(super) fn joined(
    told: Vec<(Arc<str>, v1::Summary)>,
    addresses: &Addresses,
) -> Vec<(Arc<str>, v1::Summary)> {
    let mut told = by_node(told);
    let Plan { pairs, beside } = Plan::of(&told, addresses);
    for (near, far) in beside {
        let far = far.iter().map(|at| (told[*at].1.tcp.as_ref(), told[*at].1.diagnosis.as_ref()));
        let diagnosis = judged(&told[near].1, far);
        renew(&mut told[near].1, diagnosis);
    }
    let named = |(node, summary): (Arc<str>, v1::Summary)| {
        let node_name = node.as_ref().to_owned();
        Some((node, v1::Summary { node_name, ..summary }))
    };
    let mut all: Vec<_> = told.into_iter().map(named).collect();
    for (near, far) in pairs {
        let far = all[far].take();
        if let Some(((_, near), (_, far))) = all[near].as_mut().zip(far) {
            join(near, far);
        }
    }
    all.into_iter().flatten().collect()
}

/// In the order of the nodes' names.
fn by_node(told: Vec<(Arc<str>, v1::Summary)>) -> Vec<(Arc<str>, v1::Summary)> {
    if told.is_sorted_by(|(one, _), (other, _)| one <= other) {
        return told;
    }
    // Summaries are large, so their places are sorted.
    let mut places: Vec<usize> = (0..told.len()).collect();
    places.sort_by(|one, other| told[*one].0.cmp(&told[*other].0));
    let mut told: Vec<_> = told.into_iter().map(Some).collect();
    places.into_iter().filter_map(|at| told[at].take()).collect()
}

/// The edge that asks takes in what its other end tells.
fn join(near: &mut v1::Summary, far: v1::Summary) {
    let diagnosis = judged(near, std::iter::once((far.tcp.as_ref(), far.diagnosis.as_ref())));
    renew(near, diagnosis);
    if let Some(edge) = &mut near.edge {
        fill_edge(edge, far.workload.as_ref(), &far.node_name);
    }
    let v1::Summary {
        window_start: _,
        window_ns: _,
        workload,
        edge: _,
        tcp,
        processes: _,
        lost_events,
        diagnosis,
        key: _,
        node_name,
        far_end: _,
    } = far;
    near.far_end = Some(v1::FarEnd { node_name, workload, tcp, diagnosis, lost_events });
}

fn renew(near: &mut v1::Summary, diagnosis: Option<v1::Diagnosis>) {
    if diagnosis.is_some() {
        near.diagnosis = diagnosis;
    }
}
