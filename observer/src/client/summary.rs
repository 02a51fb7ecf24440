//! Summaries of one window: gathered until it is complete, sorted, shown as tables.

mod order;
pub(super) mod rows;
mod services;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;

use itertools::Itertools as _;
use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{Lost, NodeState, NodeStatus, Summary, WatchSummariesResponse, WindowEnd};

use super::color::Paint;
use super::escape::escape;
use super::look::Look;
use super::table::{Column, Table};
use super::time::after;
use super::units::{duration, plural};
use super::{label, lost};

use self::services::{Part, Row};

pub(super) use order::weight;
pub(crate) use order::{Sort, sort};
pub(crate) use rows::{edge_columns, way};

/// How many edges a brief table shows of one workload.
const BRIEF_EDGES: usize = 3;
/// How many names of those that are gone are shown.
const GONE_SHOWN: usize = 10;

/// The summaries of a window that have come so far.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(super) node_name: String,
    pub(super) workloads: Vec<Summary>,
    pub(super) edges: Vec<Summary>,
    pub(super) losses: Vec<Lost>,
    /// Nodes whose part has not come in time.
    pub(super) behind: Vec<NodeStatus>,
    /// Of a stream of changes: what the keys stand for.
    names: HashMap<u64, String>,
}

/// A window that is complete.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(super) window: Window,
    pub(super) end: WindowEnd,
    /// What the window before had and this one has not.
    gone: Vec<String>,
}

impl Finished {
    /// Whose window it is: the node, or how many there are.
    pub(super) fn place(&self) -> String {
        match self.end.nodes {
            0 => escape(&self.window.node_name).into_owned(),
            nodes => plural(nodes.into(), "node"),
        }
    }
}

impl Window {
    /// Takes a message in; gives the window back when this was its last.
    pub(crate) fn add(&mut self, message: WatchSummariesResponse) -> Option<Finished> {
        self.node_name = message.node_name;
        if let Some(Payload::Summary(summary)) = &message.payload
            && summary.key > 0
        {
            self.names.insert(summary.key, name(summary));
        }
        match message.payload? {
            Payload::Summary(summary) if summary.edge.is_some() => self.edges.push(summary),
            Payload::Summary(summary) => self.workloads.push(summary),
            Payload::Lost(lost) => self.losses.push(lost),
            // What an earlier stream began is never completed.
            Payload::NodeStatus(status) if is_greeting(&status) => *self = Self::default(),
            Payload::NodeStatus(status) if status.state() == NodeState::Behind => self.behind.push(status),
            // They are shown when they come. How a node behind a relay is changes nothing of what others told.
            Payload::Gap(_) | Payload::NodeStatus(_) => {}
            Payload::WindowEnd(end) => {
                let gone = end.ended.iter().filter_map(|key| self.names.remove(key)).collect();
                let next = Self { names: std::mem::take(&mut self.names), ..Self::default() };
                return Some(Finished { window: std::mem::replace(self, next), end, gone });
            }
        }
        None
    }
}

/// A stream begins.
fn is_greeting(status: &NodeStatus) -> bool {
    status.node_name.is_empty() && status.state() == NodeState::Connected
}

/// What a key stands for.
fn name(summary: &Summary) -> String {
    let (owner, way) = (label::owner(summary.workload.as_ref()), rows::way(summary));
    format!("{owner}{} {way}", label::on(&summary.node_name)).trim_end().to_owned()
}

/// An edge is one of a workload's.
fn is_own(edge: &Summary, workload: &Summary) -> bool {
    edge.workload == workload.workload && edge.node_name == workload.node_name
}

/// Writes all workloads and all edges of a window.
pub(crate) fn write_tables(
    out: &mut dyn io::Write,
    look: &Look,
    finished: &mut Finished,
    sort: Sort,
) -> io::Result<()> {
    write_head(out, look, finished)?;
    write_unchanged(out, look, finished)?;
    let Window { workloads, edges, .. } = &mut finished.window;
    if workloads.is_empty() && edges.is_empty() {
        let nothing = if finished.end.total == 0 { "nothing happened that matches" } else { "nothing else" };
        return writeln!(out, "{nothing}");
    }
    order::sort(workloads, sort);
    order::sort(edges, sort);
    let mut table = Table::new(rows::workload_columns());
    for summary in workloads.iter() {
        table.row(rows::paint(summary), rows::workload(summary));
    }
    let mut edge_table = Table::new(rows::edge_columns());
    for row in services::rows(&edges.iter().collect::<Vec<_>>()) {
        edge_table.row(rows::paint(&row.summary), rows::edge(&row));
    }
    table.write(out, look)?;
    if !table.is_empty(look) && !edge_table.is_empty(look) {
        writeln!(out)?;
    }
    edge_table.write(out, look)
}

