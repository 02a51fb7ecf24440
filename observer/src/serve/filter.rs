//! Filters: compiled once a request, then asked for every event.

mod compile;
mod pattern;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

pub(crate) use self::compile::{InvalidFilter, Purpose};
use self::pattern::{ContainerPattern, PodPattern, ServicePattern};
use crate::event::{
    Backend, BootTime, Connection, Edge, EdgeSummary, Event, EventType, FoldNotice, Listener, Peer, Place,
    ProcessSummary, Tcp, TcpSummary, Workload, WorkloadSummary,
};

/// What passes: what an allow filter matches (or anything, where there is none) and no deny filter does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    allow: Vec<Filter>,
    deny: Vec<Filter>,
}

/// Every field that is set must match; one of its values does.
#[derive(Clone, Debug, Default)]
struct Filter {
    /// It names other nodes than this one.
    elsewhere: bool,
    /// A bit for each type; 0 for all.
    types: u16,
    failure_only: bool,
    namespaces: Vec<String>,
    pods: Vec<PodPattern>,
    from_pods: Vec<PodPattern>,
    to_pods: Vec<PodPattern>,
    containers: Vec<ContainerPattern>,
    workloads: Vec<String>,
    ports: Vec<u16>,
    addresses: Vec<IpNet>,
    services: Vec<ServicePattern>,
}

/// What a filter looks at, of whatever is filtered.
struct Subject<'a> {
    event_type: Option<EventType>,
    failed: bool,
    owner: Option<&'a Workload>,
    peer: Option<&'a Workload>,
    /// The peer's place in the cluster.
    place: Option<&'a Place>,
    /// The services that the peer and who answers for it are, or stand behind.
    services: [Option<&'a str>; 2],
    /// The owner asked for the connection; `None` where it is not about one.
    outgoing: Option<bool>,
    /// Of both ends, and of who answers for the other one.
    ports: [Option<u16>; 3],
    addresses: [Option<IpAddr>; 3],
}

impl Filters {
    /// The event passes.
    pub(crate) fn event(&self, event: &Event) -> bool {
        if self.is_empty() {
            return true;
        }
        let tcp = event.tcp();
        let ends = tcp.map(ends);
        self.pass(&Subject {
            event_type: Some(event.event_type()),
            failed: event.is_failure(),
            owner: event.workload.as_deref(),
            peer: tcp.and_then(Tcp::answerer),
            place: tcp.and_then(|tcp| tcp.peer.place.as_deref()),
            services: tcp.map_or([None; 2], |tcp| services(&tcp.peer, tcp.backend.as_deref())),
            outgoing: tcp.map(|tcp| tcp.outgoing),
            ports: each(ends, SocketAddr::port),
            addresses: each(ends, SocketAddr::ip),
        })
    }

    /// The live connection passes. One with retransmits, or that stood still at its last reading, counts
    /// as failed.
    pub(crate) fn connection(&self, connection: &Connection, sampled: BootTime) -> bool {
        let tcp = &connection.tcp;
        let ends = Some(ends(tcp));
        self.pass(&Subject {
            event_type: None,
            failed: connection.is_troubled(sampled),
            owner: Some(&connection.workload),
            peer: tcp.answerer(),
            place: tcp.peer.place.as_deref(),
            services: services(&tcp.peer, tcp.backend.as_deref()),
            outgoing: Some(tcp.outgoing),
            ports: each(ends, SocketAddr::port),
            addresses: each(ends, SocketAddr::ip),
        })
    }

    /// The listener passes. One that has dropped something counts as failed.
    pub(crate) fn listener(&self, listener: &Listener) -> bool {
        self.pass(&Subject {
            event_type: None,
            failed: listener.dropped > 0,
            owner: Some(&listener.workload),
            peer: None,
            place: None,
            services: [None; 2],
            outgoing: Some(false),
            ports: [Some(listener.local.port()), None, None],
            addresses: [Some(listener.local.ip()), None, None],
        })
    }

    /// The edge's summary passes. Its port is the listening side's, its address the peer's; and those of who answers in
    /// the peer's name.
    pub(super) fn edge(&self, edge: &Edge, summary: &EdgeSummary) -> bool {
        self.pass(&Subject {
            event_type: None,
            failed: failed(&summary.tcp),
            owner: Some(&summary.workload),
            peer: summary.answerer().workload.as_deref(),
            place: summary.peer.place.as_deref(),
            services: services(&summary.peer, summary.backend.as_deref()),
            outgoing: Some(edge.outgoing),
            ports: [Some(edge.port), edge.backend.map(|backend| backend.port), None],
            addresses: [edge.address, answering(summary), None],
        })
    }

    /// The edge is to be explained: of its two sides only its own one counts.
    pub(super) fn explained(&self, edge: &Edge, summary: &EdgeSummary) -> bool {
        self.pass(&Subject {
            event_type: None,
            failed: failed(&summary.tcp),
            owner: Some(&summary.workload),
            peer: None,
            place: None,
            services: services(&summary.peer, summary.backend.as_deref()),
            outgoing: Some(edge.outgoing),
            ports: [Some(edge.port), edge.backend.map(|backend| backend.port), None],
            addresses: [edge.address, answering(summary), None],
        })
    }

    /// The workload's own summary passes. It has no ends, so no port and no address matches it.
    pub(super) fn summary(&self, summary: &WorkloadSummary) -> bool {
        let ProcessSummary { exits, oom_kills, .. } = &summary.processes;
        let ended_badly = *oom_kills > 0 || exits.keys().any(|ending| ending.is_failure());
        self.owner(&summary.workload, failed(&summary.tcp) || ended_badly)
    }

