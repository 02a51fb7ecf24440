//! An event as it was told, on the wire or in a file, as filters look at it: with workloads of the domain again.

use std::net::IpAddr;
use std::sync::Arc;

use observer_proto::v1;
use observer_proto::v1::event::Detail;

use super::subject::{Latency, Subject};
use crate::event::{EventType, Memo, Owner, Workload, WorkloadId, WorkloadKind};

/// What a filter looks at of an event that was told.
pub(super) struct Told<'a> {
    event: &'a v1::Event,
    tcp: Option<&'a v1::Tcp>,
    owner: Option<Workload>,
    peer: Option<Workload>,
}

impl<'a> Told<'a> {
    pub(super) fn new(event: &'a v1::Event) -> Self {
        let tcp = event.tcp();
        let peer = tcp.and_then(answerer).and_then(|end| end.workload.as_ref());
        Self { event, tcp, owner: event.workload.as_ref().map(workload), peer: peer.map(workload) }
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        let Self { event, tcp, owner, peer } = self;
        let event_type = EventType::ALL.into_iter().find(|of| *of as i32 == event.r#type);
        let detail = event.detail.as_ref();
        let services = tcp.map_or([None; 2], services);
        let ends =
            tcp.map_or([None; 3], |tcp| [tcp.source.as_ref(), tcp.destination.as_ref(), answerer(tcp)]);
        Subject {
            node: Some(&event.node_name),
            event_type,
            failed: detail.is_some_and(is_failure),
            latency: detail.and_then(latency_ns).map_or(Latency::None, Latency::Told),
            owner: owner.as_ref(),
            peer: peer.as_ref(),
            service: services[0],
            services,
            outgoing: tcp.map(|tcp| tcp.outgoing),
            ports: ends.map(|end| u16::try_from(end?.port).ok()),
            addresses: ends.map(|end| address(&end?.address)),
        }
    }
}

/// The workload that was told of.
pub(crate) fn workload(told: &v1::Workload) -> Workload {
    let v1::Workload {
        kind: _,
        name,
        namespace,
        pod,
        pod_uid,
        container,
        container_id,
        labels,
        image,
        restart_count,
        cgroup_id,
        sandbox,
        owner_kind,
        owner_name,
    } = told;
    let (kind, unit) = match told.kind() {
        v1::WorkloadKind::Pod => (WorkloadKind::Pod, ""),
        v1::WorkloadKind::Container => (WorkloadKind::Container, ""),
        v1::WorkloadKind::Host => (WorkloadKind::Host, ""),
        // Of a kind that is not known here, the name is.
        v1::WorkloadKind::Unit | v1::WorkloadKind::Unspecified => (WorkloadKind::Unit, name.as_str()),
    };
    let made = !owner_kind.is_empty() || !owner_name.is_empty();
    let owner = made.then(|| Arc::new(Owner { kind: owner_kind.clone(), name: owner_name.clone() }));
    Workload {
        // What is told has no number, and no filter asks for one.
        id: WorkloadId(0),
        kind,
        namespace: namespace.clone(),
        pod: pod.clone(),
        pod_uid: pod_uid.clone(),
        container: container.clone(),
        container_id: container_id.clone(),
        unit: unit.to_owned(),
        labels: labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        image: image.clone(),
        restart_count: *restart_count,
        cgroup_id: *cgroup_id,
        sandbox: *sandbox,
        owner,
        told: Memo::default(),
    }
}

/// As `Event::is_failure` has it.
fn is_failure(detail: &Detail) -> bool {
    match detail {
        Detail::OomKill(_)
        | Detail::ContainerCrashLoop(_)
        | Detail::TcpConnectFailure(_)
        | Detail::TcpConnectPending(_)
        | Detail::TcpRetransmit(_)
        | Detail::TcpReset(_) => true,
        Detail::ProcessExit(exit) => exit.code != Some(0),
        Detail::ContainerStop(stop) => stop.kind() != v1::EndKind::Completed,
        Detail::TcpClose(close) => !close.error.is_empty(),
        Detail::ProcessExec(_)
        | Detail::ContainerStart(_)
        | Detail::ContainerReady(_)
        | Detail::TcpConnect(_)
        | Detail::TcpAccept(_) => false,
    }
}

/// As `Latency` has it.
fn latency_ns(detail: &Detail) -> Option<u64> {
    match detail {
        Detail::TcpConnect(connect) => Some(connect.handshake_latency_ns),
        Detail::TcpAccept(accept) => accept.handshake_latency_ns,
        Detail::TcpConnectFailure(failure) => failure.duration_ns,
        Detail::TcpConnectPending(pending) => Some(pending.waited_ns),
        Detail::TcpClose(close) => close.counters.as_ref()?.rtt_ns,
        Detail::TcpRetransmit(_)
        | Detail::TcpReset(_)
        | Detail::ProcessExec(_)
        | Detail::ProcessExit(_)
        | Detail::OomKill(_)
        | Detail::ContainerStart(_)
        | Detail::ContainerStop(_)
        | Detail::ContainerReady(_)
        | Detail::ContainerCrashLoop(_) => None,
    }
}

/// The other end.
const fn far(tcp: &v1::Tcp) -> Option<&v1::Endpoint> {
    if tcp.outgoing { tcp.destination.as_ref() } else { tcp.source.as_ref() }
}

/// Who really answers, or asks.
fn answerer(tcp: &v1::Tcp) -> Option<&v1::Endpoint> {
    tcp.backend.as_ref().or_else(|| far(tcp))
}

/// What the other end and who answers for it are, or stand behind.
fn services(tcp: &v1::Tcp) -> [Option<&str>; 2] {
    [far(tcp), tcp.backend.as_ref()]
        .map(|end| end.map(|end| end.service.as_str()).filter(|service| !service.is_empty()))
}

/// Without the index of an interface behind it.
fn address(text: &str) -> Option<IpAddr> {
    text.split('%').next()?.parse().ok()
}
