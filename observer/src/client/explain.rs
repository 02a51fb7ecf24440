//! Verdicts on edges, with the figures that led to them, in words.

mod far;
pub(super) mod figure;

pub(super) use far::accept_wait;

use std::collections::BTreeSet;
use std::io;

use observer_proto::v1::{
    Connection, Diagnosis, Endpoint, Evidence, ExplainResponse, ListConnectionsResponse, Summary, Tcp,
    Verdict, Workload,
};

use super::chosen::Chosen;
use super::color::Paint;
use super::escape::escape;
use super::label;
use super::listing::trouble;
use super::look::Look;
use super::nodes::write_missing;
use super::summary::{edge_columns, edge_row, way};
use super::table::{Column, Table, text};
use super::time::after;
use super::units::{duration, plural};

/// How many connections stand below an edge that has a fault; in a wide look all that stand out.
const SHOWN: usize = 3;

/// Writes each edge's verdict and figures, and below those that have a fault their worst connections.
pub(crate) fn write_explanation(
    out: &mut dyn io::Write,
    look: &Look,
    explanation: &ExplainResponse,
    connections: &ListConnectionsResponse,
) -> io::Result<()> {
    let ExplainResponse { edges, total, node_name: _, window_start, window_ns, lost_events, missing_nodes } =
        explanation;
    let end = window_start.as_ref().map(|start| look.clock().text(&after(start, *window_ns)));
    let place = place(explanation);
    let head = format!("figures of {} to {} [{place}]", duration(*window_ns), end.unwrap_or_default());
    writeln!(out, "{}", look.painter.paint(Paint::Dim, head))?;
    if *lost_events > 0 {
        let words = format!(
            "{} lost on {} meanwhile: figures may be too low; see `observer status`",
            plural(*lost_events, "event"),
            if explanation.node_name.is_empty() { "these nodes" } else { "this node" }
        );
        writeln!(out, "{}", look.painter.paint(Paint::Warning, words))?;
    }
    if edges.is_empty() {
        writeln!(out, "no edge matches: nothing was connected or asked for in that time")?;
        return write_missing(out, look, missing_nodes);
    }
    if matches!(look.chosen, Chosen::Columns(_)) {
        write_table(out, look, edges)?;
    } else {
        edges.iter().try_for_each(|edge| write_edge(out, look, edge, connections))?;
    }
    let more = total.saturating_sub(edges.len() as u64);
    let mut words = vec![plural(*total, "edge")];
    for (verdict, count) in counts(edges) {
        words.push(format!("{count} {}", name(verdict)));
    }
    if more > 0 {
        words.push(format!("{more} not told: select fewer"));
    }
    writeln!(out, "{}", look.painter.paint(Paint::Dim, words.join(", ")))?;
    write_missing(out, look, missing_nodes)
}

/// Whose figures these are: the node, or how many there are.
fn place(explanation: &ExplainResponse) -> String {
    if !explanation.node_name.is_empty() {
        return escape(&explanation.node_name).into_owned();
    }
    let nodes: BTreeSet<&str> = explanation.edges.iter().map(|edge| edge.node_name.as_str()).collect();
    match nodes.len() {
        0 => "a relay's nodes".to_owned(),
        nodes => plural(nodes as u64, "node"),
    }
}

/// The columns of the table that there is where columns are chosen: those of edges, and the figures that led to the verdict.
pub(crate) fn explained_columns() -> Vec<Column> {
    edge_columns().into_iter().chain([text("FIGURES", 60, 0)]).collect()
}

fn write_table(out: &mut dyn io::Write, look: &Look, edges: &[Summary]) -> io::Result<()> {
    let mut table = Table::new(explained_columns());
    for edge in edges {
        let (paint, mut cells) = edge_row(edge);
        let evidence = edge.diagnosis.iter().flat_map(|diagnosis| &diagnosis.evidence);
        let figures: Vec<String> = evidence.map(figure::words).collect();
        cells.push(if figures.is_empty() { "-".to_owned() } else { figures.join("; ") });
        table.row(paint, cells);
    }
    table.write(out, look)
}

