//! What debugging sessions see.

use crate::event::{Detail, EventType, OpenFailure, PacketDrop, Signal, SignalEffect, Tcp, TcpResponse};

/// An event of such a type; any other is none.
pub(super) fn detail(kind: EventType, tcp: Tcp, ns: Option<u64>) -> Detail {
    if kind == EventType::TcpResponse {
        return Detail::TcpResponse(TcpResponse {
            tcp,
            latency_ns: ns.unwrap_or(0),
            wait_ns: ns,
            work_ns: None,
            read_bytes: 1,
            reads: 1,
            queued: false,
            at_end: false,
        });
    }
    if kind == EventType::PacketDrop {
        return Detail::PacketDrop(PacketDrop {
            reason: "NO_SOCKET".into(),
            protocol: "tcp".to_owned(),
            ends: Some([tcp.local.ip(), tcp.remote.ip()]),
            ports: Some([tcp.local.port(), tcp.remote.port()]),
            tcp_flags: Some(2),
            length: 60,
            incoming: true,
            netns: 1,
            has_socket: false,
        });
    }
    if kind == EventType::Signal {
        return Detail::Signal(Signal {
            number: 10,
            effect: SignalEffect::Delivered,
            to_thread: false,
            by_kernel: false,
            code: Some(0),
            sender: None,
        });
    }
    assert_eq!(kind, EventType::OpenFailure);
    Detail::OpenFailure(OpenFailure { path: "/etc/nothing".into(), path_truncated: false, errno: 2 })
}
