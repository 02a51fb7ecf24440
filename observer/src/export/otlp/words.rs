//! The words for what happens, by OpenTelemetry's conventions where they have some.

use std::net::SocketAddr;

use super::attributes::Attributes;
use super::resource::service_name;
use crate::event::{
    Peer, PeerKind, Process, ResetCause, ResetDirection, RetransmitCause, RetransmitPhase, Tcp, Workload,
    WorkloadKind,
};

/// `network.tcp.retransmit.type`; empty where it is not known.
const fn retransmit_type(cause: RetransmitCause) -> &'static str {
    match cause {
        RetransmitCause::Unknown => "",
        RetransmitCause::Timeout => "timeout",
        RetransmitCause::Fast => "fast",
        RetransmitCause::TailLossProbe => "tail_loss_probe",
    }
}

/// What was sent again.
const fn retransmit_phase(phase: RetransmitPhase) -> &'static str {
    match phase {
        RetransmitPhase::Syn => "syn",
        RetransmitPhase::SynAck => "syn_ack",
        RetransmitPhase::Data => "data",
        RetransmitPhase::Fin => "fin",
    }
}

/// Which way a reset went.
const fn reset_direction(direction: ResetDirection) -> &'static str {
    match direction {
        ResetDirection::Sent => "transmit",
        ResetDirection::Received => "receive",
    }
}

/// `network.tcp.reset.cause`: the conventions' words where one of them says it.
const fn reset_cause(cause: ResetCause) -> &'static str {
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

/// Segments that were sent again.
pub(super) fn retransmit(
    all: &mut Attributes,
    cause: RetransmitCause,
    phase: RetransmitPhase,
    segments: u32,
) {
    all.text("network.tcp.retransmit.type", retransmit_type(cause));
    all.text("observer.tcp.retransmit.phase", retransmit_phase(phase));
    all.known("observer.tcp.segments", Some(segments));
}

/// A reset.
pub(super) fn reset(
    all: &mut Attributes,
    direction: ResetDirection,
    cause: Option<ResetCause>,
    reason: Option<&str>,
) {
    all.text("network.io.direction", reset_direction(direction));
    all.text("network.tcp.reset.cause", cause.map_or("", reset_cause));
    all.text("observer.tcp.reset.reason", reason.unwrap_or_default());
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
    let name = host_name(tcp);
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
        service(&mut all, workload);
    }
    if id.0 != 0 {
        all.text("observer.connection.id", &id.0.to_string());
    }
    all
}

/// The other side, as its own spans name it. The conventions have two names for that, the older of which is the more known one.
fn service(all: &mut Attributes, workload: &Workload) {
    // A machine is a service by the name of its node, which is not told of a peer.
    if workload.kind == WorkloadKind::Host {
        return;
    }
    let name = service_name(workload, "");
    all.text("peer.service", name);
    all.text("service.peer.name", name);
    all.text("service.peer.namespace", &workload.namespace);
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
    let Peer { kind, workload, place, dns_name: _ } = &tcp.peer;
    if let Some(workload) = workload.as_deref().filter(|_| *kind != PeerKind::Loopback) {
        return named(workload);
    }
    let place = place.as_deref();
    if let Some(place) = place.filter(|place| !place.service.is_empty()) {
        return place.service.clone();
    }
    host_name(tcp)
}

/// The name of the other end's host in the DNS, else its address.
fn host_name(tcp: &Tcp) -> String {
    let address = || tcp.remote.ip().to_canonical().to_string();
    tcp.peer.dns_name.as_deref().map_or_else(address, str::to_owned)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;
    use crate::event::{Owner, examples};
    use crate::export::otlp::attributes::of;
    use crate::export::otlp::resource::resource;

    #[test]
    fn the_other_side_is_named_as_it_names_itself() {
        let mut pod = Workload::clone(&examples::pod(7, "shop", "db-6d4b-x2"));
        pod.owner = Some(Arc::new(Owner { kind: "Deployment".into(), name: "db".into() }));
        let pod = Arc::new(pod);
        let tcp = examples::tcp(1, true, "10.0.0.2:5432", Some(&pod));
        let (found, own) = (connection(&tcp).into_inner(), resource(Some(&pod), "node").attributes);
        for (key, as_own) in [
            ("peer.service", "service.name"),
            ("service.peer.name", "service.name"),
            ("service.peer.namespace", "service.namespace"),
        ] {
            assert!(of(&found, key).is_some() && of(&found, key) == of(&own, as_own), "{key}");
        }
        assert_eq!(of(&found, "server.address"), Some(&Value::StringValue("10.0.0.2".to_owned())));
    }
}
