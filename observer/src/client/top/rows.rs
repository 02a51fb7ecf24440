//! The rows of pages: workloads, edges and connections with their figures, and lines of events.

mod details;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use observer_proto::v1::{
    Connection, ContainerState, Diagnosis, ListConnectionsResponse, Summary, TcpSummary, Verdict,
    WorkloadKind, WorkloadStatus,
};

use super::super::color::Paint;
use super::super::compact::Line;
use super::super::listing::connections::{CONNECTIONS, connection_row, peer};
use super::super::listing::{trouble, workloads as listed};
use super::super::look::Look;
use super::super::summary::{Sort, rows, way, weight};
use super::super::table::Column;
use super::super::{explain, label};
use super::columns::{EDGES, LIVE, WORKLOADS};
use super::grid::Row;
use super::identity;
use super::sort::By;
use super::wants::Placed;

/// Cells that no other table has, by their places beside the name: whose node it is comes first.
const RESTARTS: usize = 1;
const VERDICT: usize = 2;
const EDGE_NODE: usize = 0;
const EDGE_VERDICT: usize = 1;

/// The cells of a row of another table, put into the columns of this one by their titles.
fn chosen(wanted: &[Column], columns: &[Column], cells: &[String]) -> Vec<String> {
    let cell = |column: &Column| columns.iter().position(|one| one.title == column.title);
    let cell = |column| cell(column).and_then(|at| cells.get(at)).cloned().unwrap_or_default();
    wanted.iter().skip(1).map(cell).collect()
}

/// What is known of workloads.
pub(super) struct Known<'a> {
    /// Those that did something in the window.
    pub(super) summaries: &'a [Summary],
    /// What they did with whom.
    pub(super) edges: &'a [Summary],
    /// Those that there are.
    pub(super) statuses: &'a [WorkloadStatus],
    /// Containers that did nothing or have ended are shown as well.
    pub(super) idle: bool,
}

/// Workloads, the first by that figure first.
pub(super) fn workloads(known: &Known<'_>, by: By, look: &Look) -> Vec<Row> {
    let Known { summaries, edges, statuses, idle } = known;
    let faults = faults(edges);
    let by_id = statuses.iter().map(|status| (identity::status(status), status));
    let by_id: HashMap<String, &WorkloadStatus> = by_id.collect();
    let mut seen = HashSet::new();
    let mut all: Vec<([u64; 6], Row)> = Vec::new();
    let mut add = |summary: &Summary, status: Option<&WorkloadStatus>, id: String| {
        let fault = faults.get(&id);
        let place = place(summary, status, (by, fault.is_some()));
        let mut row = workload(summary, status, id, look);
        if let (Some((_, verdict, way)), Some(cell)) = (fault, row.cells.get_mut(VERDICT)) {
            explain::name(*verdict).clone_into(cell);
            row.paint = Paint::Failure;
            row.detail.insert(1.min(row.detail.len()), format!("{}: {way}", explain::name(*verdict)));
        }
        all.push((place, row));
    };
    for summary in *summaries {
        let id = identity::of(summary);
        if seen.insert(id.clone()) {
            add(summary, by_id.get(&id).copied(), id);
        }
    }
    for status in statuses.iter().filter(|status| *idle && is_container(status)) {
        let id = identity::status(status);
        if seen.insert(id.clone()) {
            let live = TcpSummary { live: status.live_connections, ..TcpSummary::default() };
            let (workload, node_name) = (status.workload.clone(), status.node_name.clone());
            add(&Summary { workload, node_name, tcp: Some(live), ..Summary::default() }, Some(status), id);
        }
    }
    sorted(all)
}

/// The verdict that names a fault on the worst edge of each workload that has one.
fn faults(edges: &[Summary]) -> HashMap<String, ([u64; 5], Verdict, String)> {
    let mut faults: HashMap<String, ([u64; 5], Verdict, String)> = HashMap::new();
    for edge in edges {
        let Some(verdict) = fault(edge) else { continue };
        let id = identity::of(edge);
        let weight = weight(edge, Sort::Worst);
        if faults.get(&id).is_none_or(|(worst, ..)| weight > *worst) {
            faults.insert(id, (weight, verdict, way(edge)));
        }
    }
    faults
}

fn fault(edge: &Summary) -> Option<Verdict> {
    rows::verdict(edge).filter(|verdict| explain::paint(*verdict) == Paint::Failure)
}

/// A container; the pods' own (pause) containers do nothing that would be missed.
fn is_container(status: &WorkloadStatus) -> bool {
    status.workload.as_ref().is_some_and(|workload| {
        !workload.sandbox && matches!(workload.kind(), WorkloadKind::Pod | WorkloadKind::Container)
    })
}

/// A container that fails again and again is worse than whatever happens on the network, and there what has a verdict that
/// names a fault: one that stands still shows in few figures.
fn place(summary: &Summary, status: Option<&WorkloadStatus>, (by, fault): (By, bool)) -> [u64; 6] {
    let restarts = status.and_then(listed::restarts).map_or(0, u64::from);
    let first = match by {
        By::Worst => 2 * status.map_or(0, |status| u64::from(status.crash_loop)) + u64::from(fault),
        By::Restarts => restarts,
        By::Failed
        | By::Retransmits
        | By::Resets
        | By::Handshake
        | By::Rtt
        | By::Bytes
        | By::Opened
        | By::Name => 0,
    };
    placed(first, summary, by)
}

