//! The rows of summary tables: each figure as text, in columns that never change their order.

use observer_proto::v1::{Diagnosis, Distribution, Edge, ExitCount, Stalled, Summary, TcpSummary, Verdict};

use super::super::color::Paint;
use super::super::escape::escape;
use super::super::explain;
use super::super::label;
use super::super::table::{Column, NODE, figures, sparse, text};
use super::super::units;
use super::services::{Part, Row};

/// The columns of connections, in every table in this order.
const TCP: [Column; 16] = [
    figures("OPENED", 6, 1),
    figures("FAILED", 6, 1),
    figures("CLOSED", 6, 4),
    figures("LIVE", 5, 3),
    figures("HS-P50", 6, 2),
    figures("HS-P90", 6, 6),
    figures("HS-P99", 6, 1),
    figures("HS-MAX", 6, 5),
    figures("RTT-P50", 7, 3),
    figures("RTT-P99", 7, 2),
    figures("OUT", 7, 3),
    figures("IN", 7, 3),
    figures("RETR", 6, 1),
    figures("RESETS", 6, 2),
    figures("STALLED", 7, 2),
    figures("DROPS", 5, 4),
];

/// What the other end tells of an edge, where that is on another node that a relay asks.
const FAR: [Column; 3] = [
    sparse("FAR-NODE", 12, 8),
    Column { figures: true, ..sparse("FAR-ACCEPT", 10, 8) },
    Column { figures: true, ..sparse("FAR-RETR", 8, 8) },
];

/// The columns of edges.
pub(crate) fn edge_columns() -> Vec<Column> {
    let own = [
        text("WORKLOAD", 18, 0),
        NODE,
        text("PEER", 14, 0),
        figures("PORT", 5, 0),
        text("DIR", 3, 0),
        text("VERDICT", 23, 2),
    ];
    own.into_iter().chain(TCP).chain(FAR).collect()
}

/// The columns of workloads.
pub(crate) fn workload_columns() -> Vec<Column> {
    let processes = [
        figures("EXECS", 5, 2),
        text("EXITS", 14, 2),
        figures("OOM", 3, 2),
        figures("STARTS", 6, 7),
        figures("STOPS", 5, 7),
    ];
    [text("WORKLOAD", 28, 0), NODE].into_iter().chain(TCP).chain(processes).collect()
}

/// The columns of the brief table.
pub(super) fn brief_columns() -> Vec<Column> {
    let drop = ["CLOSED", "HS-P90", "HS-MAX", "DROPS"];
    let tcp = TCP.into_iter().filter(|column| !drop.contains(&column.title));
    let processes = [figures("EXECS", 5, 2), text("EXITS", 14, 2), figures("OOM", 3, 2)];
    [text("WORKLOAD, ITS EDGES", 30, 0), NODE, text("VERDICT", 23, 2)]
        .into_iter()
        .chain(tcp)
        .chain(processes)
        .collect()
}

/// An edge's row.
pub(super) fn edge(row: &Row) -> Vec<String> {
    let Row { summary, part } = row;
    let edge = summary.edge.clone().unwrap_or_default();
    let peer = match part {
        Part::Only | Part::Sum => label::edge(&edge),
        Part::OneOf => format!(" {}", answering(&edge)),
    };
    let own = [
        label::owner(summary.workload.as_ref()),
        escape(&summary.node_name).into_owned(),
        peer,
        edge.port.to_string(),
        if edge.outgoing { "out" } else { "in" }.to_owned(),
        verdict(summary).map_or("-", explain::name).to_owned(),
    ];
    own.into_iter().chain(tcp(summary)).chain(far(summary)).collect()
}

/// The other end's node, how long connections waited there for accept() at the longest, and what it sent again.
fn far(summary: &Summary) -> [String; 3] {
    let Some(far) = &summary.far_end else { return Default::default() };
    let tcp = far.tcp.clone().unwrap_or_default();
    [
        escape(&far.node_name).into_owned(),
        explain::accept_wait(&tcp).map_or_else(|| "-".to_owned(), |ns| units::tight(&units::duration(ns))),
        units::percent(tcp.retransmitted_segments, tcp.sent_segments),
    ]
}

/// Who answers for a Service whose name stands above.
fn answering(edge: &Edge) -> String {
    match &edge.backend {
        Some(backend) => format!("-> {}", label::endpoint(Some(backend))),
        None => "-> (backend unknown)".to_owned(),
    }
}

/// A workload's row.
pub(crate) fn workload(summary: &Summary) -> Vec<String> {
    let processes = summary.processes.clone().unwrap_or_default();
    let own = [
        processes.execs.to_string(),
        exits(&processes.exits),
        processes.oom_kills.to_string(),
        processes.container_starts.to_string(),
        processes.container_stops.to_string(),
    ];
    let of = [label::owner(summary.workload.as_ref()), escape(&summary.node_name).into_owned()];
    of.into_iter().chain(tcp(summary)).chain(own).collect()
}

