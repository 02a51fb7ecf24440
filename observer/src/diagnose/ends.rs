//! The two sides of an edge, where both are on this node.

use foldhash::{HashMap, HashMapExt as _};

use super::{Diagnosis, Peer, Subject};
use crate::event::{Edge, EdgeSummary, ListenerSummary, PeerKind, TcpSummary, Window, Workload};

/// Names an edge by what both sides know: the pods (empty for the machine), the port, the direction.
type Key<'w> = (&'w str, &'w str, u16, bool);

/// The edges and listeners of a window, to be found from their other side.
pub(crate) struct Ends<'w> {
    edges: HashMap<Key<'w>, Vec<&'w TcpSummary>>,
    listeners: HashMap<(&'w str, u16), &'w ListenerSummary>,
    lost_events: u64,
}

impl<'w> Ends<'w> {
    /// Of that window.
    pub(crate) fn of(window: &'w Window) -> Self {
        let mut edges: HashMap<Key<'w>, Vec<&'w TcpSummary>> = HashMap::new();
        for (edge, summary) in &window.edges {
            if let Some(peer) = peer_pod(summary) {
                let key = (pod(&summary.workload), peer, edge.port, edge.outgoing);
                edges.entry(key).or_default().push(&summary.tcp);
            }
        }
        let listeners = window
            .listeners
            .iter()
            .map(|((_, port), summary)| ((pod(&summary.workload), *port), summary))
            .collect();
        Self { edges, listeners, lost_events: window.lost_events }
    }

    /// The verdict on an edge of the window.
    pub(crate) fn diagnose(&self, edge: &Edge, summary: &EdgeSummary) -> Diagnosis {
        let (own, peer) = (pod(&summary.workload), peer_pod(summary));
        let there = peer.and_then(|peer| self.edges.get(&(peer, own, edge.port, !edge.outgoing)));
        let listener = |pod: &str| self.listeners.get(&(pod, edge.port)).copied();
        super::edge(&Subject {
            own: &summary.tcp,
            own_listener: if edge.outgoing { None } else { listener(own) },
            near: peer.is_some(),
            peer: Peer {
                edges: there.map_or(&[], Vec::as_slice),
                listener: peer.filter(|_| edge.outgoing).and_then(listener),
            },
            lost_events: self.lost_events,
        })
    }
}

/// The pod that the other side is, empty for the machine itself; `None` where it is elsewhere.
fn peer_pod(summary: &EdgeSummary) -> Option<&str> {
    match summary.peer.kind {
        PeerKind::FarPod | PeerKind::Service | PeerKind::Node | PeerKind::Outside | PeerKind::Unknown => None,
        // Loopback within the machine's own namespace belongs to nobody in particular.
        PeerKind::Pod | PeerKind::Host | PeerKind::Loopback => {
            Some(summary.peer.workload.as_deref().map_or("", pod))
        }
    }
}

fn pod(workload: &Workload) -> &str {
    &workload.pod_uid
}