/// The columns of both tables.
pub(crate) fn summary_columns() -> Vec<Column> {
    rows::workload_columns().into_iter().chain(rows::edge_columns()).collect()
}

/// The row of one edge in a table of edges, with its colour.
pub(crate) fn edge_row(edge: &Summary) -> (Paint, Vec<String>) {
    (rows::paint(edge), rows::edge(&Row { summary: edge.clone(), part: Part::Only }))
}

/// What a stream of changes leaves out, in words.
fn write_unchanged(out: &mut dyn io::Write, look: &Look, finished: &Finished) -> io::Result<()> {
    let Finished { end, gone, .. } = finished;
    let same = end.total.saturating_sub(end.summaries);
    if same > 0 {
        let words = format!("{same} of {} as before", end.total);
        writeln!(out, "{}", look.painter.paint(Paint::Dim, words))?;
    }
    if gone.is_empty() {
        return Ok(());
    }
    let more = gone.len().saturating_sub(GONE_SHOWN);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let names = gone.iter().take(GONE_SHOWN).join(", ");
    writeln!(out, "{}", look.painter.paint(Paint::Dim, format!("gone: {names}{more}")))
}

/// Writes the worst of a window: workloads, each with its worst edges below it, `limit` rows at most.
pub(crate) fn write_brief(
    out: &mut dyn io::Write,
    look: &Look,
    finished: &mut Finished,
    limit: usize,
) -> io::Result<()> {
    write_head(out, look, finished)?;
    let Window { workloads, edges, .. } = &mut finished.window;
    let total = workloads.len() + edges.len();
    if total == 0 {
        return writeln!(out, "nothing happened that matches");
    }
    order::sort(workloads, Sort::Worst);
    order::sort(edges, Sort::Worst);
    let mut all: Vec<(String, Row)> = Vec::with_capacity(total);
    for workload in workloads.iter() {
        let row = Row { summary: workload.clone(), part: Part::Only };
        all.push((label::owner(workload.workload.as_ref()), row));
        let own: Vec<&Summary> = edges.iter().filter(|edge| is_own(edge, workload)).collect();
        let own = services::rows(&own).into_iter().scan(0, |shown, row| {
            *shown += usize::from(row.part != Part::Sum);
            (*shown <= BRIEF_EDGES).then_some(row)
        });
        all.extend(own.map(|row| (format!("  {}", rows::way_of(&row)), row)));
        if all.len() >= limit {
            break;
        }
    }
    // A filter may let an edge pass and not its workload.
    let lone = |edge: &&Summary| !workloads.iter().any(|workload| is_own(edge, workload));
    let lone: Vec<&Summary> = edges.iter().filter(lone).collect();
    all.extend(services::rows(&lone).into_iter().take(limit).map(|row| {
        let owner = match row.part {
            Part::Only | Part::Sum => label::owner(row.summary.workload.as_ref()),
            Part::OneOf => String::new(),
        };
        (format!("{owner} {}", rows::way_of(&row)), row)
    }));
    all.truncate(limit);
    let shown = all.iter().filter(|(_, row)| row.part != Part::Sum).count();
    let mut table = Table::new(rows::brief_columns());
    for (name, Row { summary, .. }) in all {
        table.row(rows::paint(&summary), rows::brief(name, &summary));
    }
    table.write(out, look)?;
    if shown < total {
        let more = format!("and {} more: `observer summary` shows them all", total - shown);
        writeln!(out, "{}", look.painter.paint(Paint::Dim, more))?;
    }
    Ok(())
}

/// The window's heading: when, where, and how complete it is.
fn write_head(out: &mut dyn io::Write, look: &Look, finished: &Finished) -> io::Result<()> {
    let Finished { window, end, gone: _ } = finished;
    let clock = look.clock();
    let start = end.window_start.unwrap_or_default();
    let head = format!(
        "window {} to {} ({}) [{}]: ",
        clock.text(&start),
        clock.text(&after(&start, end.window_ns)),
        duration(end.window_ns),
        finished.place()
    );
    let (paint, complete) = if end.lost_events == 0 && end.folded_events == 0 {
        (Paint::Dim, "complete".to_owned())
    } else if end.lost_events == 0 {
        (Paint::Dim, format!("complete, {} of it only counted", plural(end.folded_events, "event")))
    } else {
        (Paint::Warning, format!("{} lost, the figures are too low", plural(end.lost_events, "event")))
    };
    writeln!(out, "{}{}", look.painter.paint(Paint::Bold, head), look.painter.paint(paint, complete))?;
    for notice in lost::merge(&window.losses) {
        let words = format!("lost: {}", lost::words(&notice, &clock));
        writeln!(out, "{}", look.painter.paint(Paint::Warning, words))?;
    }
    Ok(())
}
