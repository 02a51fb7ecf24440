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
                let key = (pod(&summary.workload), peer, port(edge), edge.outgoing);
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
        let there = peer.and_then(|peer| self.edges.get(&(peer, own, port(edge), !edge.outgoing)));
        let listener = |pod: &str| self.listeners.get(&(pod, port(edge))).copied();
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

/// The port that is listened on where the connections arrive.
fn port(edge: &Edge) -> u16 {
    edge.backend.map_or(edge.port, |backend| backend.port)
}

/// The pod that really is the other side, empty for the machine itself; `None` where it is elsewhere.
fn peer_pod(summary: &EdgeSummary) -> Option<&str> {
    let peer = summary.answerer();
    match peer.kind {
        PeerKind::FarPod
        | PeerKind::Service
        | PeerKind::Node
        | PeerKind::Outside
        | PeerKind::Unknown
        | PeerKind::Many => None,
        // Loopback within the machine's own namespace belongs to nobody in particular.
        PeerKind::Pod | PeerKind::Host | PeerKind::Loopback => Some(peer.workload.as_deref().map_or("", pod)),
    }
}

fn pod(workload: &Workload) -> &str {
    &workload.pod_uid
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnose::Verdict;
    use crate::event::examples::pod;
    use crate::event::{Backend, EdgeBackend, Peer as End, Stalled, WorkloadId};

    #[test]
    fn the_other_side_of_a_service_is_the_pod_that_answers() {
        let (client, server) = (pod(1, "shop", "cart"), pod(2, "shop", "web"));
        let end = |pod: &Arc<Workload>| End { workload: Some(Arc::clone(pod)), ..End::of(PeerKind::Pod) };
        let asks = Edge {
            workload: WorkloadId(1),
            kind: PeerKind::Service,
            peer: None,
            address: Some("10.96.0.7".parse().unwrap()),
            interface: 0,
            port: 80,
            outgoing: true,
            backend: Some(EdgeBackend {
                kind: PeerKind::Pod,
                peer: Some(WorkloadId(2)),
                address: None,
                port: 8080,
            }),
        };
        let backend = Backend { address: "10.0.0.9:8080".parse().unwrap(), peer: end(&server) };
        let through = EdgeSummary {
            workload: Arc::clone(&client),
            peer: End::of(PeerKind::Service),
            backend: Some(Arc::new(backend)),
            tcp: TcpSummary {
                opened: 9,
                retransmitted_segments: 9,
                sent_segments: 90,
                ..TcpSummary::default()
            },
        };
        let asked = Edge {
            workload: WorkloadId(2),
            kind: PeerKind::Pod,
            peer: Some(WorkloadId(1)),
            address: None,
            port: 8080,
            outgoing: false,
            backend: None,
            ..asks
        };
        let stalled = Stalled { unaccepted: 1, ..Stalled::default() };
        let of_server = EdgeSummary {
            workload: server,
            peer: end(&client),
            backend: None,
            tcp: TcpSummary { opened: 9, live: 9, stalled, ..TcpSummary::default() },
        };
        let mut window = Window::default();
        window.edges.insert(asks.clone(), through.clone());
        window.edges.insert(asked.clone(), of_server.clone());
        let ends = Ends::of(&window);
        assert_eq!(ends.diagnose(&asks, &through).verdict.verdict, Verdict::PeerNotAccepting);
        // Nobody knows who did not answer: then what is left is what was sent again.
        let alone = EdgeSummary { backend: None, ..through };
        assert_eq!(
            ends.diagnose(&Edge { backend: None, ..asks }, &alone).verdict.verdict,
            Verdict::NetworkLoss
        );
        let Diagnosis { verdict, .. } = ends.diagnose(&asked, &of_server);
        assert_eq!(verdict.verdict, Verdict::OwnProcessNotReading);
    }
}
