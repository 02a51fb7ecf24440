//! Names that another deploy has as well: by what made a pod, by a service, by a name that was looked up.

use crate::event::{Edge, EdgeSummary, Peer as End, PeerKind, Workload, WorkloadKind};

/// Labels with a hash that is in the middle of a pod's name, behind the name of what made it.
const TEMPLATE_HASHES: [(&str, &str); 2] =
    [("pod-template-hash", "Deployment"), ("rollouts-pod-template-hash", "Rollout")];

/// What a party is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PartyKind {
    /// The pods that one thing made, or a pod that nothing made.
    Pods,
    /// Containers of that name, or with that id where they have none.
    Container,
    /// A systemd unit.
    Unit,
    /// The machine itself.
    Host,
    /// A service.
    Service,
    /// Another node.
    Node,
    /// The same network namespace.
    Loopback,
    /// An outside name or address.
    Outside,
    /// Several, counted together.
    Many,
    /// A peer that nothing is known of.
    Unknown,
}

/// One who is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Party {
    pub(crate) kind: PartyKind,
    /// The namespace; empty without one.
    pub(crate) namespace: String,
    /// What made the pods, as Kubernetes calls it; empty where it is not known, or for others.
    pub(crate) owner_kind: String,
    /// The name of what made them, or its own.
    pub(crate) name: String,
    /// The container; empty without one.
    pub(crate) container: String,
}

/// The other side of an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Peer {
    pub(crate) party: Party,
    /// Who answers for it, where that is somebody else.
    pub(crate) backend: Option<Party>,
    /// The listening side's port.
    pub(crate) port: u16,
    /// The workload asks (true) or is asked (false).
    pub(crate) outgoing: bool,
}

/// Whose figures are compared: a workload's own, or those of one of its edges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) workload: Party,
    pub(crate) peer: Option<Peer>,
}

impl Key {
    pub(super) fn of_workload(workload: &Workload) -> Self {
        Self { workload: Party::of(workload), peer: None }
    }

    pub(super) fn of_edge(edge: &Edge, summary: &EdgeSummary) -> Self {
        let address = edge.address.map(|address| address.to_string()).unwrap_or_default();
        let backend = edge.backend.zip(summary.backend.as_deref()).map(|(to, backend)| {
            Party::of_end(&backend.peer, to.kind, &to.address.map(|ip| ip.to_string()).unwrap_or_default())
        });
        let peer = Peer {
            party: Party::of_end(&summary.peer, edge.kind, &address),
            backend,
            port: edge.port,
            outgoing: edge.outgoing,
        };
        Self { workload: Party::of(&summary.workload), peer: Some(peer) }
    }
}

impl Party {
    fn named(kind: PartyKind, name: &str) -> Self {
        Self {
            kind,
            namespace: String::new(),
            owner_kind: String::new(),
            name: name.to_owned(),
            container: String::new(),
        }
    }

    fn of(workload: &Workload) -> Self {
        match workload.kind {
            WorkloadKind::Host => Self::named(PartyKind::Host, "host"),
            WorkloadKind::Unit => Self::named(PartyKind::Unit, &workload.unit),
            WorkloadKind::Container => Self::named(PartyKind::Container, workload.name()),
            WorkloadKind::Pod => {
                let (owner_kind, name) = made_by(workload);
                Self {
                    namespace: workload.namespace.clone(),
                    owner_kind: owner_kind.to_owned(),
                    container: workload.container.clone(),
                    ..Self::named(PartyKind::Pods, name)
                }
            }
        }
    }

    /// The other end of an edge. A pod's container is left out: which of them is reached says the port.
    fn of_end(end: &End, kind: PeerKind, address: &str) -> Self {
        if let Some(workload) = end.workload.as_deref() {
            return Self { container: String::new(), ..Self::of(workload) };
        }
        let place = end.place.as_deref();
        let service = place.map(|place| place.service.as_str()).filter(|service| !service.is_empty());
        if let Some((namespace, name)) = service.and_then(|service| service.split_once('/')) {
            return Self { namespace: namespace.to_owned(), ..Self::named(PartyKind::Service, name) };
        }
        let node = place.map(|place| place.node_name.as_str()).filter(|node| !node.is_empty());
        match (kind, node, end.dns_name.as_deref()) {
            (PeerKind::Loopback, ..) => Self::named(PartyKind::Loopback, "loopback"),
            (PeerKind::Host, ..) => Self::named(PartyKind::Host, "host"),
            (PeerKind::Many, ..) => Self::named(PartyKind::Many, "many"),
            (PeerKind::Node, Some(node), _) => Self::named(PartyKind::Node, node),
            (PeerKind::Outside, _, Some(name)) => Self::named(PartyKind::Outside, name),
            (PeerKind::Outside, _, None) => Self::named(PartyKind::Outside, address),
            (
                PeerKind::Pod | PeerKind::FarPod | PeerKind::Service | PeerKind::Node | PeerKind::Unknown,
                ..,
            ) => Self::named(PartyKind::Unknown, address),
        }
    }
}

