//! What somebody may see, and how the rest is hidden.
//!
//! Filters are asked about what is left: so nobody learns by filtering what is hidden.

mod told;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use crate::event::{
    Backend, Connection, Detail, Edge, EdgeSummary, Event, ExecOrigin, Live, Peer, PeerKind, Place, Stalled,
    Tcp, Window, Workload, WorkloadKind,
};

/// What somebody may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of the node.
    #[default]
    All,
    /// Pods of these namespaces. Of the others that they are connected with: the address and the port, as they see them.
    Namespaces(Arc<BTreeSet<String>>),
}

impl Scope {
    /// Nothing is hidden.
    pub(crate) const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// The workload is one to be seen.
    pub(crate) fn sees(&self, workload: &Workload) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(namespaces) => {
                workload.kind == WorkloadKind::Pod && namespaces.contains(&workload.namespace)
            }
        }
    }

    /// What of an event is to be seen; `None` for nothing.
    pub(crate) fn event<'a>(&self, event: &'a Event) -> Option<Cow<'a, Event>> {
        if self.is_all() {
            return Some(Cow::Borrowed(event));
        }
        event.workload.as_deref().filter(|owner| self.sees(owner))?;
        let hides = event.tcp().is_some_and(|tcp| self.hides_of(tcp))
            || self.hides_origin(&event.detail)
            || self.hides_sender(&event.detail);
        if !hides {
            return Some(Cow::Borrowed(event));
        }
        let mut event = event.clone();
        if let Some(tcp) = event.tcp_mut() {
            self.hide(tcp);
        }
        if let Detail::ProcessExec(exec) = &mut event.detail
            && let ExecOrigin::Namespaces { .. } = exec.origin
        {
            exec.origin = ExecOrigin::Descendant;
        }
        if let Detail::Signal(signal) = &mut event.detail
            && self.hides_sender(&Detail::Signal(signal.clone()))
        {
            signal.sender = None;
        }
        Some(Cow::Owned(event))
    }

    /// What of a live connection is to be seen; `None` for nothing.
    pub(crate) fn connection<'a>(&self, connection: &'a Connection) -> Option<Cow<'a, Connection>> {
        if !self.sees(&connection.workload) {
            return None;
        }
        // The other end's owner may be known where its address is nobody's in particular: a node's, say.
        let hides_end = connection.peer_end.as_ref().is_some_and(|end| !self.sees(&end.workload));
        if !hides_end && !self.hides_of(&connection.tcp) {
            return Some(Cow::Borrowed(connection));
        }
        let mut connection = connection.clone();
        self.hide(&mut connection.tcp);
        connection.peer_end = connection.peer_end.filter(|end| self.sees(&end.workload));
        Some(Cow::Owned(connection))
    }

    /// What of a window is to be seen. Connections of a workload with those that are hidden are on one edge for each port
    /// and direction.
    pub(crate) fn window<'a>(&self, window: &'a Window) -> Cow<'a, Window> {
        if self.is_all() {
            return Cow::Borrowed(window);
        }
        let Window { start, length_ns, lost_events, workloads, edges, listeners, live: _ } = window;
        let mut seen = Window {
            start: *start,
            length_ns: *length_ns,
            lost_events: *lost_events,
            live: Arc::new(Live::default()),
            ..Window::default()
        };
        let of = workloads.iter().filter(|(_, summary)| self.sees(&summary.workload));
        seen.workloads.extend(of.map(|(id, summary)| (*id, summary.clone())));
        let of = listeners.iter().filter(|(_, summary)| self.sees(&summary.workload));
        seen.listeners.extend(of.map(|(at, summary)| (*at, summary.clone())));
        for (edge, summary) in edges.iter().filter(|(_, summary)| self.sees(&summary.workload)) {
            let (edge, summary) = self.edge(edge, summary);
            match seen.edges.entry(edge) {
                Entry::Occupied(mut known) => add(known.get_mut(), summary),
                Entry::Vacant(room) => drop(room.insert(summary)),
            }
        }
        Cow::Owned(seen)
    }

    fn edge(&self, edge: &Edge, summary: &EdgeSummary) -> (Edge, EdgeSummary) {
        let backend = summary.backend.as_ref().filter(|backend| !self.hides(&backend.peer)).cloned();
        if !self.hides(&summary.peer) {
            let of = edge.backend.filter(|_| backend.is_some());
            return (Edge { backend: of, ..edge.clone() }, EdgeSummary { backend, ..summary.clone() });
        }
        let Edge { workload, kind, peer: _, address: _, interface: _, port, outgoing, backend: _ } = *edge;
        let kind = shown_kind(kind);
        let edge =
            Edge { workload, kind, peer: None, address: None, interface: 0, port, outgoing, backend: None };
        (edge, EdgeSummary { peer: Peer::of(kind), backend: None, ..summary.clone() })
    }

    /// Something of the other end is not to be seen.
    fn hides_of(&self, tcp: &Tcp) -> bool {
        self.hides(&tcp.peer) || tcp.backend.as_ref().is_some_and(|backend| self.hides(&backend.peer))
    }

    fn hide(&self, tcp: &mut Tcp) {
        if self.hides(&tcp.peer) {
            let dns_name = tcp.peer.dns_name.take();
            tcp.peer = Peer { dns_name, ..Peer::of(shown_kind(tcp.peer.kind)) };
        }
        let keep = |backend: &Arc<Backend>| !self.hides(&backend.peer);
        tcp.backend = tcp.backend.take().filter(keep);
    }

    fn hides(&self, peer: &Peer) -> bool {
        let service = |place: &Place| self.hides_service(&place.service);
        peer.workload.as_deref().is_some_and(|workload| !self.sees(workload))
            || peer.place.as_deref().is_some_and(service)
    }

    /// A signal came from somebody who is not to be seen.
    fn hides_sender(&self, detail: &Detail) -> bool {
        let Detail::Signal(signal) = detail else { return false };
        let of = signal.sender.as_ref().and_then(|sender| sender.workload.as_deref());
        of.is_some_and(|workload| !self.sees(workload))
    }

    fn hides_origin(&self, detail: &Detail) -> bool {
        let Detail::ProcessExec(exec) = detail else { return false };
        matches!(&exec.origin, ExecOrigin::Namespaces { of, .. } if !self.sees(of))
    }
}