fn write_edge(
    out: &mut dyn io::Write,
    look: &Look,
    edge: &Summary,
    connections: &ListConnectionsResponse,
) -> io::Result<()> {
    let diagnosis = edge.diagnosis.clone().unwrap_or_default();
    let verdict = diagnosis.verdict();
    let heading =
        format!("{}{} {}", label::owner(edge.workload.as_ref()), label::on(&edge.node_name), way(edge));
    let told = look.painter.paint(paint(verdict), name(verdict));
    writeln!(out, "{}  {told}", look.painter.paint(Paint::Bold, heading))?;
    let Diagnosis { evidence, others, .. } = &diagnosis;
    if matches!(verdict, Verdict::Healthy) {
        let words: Vec<String> = evidence.iter().map(figure::words).collect();
        writeln!(out, "    {}", words.join("; "))?;
        return far::write_far_end(out, look, edge);
    }
    write_figures(out, evidence)?;
    for other in others {
        writeln!(out, "  also {}", look.painter.paint(paint(other.verdict()), name(other.verdict())))?;
        write_figures(out, &other.evidence)?;
    }
    far::write_far_end(out, look, edge)?;
    let shown = if look.is_wide() { usize::MAX } else { SHOWN };
    let of_edge = connections
        .connections
        .iter()
        .filter(|one| one.node_name == edge.node_name)
        .filter(|one| one.tcp.as_ref().is_some_and(|tcp| is_of(one.workload.as_ref(), tcp, edge)));
    for connection in of_edge.filter_map(|one| Some((one, trouble(one, connections)?))).take(shown) {
        let (Connection { tcp, process, .. }, words) = connection;
        let tcp = tcp.clone().unwrap_or_default();
        let ends = format!(
            "{} -> {}",
            label::address(tcp.source.as_ref()),
            label::address(tcp.destination.as_ref())
        );
        let process =
            process.as_ref().map_or_else(String::new, |process| format!(" ({})", label::process(process)));
        writeln!(out, "  {}", look.painter.paint(Paint::Dim, format!("{ends}{process}: {words}")))?;
    }
    Ok(())
}

fn write_figures(out: &mut dyn io::Write, evidence: &[Evidence]) -> io::Result<()> {
    evidence.iter().try_for_each(|one| writeln!(out, "    {}", figure::words(one)))
}

/// The workload's connection is one of the edge's.
pub(super) fn is_of(workload: Option<&Workload>, tcp: &Tcp, edge: &Summary) -> bool {
    let Some(to) = &edge.edge else { return false };
    let remote = if tcp.outgoing { &tcp.destination } else { &tcp.source };
    let port = tcp.destination.as_ref().map_or(0, |end| end.port);
    let answers = match (&tcp.backend, &to.backend) {
        (Some(end), Some(to)) => end.port == to.port && is_at(end, to.workload.as_ref(), &to.address),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    workload.map(|of| of.cgroup_id) == edge.workload.as_ref().map(|of| of.cgroup_id)
        && tcp.outgoing == to.outgoing
        && port == to.port
        && remote.as_ref().is_some_and(|remote| is_at(remote, to.workload.as_ref(), &to.address))
        && answers
}

/// The end is that pod's or, where there is none, has that address.
fn is_at(end: &Endpoint, workload: Option<&Workload>, address: &str) -> bool {
    match workload {
        Some(workload) => end.workload.as_ref().is_some_and(|of| of.pod_uid == workload.pod_uid),
        None => end.address == address,
    }
}

/// How often each verdict was given, in the order of the edges.
fn counts(edges: &[Summary]) -> Vec<(Verdict, usize)> {
    let mut counts: Vec<(Verdict, usize)> = Vec::new();
    for edge in edges {
        let verdict = edge.diagnosis.as_ref().map_or(Verdict::Unspecified, Diagnosis::verdict);
        match counts.iter_mut().find(|(known, _)| *known == verdict) {
            Some((_, count)) => *count += 1,
            None => counts.push((verdict, 1)),
        }
    }
    counts
}

/// A verdict as a reader is told it.
pub(crate) const fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "healthy",
        Verdict::NetworkLoss => "network loss",
        Verdict::NetworkLatency => "network latency",
        Verdict::PeerNotAccepting => "peer not accepting",
        Verdict::PeerNotReading => "peer not reading",
        Verdict::OwnProcessNotReading => "own process not reading",
        Verdict::OwnSendBuffer => "own send buffer",
        Verdict::Refused => "refused",
        Verdict::Unreachable => "unreachable",
        Verdict::Unspecified | Verdict::Unknown => "unknown",
    }
}

