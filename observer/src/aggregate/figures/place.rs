//! Which workload and which edge a connection belongs to.

use std::sync::Arc;

use super::{EdgeSlot, Figures};
use crate::event::{
    Backend, Edge, EdgeBackend, Peer, PeerKind, Stalled, Tcp, TcpSummary, Workload, WorkloadId, interface,
};

/// So many edges any workload may have.
const LEAST_SHARE: usize = 1024;

/// Where the figures of a connection go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::aggregate) struct Place {
    /// `None` where the table of workloads was full.
    pub(super) workload: Option<u32>,
    /// `None` where the table of edges was full as well.
    pub(super) edge: Option<u32>,
}

impl Figures {
    /// Where the figures of a connection go; makes the slots.
    pub(in crate::aggregate) fn place(&mut self, workload: &Arc<Workload>, tcp: &Tcp) -> Place {
        let Some(owner) = self.workload(workload) else { return Place::default() };
        let edge = edge(workload.id, tcp);
        let mut found = self.edges.find(&edge);
        if found.is_none() && self.has_share(owner) {
            let many = Edge {
                kind: PeerKind::Many,
                peer: None,
                address: None,
                interface: 0,
                port: 0,
                backend: None,
                ..edge
            };
            let peer = Peer::of(PeerKind::Many);
            found = self.edges.find(&many).or_else(|| self.insert(many, owner, &peer, None));
        } else if found.is_none() && edge.backend.is_some() && self.is_crowded() {
            // One Service may have a thousand backends. What it does as a whole is worth more than each of them.
            self.no_room.backends += 1;
            let whole = Edge { backend: None, ..edge };
            found = self.edges.find(&whole).or_else(|| self.insert(whole, owner, &tcp.peer, None));
        } else if found.is_none() {
            found = self.insert(edge, owner, &tcp.peer, tcp.backend.as_ref());
        }
        if found.is_none() {
            self.no_room.edges += 1;
            self.missing += 1;
        }
        if let Some(slot) = self.touch_edge(found) {
            if let Some(peer) = &tcp.peer.workload {
                renew(&mut slot.peer, peer);
            }
            if let Some(peer) = tcp.backend.as_ref().and_then(|backend| backend.peer.workload.as_ref()) {
                renew_backend(&mut slot.backend, peer);
            }
        }
        Place { workload: Some(owner), edge: found }
    }

    /// A workload has as many edges as one may have: what else it does is on its edge to many, so that one that tries all
    /// addresses and ports there are leaves the table to the others.
    fn has_share(&self, owner: u32) -> bool {
        let share = (self.edges.capacity() / 4).max(LEAST_SHARE);
        self.workloads.get(owner).is_some_and(|slot| slot.edges as usize >= share)
    }

    /// A quarter of the table is kept for edges that name no backend.
    fn is_crowded(&self) -> bool {
        self.edges.len() >= self.edges.capacity() - self.edges.capacity() / 4
    }

    fn insert(&mut self, edge: Edge, owner: u32, peer: &Peer, backend: Option<&Arc<Backend>>) -> Option<u32> {
        let slot = EdgeSlot {
            workload: owner,
            peer: peer.clone(),
            backend: backend.cloned(),
            live: 0,
            stalled: Stalled::default(),
            touched: false,
            tcp: TcpSummary::default(),
        };
        let at = self.edges.insert(edge, slot)?;
        if let Some(owner) = self.workloads.get_mut(owner) {
            owner.edges += 1;
        }
        Some(at)
    }
}

/// The edge that a connection is counted on.
fn edge(workload: WorkloadId, tcp: &Tcp) -> Edge {
    let is_workload = tcp.peer.workload.is_some();
    let backend = tcp.backend.as_deref().map(|Backend { address, peer }| EdgeBackend {
        kind: peer.kind,
        peer: peer.id(),
        address: if peer.workload.is_some() { None } else { Some(address.ip()) },
        port: address.port(),
    });
    Edge {
        workload,
        kind: tcp.peer.kind,
        peer: tcp.peer.id(),
        address: if is_workload || tcp.peer.kind == PeerKind::Many { None } else { Some(tcp.remote.ip()) },
        interface: if is_workload { 0 } else { interface(tcp.remote) },
        port: if tcp.outgoing { tcp.remote.port() } else { tcp.local.port() },
        outgoing: tcp.outgoing,
        backend,
    }
}

/// Takes a newer description of the same workload over.
pub(in crate::aggregate) fn renew(peer: &mut Peer, newer: &Arc<Workload>) {
    if let Some(known) = &mut peer.workload
        && known.id == newer.id
        && !Arc::ptr_eq(known, newer)
    {
        *known = Arc::clone(newer);
    }
}

/// The same for who answers in another's name.
pub(in crate::aggregate) fn renew_backend(backend: &mut Option<Arc<Backend>>, newer: &Arc<Workload>) {
    let Some(known) = backend else { return };
    let is_older = |workload: &Arc<Workload>| workload.id == newer.id && !Arc::ptr_eq(workload, newer);
    if known.peer.workload.as_ref().is_some_and(is_older) {
        let mut renewed = Backend::clone(known);
        renew(&mut renewed.peer, newer);
        *known = Arc::new(renewed);
    }
}
