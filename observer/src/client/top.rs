//! The terminal view: its state, what changes it, and what it needs to know. No input and output of its own.

mod columns;
mod grid;
mod held;
mod help;
mod identity;
mod keys;
mod nodes;
mod page;
mod rows;
mod sort;
mod tables;
#[cfg(test)]
mod tests;
mod theme;
mod view;
mod wants;

use std::collections::BTreeMap;
use std::time::Duration;

use crossterm::event::KeyEvent;
use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{
    ListConnectionsResponse, ListIncidentsResponse, ListWorkloadsResponse, Summary, WatchSummariesResponse,
    WorkloadStatus,
};
use prost_types::Timestamp;

use super::compact::Line;
use super::look::Look;
use super::origin::Origin;
use super::summary::{Finished, Window};
use super::time::after;

use self::grid::Grid;
use self::held::Held;
use self::page::{Kind, Page};

pub(crate) use theme::Theme;
pub(crate) use view::view;
pub(crate) use wants::{Selected, Subject, Wants};

/// What is told of a restart is shown for so many windows.
const NOTICE: u8 = 5;

/// Something that changes the view.
#[derive(Debug)]
pub(crate) enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has so many columns and rows.
    Resized(u16, u16),
    /// A message of the stream of summaries.
    Summary(Box<WatchSummariesResponse>),
    /// The workloads.
    Workloads(ListWorkloadsResponse),
    /// The incidents that are open, newest first.
    Incidents(ListIncidentsResponse),
    /// The connections that a page asked for.
    Connections(u64, ListConnectionsResponse),
    /// A line of the events that a page asked for.
    Line(u64, Line),
    /// The daemon does not tell what a page asked for, and why.
    Refused(u64, String),
    /// The daemon went away, in words.
    Away(String),
    /// It is there again.
    Back,
}

/// What does not change while the view is open.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// How times are written.
    pub(crate) look: Look,
    /// How the screen looks.
    pub(crate) theme: Theme,
    /// What was selected.
    pub(crate) selected: Selected,
    /// How long a window is.
    pub(crate) interval: Duration,
}

/// What keys are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// To look at what is there.
    Looking,
    /// For the text that is searched for.
    Typing,
    /// To leave the page that says what they do.
    Help,
}

/// The view.
#[derive(Debug)]
pub(crate) struct Top {
    setup: Setup,
    size: (u16, u16),
    /// What has come of the window that has not ended.
    window: Window,
    origin: Origin,
    finished: Held<Finished>,
    workloads: Held<Vec<WorkloadStatus>>,
    incidents: ListIncidentsResponse,
    /// The first page, and those that were opened from it.
    home: Page,
    deeper: Vec<Page>,
    pages: u64,
    /// The tables of the page that is shown.
    grids: Vec<Grid>,
    /// They are not of all that is known.
    changed: bool,
    paused: bool,
    mode: Mode,
    ended: bool,
    away: Option<String>,
    notice: Option<(String, u8)>,
    /// Where a relay answers, the nodes that it cannot ask, and why.
    missing: BTreeMap<String, String>,
    /// Events that are known to be lost since the view was opened.
    lost: u64,
}

impl Top {
    /// A view that knows nothing yet, on a terminal of so many columns and rows.
    pub(crate) fn new(setup: Setup, size: (u16, u16)) -> Self {
        let mut top = Self {
            setup,
            size,
            window: Window::default(),
            origin: Origin::default(),
            finished: Held::default(),
            workloads: Held::default(),
            incidents: ListIncidentsResponse::default(),
            home: Page::new(0, Kind::Workloads),
            deeper: Vec::new(),
            pages: 0,
            grids: Vec::new(),
            changed: true,
            paused: false,
            mode: Mode::Looking,
            ended: false,
            away: None,
            notice: None,
            missing: BTreeMap::new(),
            lost: 0,
        };
        top.settle();
        top
    }

