//! The words for what happens, by OpenTelemetry's conventions where they have some.

use std::net::SocketAddr;

use super::attributes::Attributes;
use crate::event::{
    Peer, PeerKind, Process, ResetCause, ResetDirection, RetransmitCause, RetransmitPhase, Tcp, Workload,
    WorkloadKind,
};

/// `network.tcp.retransmit.type`; empty where it is not known.
pub(super) const fn retransmit_type(cause: RetransmitCause) -> &'static str {
    match cause {
        RetransmitCause::Unknown => "",
        RetransmitCause::Timeout => "timeout",
        RetransmitCause::Fast => "fast",
        RetransmitCause::TailLossProbe => "tail_loss_probe",
    }
}

/// What was sent again.
pub(super) const fn retransmit_phase(phase: RetransmitPhase) -> &'static str {
    match phase {
        RetransmitPhase::Syn => "syn",
        RetransmitPhase::SynAck => "syn_ack",
        RetransmitPhase::Data => "data",
        RetransmitPhase::Fin => "fin",
    }
}

/// Which way a reset went.
pub(super) const fn reset_direction(direction: ResetDirection) -> &'static str {
    match direction {
        ResetDirection::Sent => "transmit",
        ResetDirection::Received => "receive",
    }
}

/// `network.tcp.reset.cause`: the conventions' words where one of them says it.
pub(super) const fn reset_cause(cause: ResetCause) -> &'static str {
    match cause {
        ResetCause::NoListener => "refused",
        ResetCause::Timeout => "timeout",
        ResetCause::UnreadData
        | ResetCause::LingerZero
        | ResetCause::DataAfterClose
        | ResetCause::Aborted => "application",
        ResetCause::NoConnection => "no_connection",
        ResetCause::OutOfMemory => "out_of_memory",
        ResetCause::Unexpected => "unexpected",
    }
}

/// The two ends of a connection.
pub(super) fn connection(tcp: &Tcp) -> Attributes {
    let Tcp { id, local, remote, outgoing, peer: _, netns: _, backend } = tcp;
    let (source, destination) = if *outgoing { (local, remote) } else { (remote, local) };
    let mut all = Attributes::default();
    all.text("network.transport", "tcp");
    all.text("network.type", if local.ip().to_canonical().is_ipv4() { "ipv4" } else { "ipv6" });
    address(&mut all, "source", source);
    address(&mut all, "destination", destination);
    let name = peer_name(tcp);
    if *outgoing {
        all.text("server.address", &name);
        all.number("server.port", remote.port().into());
    } else {
        all.text("client.address", &name);
        all.number("server.port", local.port().into());
    }
    if let Some(backend) = backend {
        address(&mut all, "network.peer", &backend.address);
    }
    if let Some(workload) = tcp.answerer().filter(|_| tcp.peer.kind != PeerKind::Loopback) {
        all.text("peer.service", &named(workload));
    }
    if id.0 != 0 {
        all.text("observer.connection.id", &id.0.to_string());
    }
    all
}

fn address(all: &mut Attributes, end: &str, address: &SocketAddr) {
    all.text(&format!("{end}.address"), &address.ip().to_canonical().to_string());
    all.number(&format!("{end}.port"), address.port().into());
}

/// The process that did something.
pub(super) fn process(all: &mut Attributes, process: Option<&Process>) {
    let Some(process) = process else { return };
    all.known("process.pid", Some(process.key.pid));
    all.text("process.executable.name", &process.comm);
    all.text("process.executable.path", &process.binary.to_string_lossy());
}

/// Who is at the other end, by name where one is known, else by address.
pub(super) fn peer_name(tcp: &Tcp) -> String {
    let Peer { kind, workload, place, dns_name } = &tcp.peer;
    if let Some(workload) = workload.as_deref().filter(|_| *kind != PeerKind::Loopback) {
        return named(workload);
    }
    let place = place.as_deref();
    if let Some(place) = place.filter(|place| !place.service.is_empty()) {
        return place.service.clone();
    }
    dns_name.as_deref().map_or_else(|| tcp.remote.ip().to_canonical().to_string(), str::to_owned)
}

/// A pod with its namespace, or what else a workload is called.
fn named(workload: &Workload) -> String {
    match workload.kind {
        WorkloadKind::Pod if !workload.pod.is_empty() => format!("{}/{}", workload.namespace, workload.pod),
        WorkloadKind::Pod | WorkloadKind::Container | WorkloadKind::Unit | WorkloadKind::Host => {
            workload.name().to_owned()
        }
    }
}