/// That figure before those of the order.
fn placed(first: u64, summary: &Summary, by: By) -> [u64; 6] {
    let mut place = [first; 6];
    place[1..].copy_from_slice(&weight(summary, by.of_summaries()));
    place
}

fn sorted(mut all: Vec<([u64; 6], Row)>) -> Vec<Row> {
    all.sort_by(|(a, one), (b, other)| {
        (Reverse(a), &one.name, &one.id).cmp(&(Reverse(b), &other.name, &other.id))
    });
    all.into_iter().map(|(_, row)| row).collect()
}

fn workload(summary: &Summary, status: Option<&WorkloadStatus>, id: String, look: &Look) -> Row {
    let mut cells = chosen(&WORKLOADS, &rows::workload_columns(), &rows::workload(summary));
    if let Some(cell) = cells.get_mut(RESTARTS) {
        *cell = restarts(status);
    }
    let paint = worse(rows::paint(summary), status.map_or(Paint::Plain, listed::paint));
    let name = vec![label::owner(summary.workload.as_ref())];
    Row { id, paint, name, cells, detail: details::workload(summary, status, look) }
}

/// How often it was started again, and what is the matter with it.
fn restarts(status: Option<&WorkloadStatus>) -> String {
    let Some(status) = status else { return "-".to_owned() };
    let count = listed::restarts(status).map_or_else(|| "-".to_owned(), |count| count.to_string());
    match status.state() {
        _ if status.crash_loop => format!("{count} loop"),
        ContainerState::Ended => format!("{count} ended"),
        ContainerState::Unspecified | ContainerState::Running => count,
    }
}

fn worse(one: Paint, other: Paint) -> Paint {
    let rank = |paint: Paint| match paint {
        Paint::Failure => 2,
        Paint::Warning => 1,
        Paint::Plain | Paint::Good | Paint::Dim | Paint::Bold => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// Edges; those of one workload without its name.
pub(super) fn edges<'a>(
    summaries: impl Iterator<Item = &'a Summary>,
    by: By,
    of: Option<&Placed>,
) -> Vec<Row> {
    let one = of.map(Placed::id);
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for summary in summaries {
        let id = identity::edge(summary);
        if seen.insert(id.clone()) {
            let fault = fault(summary).is_some();
            let place = placed(u64::from(fault && by == By::Worst), summary, by);
            let of_one = one.as_ref() == Some(&identity::of(summary));
            all.push((place, edge(summary, id, of_one)));
        }
    }
    sorted(all)
}

fn edge(summary: &Summary, id: String, of_one: bool) -> Row {
    let mut cells = chosen(&EDGES, &rows::workload_columns(), &rows::workload(summary));
    let verdict = summary.diagnosis.as_ref().map(Diagnosis::verdict);
    if let Some(cell) = cells.get_mut(EDGE_VERDICT) {
        verdict.map_or("-", explain::name).clone_into(cell);
    }
    if let Some(cell) = cells.get_mut(EDGE_NODE).filter(|_| of_one) {
        // It stands above, with the name.
        cell.clear();
    }
    let owner = (!of_one).then(|| label::owner(summary.workload.as_ref()));
    let name = owner.into_iter().chain([way(summary)]).collect();
    Row { id, paint: rows::paint(summary), name, cells, detail: details::edge(summary) }
}

/// Live connections of a workload, as the daemon sorted them; where a pod's container is not known, it tells all of the pod.
pub(super) fn connections(response: &ListConnectionsResponse, of: &Placed) -> Vec<Row> {
    let own = of.id();
    let all = response.connections.iter();
    let own = all.filter(|one| identity::workload(&one.node_name, one.workload.as_ref()) == own);
    own.map(|one| connection(one, response)).collect()
}

fn connection(connection: &Connection, response: &ListConnectionsResponse) -> Row {
    let tcp = connection.tcp.clone().unwrap_or_default();
    let name = if tcp.outgoing {
        let port = tcp.source.as_ref().map_or(0, |end| end.port);
        format!(":{port} -> {}", peer(connection, &tcp))
    } else {
        let port = tcp.destination.as_ref().map_or(0, |end| end.port);
        format!(":{port} <- {}", peer(connection, &tcp))
    };
    let again = connection.counters.as_ref().is_some_and(|counters| counters.retransmitted_segments > 0);
    let bad = again || trouble(connection, response).is_some();
    Row {
        id: identity::connection(connection),
        paint: if bad { Paint::Warning } else { Paint::Plain },
        name: vec![name],
        cells: chosen(&LIVE, &CONNECTIONS, &connection_row(connection, response)),
        detail: details::connection(connection, response),
    }
}

/// Lines of events of one workload, whose name stands above, each with its number.
pub(super) fn lines<'a>(lines: impl Iterator<Item = &'a (u64, Line)>, owner: &str) -> Vec<Row> {
    let owners = [' ', ':'].map(|after| format!(" {owner}{after}"));
    let rest = |text: &str| text.replacen(&owners[0], " ", 1).replacen(&owners[1], " :", 1);
    let row = |(number, Line { paint, text, .. }): &(u64, Line)| Row {
        id: number.to_string(),
        paint: *paint,
        name: vec![rest(text)],
        cells: Vec::new(),
        detail: vec![text.clone()],
    };
    lines.map(row).collect()
}