    /// Takes a message in. Before the next look at it comes [`Self::settle`].
    pub(crate) fn update(&mut self, message: Message) {
        // Keys and summaries say so themselves.
        self.changed |= !matches!(message, Message::Summary(_) | Message::Key(_));
        match message {
            Message::Key(key) => {
                self.settle();
                self.key(key);
            }
            Message::Resized(columns, rows) => self.size = (columns, rows),
            Message::Summary(message) => self.summary(*message),
            Message::Workloads(response) => {
                self.missing = nodes::named(response.missing_nodes);
                self.workloads.put(response.workloads, self.paused);
            }
            Message::Incidents(response) => self.incidents = response,
            Message::Connections(number, response) => {
                let paused = self.paused;
                if let Some(page) = self.page_of(number) {
                    page.connections.put(response, paused);
                    page.refused = None;
                }
            }
            Message::Line(number, line) => {
                let paused = if self.paused { self.until() } else { None };
                if let Some(page) = self.page_of(number) {
                    page.lines.push(line, paused);
                    page.refused = None;
                }
            }
            Message::Refused(number, words) => match self.page_of(number) {
                Some(page) => page.refused = Some(words),
                None if number == 0 => self.notice = Some((words, NOTICE)),
                None => {}
            },
            Message::Away(words) => self.away = Some(words),
            Message::Back => self.away = None,
        }
    }

    fn summary(&mut self, message: WatchSummariesResponse) {
        if let Some(Payload::NodeStatus(status)) = &message.payload {
            self.changed = true;
            let of_node = self.node(status);
            let words = self.origin.greeted(status, &self.setup.look.clock()).or(of_node);
            self.notice = words.map(|words| (words, NOTICE)).or(self.notice.take());
        }
        let Some(finished) = self.window.add(message) else { return };
        self.changed = true;
        self.lost = self.lost.saturating_add(finished.end.lost_events);
        self.notice = self.notice.take().and_then(|(words, left)| Some((words, left.checked_sub(1)?)));
        self.finished.put(finished, self.paused);
    }

    /// What the page that is shown needs.
    pub(crate) fn wants(&self) -> Wants {
        self.page().wants(&self.setup.selected)
    }

    /// Whether it was left.
    pub(crate) const fn ended(&self) -> bool {
        self.ended
    }

    /// Whether there is something new to look at. Of a window there is when all of it has come.
    pub(crate) const fn changed(&self) -> bool {
        self.changed
    }

    /// Makes the tables of what is known, and finds the selected row again.
    pub(crate) fn settle(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.grids = self.tables();
        }
        let Some(id) = self.page().selected.clone() else { return };
        let rows = self.grids.iter().flat_map(|grid| &grid.rows);
        let place = rows.clone().position(|row| row.id == id);
        let at = self.page().at;
        let (at, selected) = match place {
            Some(place) => (place, Some(id)),
            // Where it is gone, the one that is at its place.
            None => (at, rows.clone().nth(at).or(rows.last()).map(|row| row.id.clone())),
        };
        let page = self.page_mut();
        (page.at, page.selected) = (at, selected);
    }

    /// The page that is shown.
    fn page(&self) -> &Page {
        self.deeper.last().unwrap_or(&self.home)
    }

    fn page_mut(&mut self) -> &mut Page {
        self.deeper.last_mut().unwrap_or(&mut self.home)
    }

    fn page_of(&mut self, number: u64) -> Option<&mut Page> {
        self.deeper.iter_mut().find(|page| page.number == number)
    }

    /// The workloads and edges of the window that is shown.
    fn summaries(&self) -> (&[Summary], &[Summary]) {
        self.finished
            .get()
            .map_or((&[], &[]), |finished| (&finished.window.workloads, &finished.window.edges))
    }

    /// The end of the window that is shown.
    fn until(&self) -> Option<Timestamp> {
        let end = &self.finished.get()?.end;
        Some(after(&end.window_start?, end.window_ns))
    }
}