/// The colour of a verdict.
pub(crate) const fn paint(verdict: Verdict) -> Paint {
    match verdict {
        Verdict::Healthy => Paint::Good,
        Verdict::Unspecified | Verdict::Unknown => Paint::Warning,
        Verdict::NetworkLoss
        | Verdict::NetworkLatency
        | Verdict::PeerNotAccepting
        | Verdict::PeerNotReading
        | Verdict::OwnProcessNotReading
        | Verdict::OwnSendBuffer
        | Verdict::Refused
        | Verdict::Unreachable => Paint::Failure,
    }
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::{Edge, Finding, PeerKind, TcpFlow, Unit};

    use super::super::testing;
    use super::*;

    fn evidence(figure: &str, value: u64, of: Option<u64>) -> Evidence {
        Evidence { figure: figure.to_owned(), value, of, unit: Unit::Count.into() }
    }

    #[test]
    fn a_fault_comes_with_its_figures_and_its_worst_connections() {
        let loss = Finding {
            verdict: Verdict::NetworkLoss.into(),
            evidence: vec![evidence("retransmitted_segments", 12, Some(400))],
        };
        let diagnosis = Diagnosis {
            verdict: Verdict::PeerNotReading.into(),
            evidence: vec![
                evidence("peer_window_closed", 1, None),
                evidence("peer_window_closed_time", 12_000_000_000, None),
            ],
            others: vec![loss],
        };
        let edge = Summary {
            workload: Some(testing::pod("shop", "cart-7d9f", "app")),
            edge: Some(Edge {
                kind: PeerKind::Pod.into(),
                port: 6379,
                outgoing: true,
                workload: Some(testing::pod("shop", "redis-0", "redis")),
                ..Edge::default()
            }),
            diagnosis: Some(diagnosis),
            ..Summary::default()
        };
        let explanation = ExplainResponse {
            edges: vec![edge],
            total: 1,
            node_name: "node1".to_owned(),
            window_start: Some(testing::AT),
            window_ns: 60_000_000_000,
            lost_events: 2,
            missing_nodes: Vec::new(),
        };
        let connection = Connection {
            tcp: Some(testing::tcp(true)),
            workload: Some(testing::pod("shop", "cart-7d9f", "app")),
            process: Some(testing::process()),
            state: "ESTABLISHED".to_owned(),
            flow: Some(TcpFlow {
                window_closed_ns: Some(12_000_000_000),
                accepted: true,
                ..TcpFlow::default()
            }),
            ..Connection::default()
        };
        let connections =
            ListConnectionsResponse { connections: vec![connection], ..ListConnectionsResponse::default() };
        let mut out = Vec::new();
        write_explanation(&mut out, &testing::look(), &explanation, &connections).unwrap();
        let expected = "\
figures of 1 min to 08:13:03.114 [node1]
2 events lost on this node meanwhile: figures may be too low; see `observer status`
shop/cart-7d9f/app -> shop/redis-0:6379  peer not reading
    1 connection now with the peer's window closed
    peer's window closed for 12 s at the longest
  also network loss
    12 of 400 segments sent again (3.0%)
  10.1.0.7:51722 -> 10.1.0.9:6379 (pid 4312 cart): peer's window closed for 12s
1 edge, 1 peer not reading
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