/// What made a pod: as the cluster says, else as the pod's labels do, else nothing.
fn made_by(pod: &Workload) -> (&str, &str) {
    if let Some(owner) = pod.owner.as_deref() {
        return (&owner.kind, &owner.name);
    }
    let name = pod.name();
    let by_hash = TEMPLATE_HASHES.iter().find_map(|(label, kind)| {
        let hash = pod.labels.get(*label).filter(|hash| !hash.is_empty())?;
        let (before, _unique) = name.rsplit_once('-')?;
        let made = before.strip_suffix(hash.as_str())?.strip_suffix('-').filter(|made| !made.is_empty())?;
        Some((*kind, made))
    });
    let by_number = || {
        pod.labels.get("statefulset.kubernetes.io/pod-name").filter(|label| *label == name)?;
        name.rsplit_once('-').map(|(made, _number)| ("StatefulSet", made))
    };
    by_hash.or_else(by_number).unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::examples::{host, pod};
    use crate::event::{Owner, Place, WorkloadId};

    fn with(name: &str, change: impl FnOnce(&mut Workload)) -> Workload {
        let mut workload = Workload::clone(&pod(1, "shop", name));
        change(&mut workload);
        workload
    }

    #[test]
    fn pods_are_named_by_what_made_them() {
        let label = |key: &str, value: &str| {
            let (key, value) = (key.to_owned(), value.to_owned());
            move |workload: &mut Workload| drop(workload.labels.insert(key, value))
        };
        let owner = Owner { kind: "DaemonSet".to_owned(), name: "agent".to_owned() };
        let cases = [
            (with("web-5f7c-x2x4z", label("pod-template-hash", "5f7c")), "Deployment", "web"),
            (with("db-3", label("statefulset.kubernetes.io/pod-name", "db-3")), "StatefulSet", "db"),
            (with("agent-q8k2p", |of| of.owner = Some(Arc::new(owner))), "DaemonSet", "agent"),
            // A hash that is not in the name, and one that is all of it.
            (with("web-5f7c-x2x4z", label("pod-template-hash", "other")), "", "web-5f7c-x2x4z"),
            (with("5f7c-x2x4z", label("pod-template-hash", "5f7c")), "", "5f7c-x2x4z"),
            (with("bare", |_| {}), "", "bare"),
        ];
        for (workload, kind, name) in cases {
            let party = Party::of(&workload);
            assert_eq!((party.owner_kind.as_str(), party.name.as_str()), (kind, name));
            assert_eq!((party.namespace.as_str(), party.container.as_str()), ("shop", "app"));
        }
        assert_eq!(Party::of(&host(2)).kind, PartyKind::Host);
    }

    #[test]
    fn peers_are_named_by_what_lasts() {
        let place = |service: &str, node: &str| {
            Some(Arc::new(Place {
                id: WorkloadId(9),
                service: service.to_owned(),
                node_name: node.to_owned(),
            }))
        };
        let of = |kind, change: fn(&mut End), place| {
            let mut end = End { place, ..End::of(kind) };
            change(&mut end);
            let party = Party::of_end(&end, kind, "10.0.0.9");
            (party.kind, party.name)
        };
        let same = |_: &mut End| {};
        assert_eq!(of(PeerKind::Outside, same, None), (PartyKind::Outside, "10.0.0.9".to_owned()));
        let named = |end: &mut End| end.dns_name = Some("api.example.org".into());
        assert_eq!(of(PeerKind::Outside, named, None), (PartyKind::Outside, "api.example.org".to_owned()));
        assert_eq!(
            of(PeerKind::Service, same, place("shop/web", "")),
            (PartyKind::Service, "web".to_owned())
        );
        assert_eq!(of(PeerKind::Node, same, place("", "node-2")), (PartyKind::Node, "node-2".to_owned()));
        assert_eq!(of(PeerKind::Loopback, same, None), (PartyKind::Loopback, "loopback".to_owned()));
        assert_eq!(of(PeerKind::Unknown, same, None), (PartyKind::Unknown, "10.0.0.9".to_owned()));
        let known = |end: &mut End| end.workload = Some(pod(3, "shop", "db"));
        assert_eq!(of(PeerKind::Pod, known, None), (PartyKind::Pods, "db".to_owned()));
    }
}