/// A row of the brief table: of a workload, or of an edge, which has no processes.
pub(super) fn brief(name: String, summary: &Summary) -> Vec<String> {
    let [tcp @ .., resets, stalled, _] = tcp(summary);
    let [opened, failed, _, live, p50, _, p99, _, rtt_p50, rtt_p99, sent, received, retransmitted] = tcp;
    let verdict = verdict(summary).map_or("", explain::name).to_owned();
    let node = escape(&summary.node_name).into_owned();
    let mut cells =
        vec![name, node, verdict, opened, failed, live, p50, p99, rtt_p50, rtt_p99, sent, received];
    cells.extend([retransmitted, resets, stalled]);
    if let Some(processes) = &summary.processes {
        cells.extend([processes.execs.to_string(), exits(&processes.exits), processes.oom_kills.to_string()]);
    }
    cells
}

/// The other side of an edge and the direction: `-> shop/redis-0:6379`; for one who asks this
/// workload, the port is this workload's: `:6379 <- shop/cart-7d9f`.
pub(crate) fn way(summary: &Summary) -> String {
    let Some(edge) = &summary.edge else { return String::new() };
    if edge.outgoing {
        format!("-> {}", label::edge_with_port(edge))
    } else {
        format!(":{} <- {}", edge.port, label::edge(edge))
    }
}

/// The same for a row of a table.
pub(super) fn way_of(Row { summary, part }: &Row) -> String {
    match (&summary.edge, part) {
        (Some(edge), Part::OneOf) => format!("  {}", answering(edge)),
        (_, Part::Only | Part::Sum | Part::OneOf) => way(summary),
    }
}

/// The verdict on an edge.
pub(crate) fn verdict(summary: &Summary) -> Option<Verdict> {
    summary.diagnosis.as_ref().map(Diagnosis::verdict)
}

/// The colour of a row: what failed, what was sent again.
pub(crate) fn paint(summary: &Summary) -> Paint {
    let tcp = summary.tcp.clone().unwrap_or_default();
    let oom = summary.processes.as_ref().is_some_and(|processes| processes.oom_kills > 0);
    let fault = verdict(summary).is_some_and(|verdict| explain::paint(verdict) == Paint::Failure);
    if oom || tcp.failed > 0 || fault {
        Paint::Failure
    } else if tcp.retransmitted_segments > 0 || tcp.resets_sent > 0 || tcp.resets_received > 0 {
        Paint::Warning
    } else {
        Paint::Plain
    }
}

fn tcp(summary: &Summary) -> [String; 16] {
    let tcp = summary.tcp.clone().unwrap_or_default();
    let TcpSummary { handshake_latency, rtt, .. } = &tcp;
    let figure = |distribution: &Option<Distribution>, value: fn(&Distribution) -> u64| match distribution {
        Some(some) if some.count > 0 => units::tight(&units::duration(value(some))),
        Some(_) | None => "-".to_owned(),
    };
    [
        tcp.opened.to_string(),
        tcp.failed.to_string(),
        tcp.closed.to_string(),
        tcp.live.to_string(),
        figure(handshake_latency, |d| d.p50_ns),
        figure(handshake_latency, |d| d.p90_ns),
        figure(handshake_latency, |d| d.p99_ns),
        figure(handshake_latency, |d| d.max_ns),
        figure(rtt, |d| d.p50_ns),
        figure(rtt, |d| d.p99_ns),
        units::tight(&units::bytes(tcp.sent_bytes)),
        units::tight(&units::bytes(tcp.received_bytes)),
        units::percent(tcp.retransmitted_segments, tcp.sent_segments),
        tcp.resets_sent.saturating_add(tcp.resets_received).to_string(),
        tcp.stalled.as_ref().map_or(0, stalled).to_string(),
        tcp.listen_drops.to_string(),
    ]
}

/// In how many ways connections stand still.
pub(super) const fn stalled(stalled: &Stalled) -> u64 {
    let Stalled { unread, unaccepted, own_window_closed, peer_window_closed, half_closed, unanswered } =
        *stalled;
    let all = unread + unaccepted + own_window_closed + peer_window_closed + half_closed + unanswered;
    all as u64
}

/// How processes ended: `0×12 1×3 SIGKILL×1`; codes before signals.
pub(crate) fn exits(exits: &[ExitCount]) -> String {
    let mut exits: Vec<&ExitCount> = exits.iter().collect();
    exits.sort_by_key(|exit| (exit.signal, exit.code));
    let name = |exit: &ExitCount| match (exit.code, exit.signal) {
        (Some(code), None) => code.to_string(),
        (_, Some(signal)) if exit.signal_name.is_empty() => format!("signal-{signal}"),
        (_, Some(_)) => escape(&exit.signal_name).into_owned(),
        (None, None) => "?".to_owned(),
    };
    if exits.is_empty() {
        return "-".to_owned();
    }
    exits.iter().map(|exit| format!("{}×{}", name(exit), exit.count)).collect::<Vec<_>>().join(" ")
}