/// What is told of somebody who is hidden: a pod is one of which nobody knows here, whatever node it is on.
const fn shown_kind(kind: PeerKind) -> PeerKind {
    match kind {
        PeerKind::Pod | PeerKind::FarPod => PeerKind::FarPod,
        PeerKind::Service
        | PeerKind::Node
        | PeerKind::Host
        | PeerKind::Loopback
        | PeerKind::Outside
        | PeerKind::Unknown
        | PeerKind::Many => kind,
    }
}

/// Adds the figures of another edge of the same time, to which there is no difference any more.
fn add(to: &mut EdgeSummary, other: EdgeSummary) {
    let live = to.tcp.live + other.tcp.live;
    let mut stalled = to.tcp.stalled;
    stalled.change(&Stalled::default(), &other.tcp.stalled);
    to.tcp.merge(&other.tcp);
    (to.tcp.live, to.tcp.stalled) = (live, stalled);
    // Whose names are told shall not depend on the order of a hash table.
    let named = |peer: &Peer| (peer.place.as_ref().map(|place| place.id), peer.dns_name.clone());
    if named(&other.peer) < named(&to.peer) {
        to.peer = other.peer;
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("*"),
            Self::Namespaces(namespaces) => {
                let names: Vec<&str> = namespaces.iter().map(String::as_str).collect();
                out.write_str(&names.join(","))
            }
        }
    }
}
