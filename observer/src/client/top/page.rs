//! One page of the view: what it is of, how it is sorted and searched, what of it is selected.

use std::collections::VecDeque;

use observer_proto::v1::{Connection, ListConnectionsResponse, Summary};
use prost_types::Timestamp;

use super::super::compact::Line;
use super::super::{label, summary::way, time};
use super::held::Held;
use super::sort::{self, By};
use super::wants::{Placed, Selected, Subject, Wants};
use super::{grid, identity};

/// So many lines of events are kept; the oldest make room.
const MOST_LINES: usize = 2_000;

/// What a page is of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// All workloads.
    Workloads,
    /// All edges.
    Edges,
    /// The edges and connections of a workload.
    Workload(Box<Placed>),
    /// Events.
    Events(Subject),
}

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    /// Its number: answers to others are not for it.
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) by: By,
    pub(super) reverse: bool,
    /// What is searched for.
    pub(super) search: String,
    /// The selected row; without one the first or, of events, the last, whichever that is.
    pub(super) selected: Option<String>,
    /// Where that row was, for when it is there no more.
    pub(super) at: usize,
    pub(super) connections: Held<ListConnectionsResponse>,
    pub(super) lines: Lines,
    /// Why the daemon does not tell what the page is of.
    pub(super) refused: Option<String>,
}

impl Page {
    /// A page that nobody has looked at.
    pub(super) fn new(number: u64, kind: Kind) -> Self {
        Self {
            number,
            kind,
            by: By::default(),
            reverse: false,
            search: String::new(),
            selected: None,
            at: 0,
            connections: Held::default(),
            lines: Lines::default(),
            refused: None,
        }
    }

    /// What it may be sorted by.
    pub(super) const fn orders(&self) -> &'static [By] {
        match &self.kind {
            Kind::Workloads => &sort::WORKLOADS,
            Kind::Edges => &sort::EDGES,
            Kind::Workload(_) => &sort::BOTH,
            Kind::Events(_) => &[],
        }
    }

    /// What it asks the daemon for.
    pub(super) fn wants(&self, selected: &Selected) -> Wants {
        match &self.kind {
            Kind::Workloads | Kind::Edges => Wants::default(),
            Kind::Workload(workload) => {
                let request = selected.connections(workload, self.by.of_connections());
                Wants { connections: Some((self.number, request)), events: None }
            }
            Kind::Events(subject) => {
                let events = Some((self.number, selected.events(subject), subject.clone()));
                Wants { connections: None, events }
            }
        }
    }

    /// What it is of, in so many columns.
    pub(super) fn title(&self, width: usize) -> String {
        let name = match &self.kind {
            Kind::Workloads => vec!["Workloads".to_owned()],
            Kind::Edges => vec!["Edges".to_owned()],
            Kind::Workload(workload) => vec![workload.name()],
            Kind::Events(subject) => {
                let mut parts = parts(subject);
                if let Some(first) = parts.first_mut() {
                    first.insert_str(0, "Events of ");
                }
                parts
            }
        };
        let mut more = String::new();
        if !self.orders().is_empty() {
            let reverse = if self.reverse { ", reversed" } else { "" };
            more = format!(", {}{reverse}", self.by.words());
        }
        if !self.search.is_empty() {
            more = format!("{more}, with \"{}\"", self.search);
        }
        let room = width.saturating_sub(more.chars().count());
        format!("{}{more}", grid::cut_name(&name, room))
    }

    /// The connection with that id.
    pub(super) fn connection(&self, id: &str) -> Option<&Connection> {
        let all = self.connections.get().map_or(&[][..], |response| &response.connections);
        all.iter().find(|one| identity::connection(one) == id)
    }
}

fn parts(subject: &Subject) -> Vec<String> {
    let owner = |workload| format!("{}{}", label::owner(workload), label::on(subject.node()));
    match subject {
        Subject::Workload(workload) => vec![workload.name()],
        Subject::Edge(edge) => vec![owner(edge.workload.as_ref()), way(edge)],
        Subject::Connection(connection) => {
            let tcp = connection.tcp.clone().unwrap_or_default();
            let far = if tcp.outgoing { &tcp.destination } else { &tcp.source };
            let way = if tcp.outgoing { "->" } else { "<-" };
            let far = far.as_ref().map(|end| label::address(Some(end))).unwrap_or_default();
            vec![owner(connection.workload.as_ref()), format!("{way} {far}")]
        }
    }
}

/// The edges of a workload. Of one that leads to it from another node a relay tells the side that asks alone.
pub(super) fn own_edges<'a>(edges: &'a [Summary], workload: &'a Placed) -> impl Iterator<Item = &'a Summary> {
    let own = workload.id();
    edges.iter().filter(move |edge| identity::of(edge) == own || identity::far(edge).as_ref() == Some(&own))
}

/// The newest lines of events.
#[derive(Debug, Default)]
pub(super) struct Lines {
    shown: VecDeque<(u64, Line)>,
    /// Those that came while the view was paused.
    waiting: VecDeque<(u64, Line)>,
    /// So many of those made room.
    missed: u64,
    /// They were shown when it was paused: none is added.
    stay: bool,
    /// How many came.
    pub(super) count: u64,
}

impl Lines {
    /// Takes one in; of a page that was opened while paused, what was before the time that is shown is shown.
    pub(super) fn push(&mut self, line: Line, paused: Option<Timestamp>) {
        self.count += 1;
        let later = |since: &Timestamp| line.time.is_none_or(|time| time::nanos(&time) > time::nanos(since));
        let waits = self.stay || !self.waiting.is_empty() || paused.as_ref().is_some_and(later);
        let lines = if waits { &mut self.waiting } else { &mut self.shown };
        lines.push_back((self.count, line));
        if lines.len() > MOST_LINES {
            lines.pop_front();
            self.missed += u64::from(waits);
        }
    }

    /// Shows no more than now.
    pub(super) const fn stay(&mut self) {
        self.stay = true;
    }

    /// Shows those that waited.
    pub(super) fn go_on(&mut self) {
        self.stay = false;
        self.missed = 0;
        self.shown.append(&mut self.waiting);
        let more = self.shown.len().saturating_sub(MOST_LINES);
        self.shown.drain(..more);
    }

    /// Those that are shown, the oldest first.
    pub(super) fn shown(&self) -> impl Iterator<Item = &(u64, Line)> {
        self.shown.iter()
    }

    /// How many are not shown since the view is paused.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.len() as u64 + self.missed
    }
}
