//! What a filter looks at, of whatever is filtered.

use std::net::{IpAddr, SocketAddr};

use crate::event::{
    Backend, BootTime, Connection, Detail, Edge, EdgeSummary, Event, EventType, Listener, Peer,
    ProcessSummary, Tcp, TcpSummary, Workload, WorkloadSummary,
};

/// One thing that passes or does not.
pub(super) struct Subject<'a> {
    /// The node that it was told of by; `None`: this one.
    pub(super) node: Option<&'a str>,
    pub(super) event_type: Option<EventType>,
    pub(super) failed: bool,
    pub(super) latency: Latency<'a>,
    pub(super) owner: Option<&'a Workload>,
    pub(super) peer: Option<&'a Workload>,
    /// The service that the peer is, or stands behind, as far as its namespace counts.
    pub(super) service: Option<&'a str>,
    /// The services that the peer and who answers for it are, or stand behind.
    pub(super) services: [Option<&'a str>; 2],
    /// The owner asked for the connection; `None` where it is not about one.
    pub(super) outgoing: Option<bool>,
    /// Of both ends, and of who answers for the other one.
    pub(super) ports: [Option<u16>; 3],
    pub(super) addresses: [Option<IpAddr>; 3],
}

/// How long something took, looked up only where a filter asks.
#[derive(Clone, Copy)]
pub(super) enum Latency<'a> {
    Event(&'a Detail),
    Connection(&'a Connection),
    Summary(&'a TcpSummary),
    /// Of an event as it was told, which says how long.
    Told(u64),
    /// It took no time that a filter could ask for.
    None,
}

impl Latency<'_> {
    /// In nanoseconds; of several the longest.
    pub(super) fn ns(self) -> Option<u64> {
        match self {
            Self::Event(Detail::TcpConnect(connect)) => Some(connect.handshake_latency_ns),
            Self::Event(Detail::TcpAccept(accept)) => accept.handshake_latency_ns,
            Self::Event(Detail::TcpConnectFailure(failure)) => failure.duration_ns,
            Self::Event(Detail::TcpConnectPending(pending)) => Some(pending.waited_ns),
            Self::Event(Detail::TcpClose(close)) => close.counters.rtt_ns,
            Self::Event(Detail::TcpResponse(response)) => Some(response.latency_ns),
            Self::Told(ns) => Some(ns),
            Self::Event(_) | Self::None => None,
            Self::Connection(connection) => connection.handshake_latency_ns.max(connection.counters.rtt_ns),
            Self::Summary(tcp) => tcp.handshake_latency.quantile(1.0).max(tcp.rtt.quantile(1.0)),
        }
    }
}

impl<'a> Subject<'a> {
    pub(super) fn event(event: &'a Event) -> Self {
        let tcp = event.tcp();
        let ends = tcp.map(ends);
        let services = tcp.map_or([None; 2], |tcp| services(&tcp.peer, tcp.backend.as_deref()));
        Self {
            node: None,
            event_type: Some(event.event_type()),
            failed: event.is_failure(),
            latency: Latency::Event(&event.detail),
            owner: event.workload.as_deref(),
            peer: tcp.and_then(Tcp::answerer),
            service: services[0],
            services,
            outgoing: tcp.map(|tcp| tcp.outgoing),
            ports: each(ends, SocketAddr::port),
            addresses: each(ends, SocketAddr::ip),
        }
    }

    pub(super) fn connection(connection: &'a Connection, sampled: BootTime) -> Self {
        let tcp = &connection.tcp;
        let ends = Some(ends(tcp));
        let services = services(&tcp.peer, tcp.backend.as_deref());
        Self {
            node: None,
            event_type: None,
            failed: connection.is_troubled(sampled),
            latency: Latency::Connection(connection),
            owner: Some(&connection.workload),
            peer: tcp.answerer(),
            service: services[0],
            services,
            outgoing: Some(tcp.outgoing),
            ports: each(ends, SocketAddr::port),
            addresses: each(ends, SocketAddr::ip),
        }
    }

    pub(super) fn listener(listener: &'a Listener) -> Self {
        Self {
            failed: listener.dropped > 0,
            outgoing: Some(false),
            ports: [Some(listener.local.port()), None, None],
            addresses: [Some(listener.local.ip()), None, None],
            ..Self::workload(&listener.workload)
        }
    }

    pub(super) fn edge(edge: &Edge, summary: &'a EdgeSummary) -> Self {
        let services = services(&summary.peer, summary.backend.as_deref());
        Self {
            node: None,
            event_type: None,
            failed: failed(&summary.tcp),
            latency: Latency::Summary(&summary.tcp),
            owner: Some(&summary.workload),
            peer: summary.answerer().workload.as_deref(),
            service: services[0],
            services,
            outgoing: Some(edge.outgoing),
            ports: [Some(edge.port), edge.backend.map(|backend| backend.port), None],
            addresses: [edge.address, answering(summary), None],
        }
    }

    pub(super) fn summary(summary: &'a WorkloadSummary) -> Self {
        let ProcessSummary { exits, oom_kills, .. } = &summary.processes;
        let ended_badly = *oom_kills > 0 || exits.keys().any(|ending| ending.is_failure());
        Self {
            failed: failed(&summary.tcp) || ended_badly,
            latency: Latency::Summary(&summary.tcp),
            ..Self::workload(&summary.workload)
        }
    }

    pub(super) fn workload(workload: &'a Workload) -> Self {
        Self {
            node: None,
            event_type: None,
            failed: false,
            latency: Latency::None,
            owner: Some(workload),
            peer: None,
            service: None,
            services: [None; 2],
            outgoing: None,
            ports: [None; 3],
            addresses: [None; 3],
        }
    }
}

/// What a peer and who answers for it are, or stand behind.
fn services<'a>(peer: &'a Peer, backend: Option<&'a Backend>) -> [Option<&'a str>; 2] {
    [Some(peer), backend.map(|backend| &backend.peer)]
        .map(|peer| peer?.place.as_ref().map(|place| &*place.service).filter(|service| !service.is_empty()))
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

fn failed(tcp: &TcpSummary) -> bool {
    let TcpSummary { failed, pending, retransmitted_segments, resets_sent, resets_received, .. } = tcp;
    failed + pending + retransmitted_segments + resets_sent + resets_received + tcp.listen_drops > 0
        || !tcp.stalled.is_none()
}
