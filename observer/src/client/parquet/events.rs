//! The table of events.

#![allow(clippy::wildcard_enum_match_arm, reason = "a cell is null where its column has nothing to say")]

use observer_proto::v1::event::Detail;
use observer_proto::v1::{
    Endpoint, Event, EventType, PeerKind, ProcessExit, ResetCause, RetransmitCause, TcpCounters,
    TcpRetransmit, Workload,
};

use super::{Cell, Column, Kind, json, number, text, time};

/// Its columns.
pub(crate) const EVENTS: &[Column<Event>] = &[
    ("time", Kind::Time, |of| time(of.time.as_ref())),
    ("sequence", Kind::Number, |of| number(of.sequence)),
    ("node_name", Kind::Text, |of| text(&of.node_name)),
    ("type", Kind::Text, |of| EventType::try_from(of.r#type).ok().and_then(|kind| text(kind.as_str_name()))),
    ("namespace", Kind::Text, |of| text(&owner(of)?.namespace)),
    ("pod", Kind::Text, |of| text(&owner(of)?.pod)),
    ("container", Kind::Text, |of| text(&owner(of)?.container)),
    ("workload", Kind::Text, |of| text(&owner(of)?.name)),
    ("owner_kind", Kind::Text, |of| text(&owner(of)?.owner_kind)),
    ("owner_name", Kind::Text, |of| text(&owner(of)?.owner_name)),
    ("container_id", Kind::Text, |of| text(&owner(of)?.container_id)),
    ("pid", Kind::Number, |of| number(of.process.as_ref()?.pid)),
    ("comm", Kind::Text, |of| text(&of.process.as_ref()?.comm)),
    ("binary", Kind::Text, |of| text(&of.process.as_ref()?.binary)),
    ("connection_id", Kind::Text, |of| text(&of.tcp()?.connection_id)),
    ("direction", Kind::Text, |of| text(if of.tcp()?.outgoing { "outgoing" } else { "incoming" })),
    ("source_address", Kind::Text, |of| text(&of.tcp()?.source.as_ref()?.address)),
    ("source_port", Kind::Number, |of| number(of.tcp()?.source.as_ref()?.port)),
    ("destination_address", Kind::Text, |of| text(&of.tcp()?.destination.as_ref()?.address)),
    ("destination_port", Kind::Number, |of| number(of.tcp()?.destination.as_ref()?.port)),
    ("peer_kind", Kind::Text, |of| peer_kind(peer(of)?.kind())),
    ("peer_namespace", Kind::Text, |of| text(&peer(of)?.workload.as_ref()?.namespace)),
    ("peer_pod", Kind::Text, |of| text(&peer(of)?.workload.as_ref()?.pod)),
    ("peer_service", Kind::Text, |of| text(&peer(of)?.service)),
    ("peer_node", Kind::Text, |of| text(&peer(of)?.node_name)),
    ("peer_dns_name", Kind::Text, |of| text(&peer(of)?.dns_name)),
    ("backend_address", Kind::Text, |of| text(&of.tcp()?.backend.as_ref()?.address)),
    ("backend_port", Kind::Number, |of| number(of.tcp()?.backend.as_ref()?.port)),
    ("backend_pod", Kind::Text, |of| text(&of.tcp()?.backend.as_ref()?.workload.as_ref()?.pod)),
    ("latency_ns", Kind::Number, latency_ns),
    ("duration_ns", Kind::Number, duration_ns),
    ("sent_bytes", Kind::Number, |of| number(counters(of)?.sent_bytes)),
    ("received_bytes", Kind::Number, |of| number(counters(of)?.received_bytes)),
    ("rtt_ns", Kind::Number, |of| number(counters(of)?.rtt_ns?)),
    ("retransmits", Kind::Number, retransmits),
    ("retransmit_cause", Kind::Text, |of| {
        short(retransmit(of)?.cause().as_str_name(), RetransmitCause::Unspecified.as_str_name())
    }),
    ("error", Kind::Text, error),
    ("reset_cause", Kind::Text, |of| match of.detail.as_ref()? {
        Detail::TcpReset(reset) => short(reset.cause().as_str_name(), ResetCause::Unspecified.as_str_name()),
        _ => None,
    }),
    ("exit_code", Kind::Number, |of| match of.detail.as_ref()? {
        Detail::ProcessExit(exit) => number(exit.code?),
        Detail::ContainerStop(stop) => number(stop.code?),
        _ => None,
    }),
    ("signal", Kind::Text, |of| match of.detail.as_ref()? {
        Detail::ProcessExit(ProcessExit { signal_name, .. }) => text(signal_name),
        Detail::ContainerStop(stop) => text(&stop.signal_name),
        _ => None,
    }),
    ("oom_killed", Kind::Flag, |of| match of.detail.as_ref()? {
        Detail::ProcessExit(exit) => Some(Cell::Flag(exit.oom_killed)),
        Detail::ContainerStop(stop) => Some(Cell::Flag(stop.oom_killed)),
        _ => None,
    }),
    ("event", Kind::Json, |of| json("Event", of)),
];

fn owner(of: &Event) -> Option<&Workload> {
    of.workload.as_ref()
}

/// The other end.
fn peer(of: &Event) -> Option<&Endpoint> {
    let tcp = of.tcp()?;
    if tcp.outgoing { tcp.destination.as_ref() } else { tcp.source.as_ref() }
}

pub(super) fn peer_kind(kind: PeerKind) -> Option<Cell> {
    short(kind.as_str_name(), PeerKind::Unspecified.as_str_name())
}

/// The name of an enumerator without that of its enumeration, in small letters; nothing for the one that is not known.
pub(super) fn short(name: &str, unspecified: &str) -> Option<Cell> {
    let prefix = unspecified.strip_suffix("UNSPECIFIED")?;
    (name != unspecified).then(|| Cell::Text(name.strip_prefix(prefix).unwrap_or(name).to_lowercase()))
}

fn counters(of: &Event) -> Option<&TcpCounters> {
    match of.detail.as_ref()? {
        Detail::TcpClose(close) => close.counters.as_ref(),
        _ => None,
    }
}

fn retransmit(of: &Event) -> Option<&TcpRetransmit> {
    match of.detail.as_ref()? {
        Detail::TcpRetransmit(retransmit) => Some(retransmit),
        _ => None,
    }
}

/// What an attempt to connect took, or has taken.
fn latency_ns(of: &Event) -> Option<Cell> {
    match of.detail.as_ref()? {
        Detail::TcpConnect(connect) => number(connect.handshake_latency_ns),
        Detail::TcpAccept(accept) => number(accept.handshake_latency_ns?),
        Detail::TcpConnectFailure(failure) => number(failure.duration_ns?),
        Detail::TcpConnectPending(pending) => number(pending.waited_ns),
        _ => None,
    }
}

/// How long what ended had lived.
fn duration_ns(of: &Event) -> Option<Cell> {
    match of.detail.as_ref()? {
        Detail::TcpClose(close) => number(close.duration_ns?),
        Detail::ProcessExit(exit) => number(exit.run_time_ns?),
        Detail::ContainerStop(stop) => number(stop.run_time_ns?),
        _ => None,
    }
}

/// Of each event its own ones, so that they may be added up: what a connection had on the whole is in `event`.
fn retransmits(of: &Event) -> Option<Cell> {
    match of.detail.as_ref()? {
        Detail::TcpRetransmit(retransmit) => number(retransmit.segments),
        Detail::TcpConnectFailure(failure) => number(failure.syn_retransmits),
        Detail::TcpConnectPending(pending) => number(pending.syn_retransmits),
        _ => None,
    }
}

fn error(of: &Event) -> Option<Cell> {
    match of.detail.as_ref()? {
        Detail::TcpConnectFailure(failure) => text(&failure.error),
        Detail::TcpClose(close) => text(&close.error),
        _ => None,
    }
}
