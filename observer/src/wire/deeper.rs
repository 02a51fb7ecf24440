//! What debugging sessions see, on the wire.

use std::net::IpAddr;

use observer_proto::served as v1;

use super::{process, tcp, workload};
use crate::event::{
    Now, OpenFailure, Origin, PacketDrop, Sender, Signal, SignalEffect, TcpResponse, Workload, open_error,
    signal_name,
};

/// The TCP flags by their bits, from the lowest.
const TCP_FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

pub(super) fn tcp_response(response: &TcpResponse, owner: Option<&Workload>) -> v1::TcpResponse {
    let TcpResponse { tcp: ends, latency_ns, wait_ns, work_ns, read_bytes, reads, queued, at_end } = response;
    v1::TcpResponse {
        tcp: Some(tcp(owner, ends)),
        latency_ns: *latency_ns,
        wait_ns: *wait_ns,
        work_ns: *work_ns,
        read_bytes: *read_bytes,
        reads: *reads,
        queued: *queued,
        at_end: *at_end,
    }
}

pub(super) fn packet_drop(drop: &PacketDrop) -> v1::PacketDrop {
    let PacketDrop { reason, protocol, ends, ports, tcp_flags, length, incoming, netns, has_socket } = drop;
    let [from, to] = ports.unwrap_or_default();
    v1::PacketDrop {
        reason: reason.to_string(),
        protocol: protocol.clone(),
        source: ends.map(|[source, _]| endpoint(source, from)),
        destination: ends.map(|[_, destination]| endpoint(destination, to)),
        tcp_flags: tcp_flags.map(flags).unwrap_or_default(),
        length_bytes: *length,
        incoming: *incoming,
        has_socket: *has_socket,
        netns: *netns,
    }
}

fn endpoint(address: IpAddr, port: u16) -> v1::Endpoint {
    v1::Endpoint { address: address.to_string(), port: port.into(), ..v1::Endpoint::default() }
}

fn flags(bits: u8) -> String {
    let set = TCP_FLAGS.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

pub(super) fn signal(signal: &Signal, now: Now) -> v1::Signal {
    let Signal { number, effect, to_thread, by_kernel, code, sender } = signal;
    let effect = match effect {
        SignalEffect::Delivered => v1::SignalEffect::Delivered,
        SignalEffect::Ignored => v1::SignalEffect::Ignored,
        SignalEffect::Pending => v1::SignalEffect::Pending,
        SignalEffect::Lost => v1::SignalEffect::Lost,
        SignalEffect::Bare => v1::SignalEffect::Bare,
    };
    let origin = match sender.as_ref().map(|sender| sender.origin) {
        None => v1::SignalOrigin::Unspecified,
        Some(Origin::Container) => v1::SignalOrigin::Container,
        Some(Origin::Pod) => v1::SignalOrigin::Pod,
        Some(Origin::Outside) => v1::SignalOrigin::Outside,
    };
    let sending = sender.as_ref().map(|Sender { process: of, .. }| process(of, now));
    v1::Signal {
        signal: (*number).into(),
        signal_name: signal_name(*number),
        effect: effect.into(),
        to_thread: *to_thread,
        by_kernel: *by_kernel,
        code: *code,
        sender: sending,
        sender_workload: sender.as_ref().and_then(|sender| sender.workload.as_deref()).map(workload),
        origin: origin.into(),
    }
}

pub(super) fn open_failure(failure: &OpenFailure) -> v1::OpenFailure {
    let OpenFailure { path, path_truncated, errno } = failure;
    v1::OpenFailure {
        path: path.to_string_lossy().into_owned(),
        path_truncated: *path_truncated,
        errno: *errno,
        error: open_error(*errno),
    }
}
