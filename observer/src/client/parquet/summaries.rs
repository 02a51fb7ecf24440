//! The table of summaries: a workload or an edge in a window each.

use observer_proto::v1::{Distribution, Edge, ProcessSummary, Summary, TcpSummary, Verdict, Workload};

use super::events::{peer_kind, short};
use super::{Column, Kind, json, number, text, time};

/// Its columns.
pub(crate) const SUMMARIES: &[Column<Summary>] = &[
    ("window_start", Kind::Time, |of| time(of.window_start.as_ref())),
    ("window_ns", Kind::Number, |of| number(of.window_ns)),
    ("namespace", Kind::Text, |of| text(&owner(of)?.namespace)),
    ("pod", Kind::Text, |of| text(&owner(of)?.pod)),
    ("container", Kind::Text, |of| text(&owner(of)?.container)),
    ("workload", Kind::Text, |of| text(&owner(of)?.name)),
    ("owner_kind", Kind::Text, |of| text(&owner(of)?.owner_kind)),
    ("owner_name", Kind::Text, |of| text(&owner(of)?.owner_name)),
    // Null from here to `port`: the workload's own figures.
    ("direction", Kind::Text, |of| text(if edge(of)?.outgoing { "outgoing" } else { "incoming" })),
    ("peer_kind", Kind::Text, |of| peer_kind(edge(of)?.kind())),
    ("peer_namespace", Kind::Text, |of| text(&edge(of)?.workload.as_ref()?.namespace)),
    ("peer_pod", Kind::Text, |of| text(&edge(of)?.workload.as_ref()?.pod)),
    ("peer_service", Kind::Text, |of| text(&edge(of)?.service)),
    ("peer_node", Kind::Text, |of| text(&edge(of)?.node_name)),
    ("peer_address", Kind::Text, |of| text(&edge(of)?.address)),
    ("peer_dns_name", Kind::Text, |of| text(&edge(of)?.dns_name)),
    ("backend_pod", Kind::Text, |of| text(&edge(of)?.backend.as_ref()?.workload.as_ref()?.pod)),
    ("backend_address", Kind::Text, |of| text(&edge(of)?.backend.as_ref()?.address)),
    ("port", Kind::Number, |of| number(edge(of)?.port)),
    ("verdict", Kind::Text, |of| {
        short(of.diagnosis.as_ref()?.verdict().as_str_name(), Verdict::Unspecified.as_str_name())
    }),
    ("opened", Kind::Number, |of| number(tcp(of)?.opened)),
    ("failed", Kind::Number, |of| number(tcp(of)?.failed)),
    ("pending", Kind::Number, |of| number(tcp(of)?.connects_pending)),
    ("closed", Kind::Number, |of| number(tcp(of)?.closed)),
    ("live", Kind::Number, |of| number(tcp(of)?.live)),
    ("sent_bytes", Kind::Number, |of| number(tcp(of)?.sent_bytes)),
    ("received_bytes", Kind::Number, |of| number(tcp(of)?.received_bytes)),
    ("sent_segments", Kind::Number, |of| number(tcp(of)?.sent_segments)),
    ("received_segments", Kind::Number, |of| number(tcp(of)?.received_segments)),
    ("retransmitted_segments", Kind::Number, |of| number(tcp(of)?.retransmitted_segments)),
    ("resets_sent", Kind::Number, |of| number(tcp(of)?.resets_sent)),
    ("resets_received", Kind::Number, |of| number(tcp(of)?.resets_received)),
    ("listen_drops", Kind::Number, |of| number(tcp(of)?.listen_drops)),
    ("handshakes", Kind::Number, |of| number(handshake(of)?.count)),
    ("handshake_p50_ns", Kind::Number, |of| number(handshake(of)?.p50_ns)),
    ("handshake_p90_ns", Kind::Number, |of| number(handshake(of)?.p90_ns)),
    ("handshake_p99_ns", Kind::Number, |of| number(handshake(of)?.p99_ns)),
    ("handshake_max_ns", Kind::Number, |of| number(handshake(of)?.max_ns)),
    ("rtt_p50_ns", Kind::Number, |of| number(rtt(of)?.p50_ns)),
    ("rtt_p90_ns", Kind::Number, |of| number(rtt(of)?.p90_ns)),
    ("rtt_p99_ns", Kind::Number, |of| number(rtt(of)?.p99_ns)),
    ("duration_p50_ns", Kind::Number, |of| number(tcp(of)?.duration.as_ref()?.p50_ns)),
    ("execs", Kind::Number, |of| number(processes(of)?.execs)),
    ("exits", Kind::Number, |of| number(processes(of)?.exits.iter().map(|exit| exit.count).sum::<u64>())),
    ("oom_kills", Kind::Number, |of| number(processes(of)?.oom_kills)),
    ("container_starts", Kind::Number, |of| number(processes(of)?.container_starts)),
    ("container_stops", Kind::Number, |of| number(processes(of)?.container_stops)),
    ("lost_events", Kind::Number, |of| number(of.lost_events)),
    ("summary", Kind::Json, |of| json("Summary", of)),
];

fn owner(of: &Summary) -> Option<&Workload> {
    of.workload.as_ref()
}

fn edge(of: &Summary) -> Option<&Edge> {
    of.edge.as_ref()
}

fn tcp(of: &Summary) -> Option<&TcpSummary> {
    of.tcp.as_ref()
}

fn handshake(of: &Summary) -> Option<&Distribution> {
    tcp(of)?.handshake_latency.as_ref()
}

fn rtt(of: &Summary) -> Option<&Distribution> {
    tcp(of)?.rtt.as_ref()
}

fn processes(of: &Summary) -> Option<&ProcessSummary> {
    of.processes.as_ref()
}