    /// The workload passes.
    pub(crate) fn workload(&self, workload: &Workload) -> bool {
        self.owner(workload, false)
    }

    fn owner(&self, workload: &Workload, failed: bool) -> bool {
        self.pass(&Subject {
            event_type: None,
            failed,
            owner: Some(workload),
            peer: None,
            place: None,
            services: [None; 2],
            outgoing: None,
            ports: [None; 3],
            addresses: [None; 3],
        })
    }

    /// What of a workload was only counted may have been wanted: by its owner and its types. Nothing more is known of it.
    pub(super) fn folded(&self, notice: &FoldNotice) -> bool {
        let owner = notice.workload.as_deref();
        let is_of = |event_type: &EventType| notice.counts.iter().any(|(kind, _)| *kind == event_type.name());
        let types: u16 = EventType::ALL.iter().filter(|of| is_of(of)).map(|of| bit(*of)).sum();
        let may_match = |filter: &Filter| {
            !filter.elsewhere
                && (filter.types == 0 || filter.types & types != 0)
                && any(&filter.namespaces, &[owner.map(|owner| owner.namespace.as_str())], |one, of| {
                    one == of
                })
                && any(&filter.pods, &[owner], |pattern, of| pattern.matches(of))
                && any(&filter.containers, &[owner], |pattern, of| pattern.matches(of))
                && any(&filter.workloads, &[owner], |name, of| is_called(name, of))
        };
        self.allow.is_empty() || self.allow.iter().any(may_match)
    }

    const fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    fn pass(&self, subject: &Subject<'_>) -> bool {
        (self.allow.is_empty() || self.allow.iter().any(|filter| filter.matches(subject)))
            && !self.deny.iter().any(|filter| filter.matches(subject))
    }
}

impl Filter {
    /// The namespace of either side, or of the service that the peer is or stands behind.
    fn in_namespace(&self, subject: &Subject<'_>) -> bool {
        let service = subject.place.and_then(|place| place.service.split_once('/'));
        let all = [
            subject.owner.map(|owner| owner.namespace.as_str()),
            subject.peer.map(|peer| peer.namespace.as_str()),
            service.map(|(namespace, _)| namespace),
        ];
        any(&self.namespaces, &all, |namespace, of| namespace == of)
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        let Subject { event_type, failed, owner, peer, place: _, services, outgoing, ports, addresses } =
            subject;
        let either = [*owner, *peer];
        // The cheap and the telling ones come first.
        !self.elsewhere
            && (self.types == 0 || event_type.is_some_and(|of| self.types & bit(of) != 0))
            && (!self.failure_only || *failed)
            && any(&self.ports, ports, |port, of| port == of)
            && any(&self.addresses, addresses, |net, of| net.contains(&of.to_canonical()))
            && self.in_namespace(subject)
            && any(&self.services, services, |pattern, of| pattern.matches(of))
            && any(&self.pods, &either, |pattern, of| pattern.matches(of))
            && any(&self.containers, &[*owner], |pattern, of| pattern.matches(of))
            && any(&self.workloads, &[*owner], |name, of| is_called(name, of))
            && any(&self.from_pods, &[side(*outgoing, true, either)], |pattern, of| pattern.matches(of))
            && any(&self.to_pods, &[side(*outgoing, false, either)], |pattern, of| pattern.matches(of))
    }
}

/// A workload has that name: its own, or that of what made it, with its kind or without.
fn is_called(name: &str, workload: &Workload) -> bool {
    let maker = workload.owner.as_deref();
    name == workload.name()
        || maker.is_some_and(|maker| match name.split_once('/') {
            Some((kind, name)) => maker.kind.eq_ignore_ascii_case(kind) && maker.name == name,
            None => maker.name == name,
        })
}

/// What a peer and who answers for it are, or stand behind.
fn services<'a>(peer: &'a Peer, backend: Option<&'a Backend>) -> [Option<&'a str>; 2] {
    [Some(peer), backend.map(|backend| &backend.peer)]
        .map(|peer| peer?.place.as_ref().map(|place| &*place.service).filter(|service| !service.is_empty()))
}

/// The field is not set, or one of its values matches one of the subject's.
fn any<V, S: Copy>(values: &[V], subjects: &[Option<S>], matches: impl Fn(&V, &S) -> bool) -> bool {
    values.is_empty()
        || subjects.iter().flatten().any(|subject| values.iter().any(|value| matches(value, subject)))
}

/// The workload on the asking (or the listening) side.
fn side(outgoing: Option<bool>, asking: bool, [owner, peer]: [Option<&Workload>; 2]) -> Option<&Workload> {
    if outgoing? == asking { owner } else { peer }
}

fn ends(tcp: &Tcp) -> [SocketAddr; 3] {
    [tcp.local, tcp.remote, tcp.answering()]
}

fn each<T>(ends: Option<[SocketAddr; 3]>, select: fn(&SocketAddr) -> T) -> [Option<T>; 3] {
    ends.map_or([None, None, None], |ends| ends.map(|end| Some(select(&end))))
}

/// The address of who answers in the name of an edge's peer.
fn answering(summary: &EdgeSummary) -> Option<IpAddr> {
    summary.backend.as_ref().map(|backend| backend.address.ip())
}

const fn bit(event_type: EventType) -> u16 {
    1 << event_type as u16
}

fn failed(tcp: &TcpSummary) -> bool {
    let TcpSummary { failed, pending, retransmitted_segments, resets_sent, resets_received, .. } = tcp;
    failed + pending + retransmitted_segments + resets_sent + resets_received + tcp.listen_drops > 0
        || !tcp.stalled.is_none()
}
