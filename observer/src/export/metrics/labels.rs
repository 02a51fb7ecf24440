//! The labels that say whose a figure is, and their values of workloads and edges.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::event::{Edge, EdgeSummary, LiveEdge, Peer, PeerKind, Workload, WorkloadKind};

/// Stands between the values of a key; in none of them.
const BETWEEN: char = '\0';

/// A label that may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Label {
    Namespace,
    Workload,
    WorkloadKind,
    Pod,
    Container,
    Direction,
    Port,
    Peer,
    PeerPod,
    PeerKind,
}

/// All of them, in the order in which they stand on a series.
pub(crate) const LABELS: [Label; 10] = [
    Label::Namespace,
    Label::Workload,
    Label::WorkloadKind,
    Label::Pod,
    Label::Container,
    Label::Direction,
    Label::Port,
    Label::Peer,
    Label::PeerPod,
    Label::PeerKind,
];

impl Label {
    /// As it is written, in settings and on series.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Workload => "workload",
            Self::WorkloadKind => "workload_kind",
            Self::Pod => "pod",
            Self::Container => "container",
            Self::Direction => "direction",
            Self::Port => "port",
            Self::Peer => "peer",
            Self::PeerPod => "peer_pod",
            Self::PeerKind => "peer_kind",
        }
    }

    /// OpenTelemetry's name for it, where it has one, and else one in its manner.
    pub(crate) const fn attribute(self) -> &'static str {
        match self {
            Self::Namespace => "k8s.namespace.name",
            Self::Workload => "observer.workload.name",
            Self::WorkloadKind => "observer.workload.kind",
            Self::Pod => "k8s.pod.name",
            Self::Container => "k8s.container.name",
            Self::Direction => "observer.connection.direction",
            Self::Port => "server.port",
            Self::Peer => "network.peer.name",
            Self::PeerPod => "observer.peer.pod",
            Self::PeerKind => "observer.peer.kind",
        }
    }

    /// What it says.
    #[allow(dead_code, reason = "the reference page tells it")]
    pub(crate) const fn help(self) -> &'static str {
        match self {
            Self::Namespace => "the pod's namespace; empty without a pod",
            Self::Workload => {
                "what made the pod (a Deployment's name, say), the pod's own name where nothing did; the container's, \
                 the systemd unit's, or `host`"
            }
            Self::WorkloadKind => "`Deployment` and the like, `Pod`, `Container`, `Unit` or `Host`",
            Self::Pod => "the pod's name; empty without one",
            Self::Container => "the container's name",
            Self::Direction => "`outgoing` where the workload asks, `incoming` where it is asked",
            Self::Port => "the port of the side that listens",
            Self::Peer => {
                "the other side: `namespace/workload`, a Service as `namespace/name`, a node's name, a looked-up name or an \
                 address"
            }
            Self::PeerPod => "the other side's pod, as `namespace/pod`",
            Self::PeerKind => {
                "`pod`, `far_pod`, `service`, `node`, `host`, `loopback`, `outside`, `many` or `unknown`"
            }
        }
    }

    /// The label of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        LABELS.into_iter().find(|label| label.name() == name)
    }

    /// It is of a connection's other side, and so of edges alone.
    pub(crate) const fn is_of_edge(self) -> bool {
        match self {
            Self::Namespace | Self::Workload | Self::WorkloadKind | Self::Pod | Self::Container => false,
            Self::Direction | Self::Port | Self::Peer | Self::PeerPod | Self::PeerKind => true,
        }
    }
}

/// The other side of some connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherSide<'a> {
    edge: &'a Edge,
    peer: &'a Peer,
}

impl<'a> OtherSide<'a> {
    /// Of an edge in a window.
    pub(crate) fn of(edge: &'a Edge, summary: &'a EdgeSummary) -> Self {
        Self { edge, peer: &summary.peer }
    }

    /// Of an edge with live connections.
    pub(crate) const fn of_live(live: &'a LiveEdge) -> Self {
        Self { edge: &live.edge, peer: &live.peer }
    }
}

/// Puts the values of these labels into `key`, one after the other. Labels of edges are empty where no other side is given.
pub(crate) fn put_key(key: &mut String, labels: &[Label], of: &Workload, other: Option<OtherSide<'_>>) {
    key.clear();
    for (at, label) in labels.iter().enumerate() {
        if at > 0 {
            key.push(BETWEEN);
        }
        let value = match other {
            Some(other) if label.is_of_edge() => of_edge(*label, other),
            Some(_) | None => of_workload(*label, of),
        };
        key.extend(
            value.chars().map(|letter| if letter == BETWEEN { char::REPLACEMENT_CHARACTER } else { letter }),
        );
    }
}

/// The values of a key.
pub(crate) fn values(key: &str) -> impl Iterator<Item = &str> {
    key.split(BETWEEN)
}

fn of_workload(label: Label, of: &Workload) -> Cow<'_, str> {
    match label {
        Label::Namespace => of.namespace.as_str().into(),
        Label::Workload => maker(of).into(),
        Label::WorkloadKind => kind(of).into(),
        Label::Pod => of.pod.as_str().into(),
        Label::Container => of.container.as_str().into(),
        Label::Direction | Label::Port | Label::Peer | Label::PeerPod | Label::PeerKind => "".into(),
    }
}

/// What made it, or its own name.
fn maker(of: &Workload) -> &str {
    of.owner.as_ref().map_or_else(|| of.name(), |owner| &owner.name)
}

fn kind(of: &Workload) -> &str {
    match (&of.owner, of.kind) {
        (Some(owner), _) => &owner.kind,
        (None, WorkloadKind::Pod) => "Pod",
        (None, WorkloadKind::Container) => "Container",
        (None, WorkloadKind::Unit) => "Unit",
        (None, WorkloadKind::Host) => "Host",
    }
}

fn of_edge(label: Label, OtherSide { edge, peer }: OtherSide<'_>) -> Cow<'_, str> {
    match label {
        Label::Direction => if edge.outgoing { "outgoing" } else { "incoming" }.into(),
        Label::Port => edge.port.to_string().into(),
        Label::Peer => peer_name(edge, peer),
        Label::PeerPod => match &peer.workload {
            Some(of) if !of.pod.is_empty() => format!("{}/{}", of.namespace, of.pod).into(),
            Some(_) | None => "".into(),
        },
        Label::PeerKind => peer_kind(edge.kind).into(),
        Label::Namespace | Label::Workload | Label::WorkloadKind | Label::Pod | Label::Container => "".into(),
    }
}

fn peer_name<'a>(edge: &'a Edge, peer: &'a Peer) -> Cow<'a, str> {
    if let Some(of) = &peer.workload {
        return if of.namespace.is_empty() {
            maker(of).into()
        } else {
            format!("{}/{}", of.namespace, maker(of)).into()
        };
    }
    let place = peer.place.as_deref();
    let named = match edge.kind {
        PeerKind::Host => "host",
        PeerKind::Loopback => "loopback",
        PeerKind::Many => "many",
        PeerKind::Service => place.map_or("", |place| &place.service),
        PeerKind::Node => place.map_or("", |place| &place.node_name),
        PeerKind::Pod | PeerKind::FarPod | PeerKind::Outside | PeerKind::Unknown => {
            peer.dns_name.as_deref().unwrap_or("")
        }
    };
    if named.is_empty() {
        edge.address.map_or(Cow::Borrowed(""), |address| address.to_string().into())
    } else {
        named.into()
    }
}

const fn peer_kind(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Pod => "pod",
        PeerKind::FarPod => "far_pod",
        PeerKind::Service => "service",
        PeerKind::Node => "node",
        PeerKind::Host => "host",
        PeerKind::Loopback => "loopback",
        PeerKind::Outside => "outside",
        PeerKind::Unknown => "unknown",
        PeerKind::Many => "many",
    }
}
