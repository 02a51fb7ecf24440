//! What keys do.
#![allow(clippy::wildcard_enum_match_arm, reason = "keyboards have more keys than there is to do")]

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::page::{Kind, Page};
use super::wants::{Placed, Subject};
use super::{Mode, Top, identity};

/// So many characters may be searched for.
const LONGEST: usize = 64;

impl Top {
    /// Does what a key asks for.
    pub(super) fn key(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => self.ended = true,
            // Whatever else was pressed: it was read.
            _ if self.mode == Mode::Help => self.mode = Mode::Looking,
            _ if self.mode == Mode::Typing => self.typed(key.code, control),
            KeyCode::Char(letter) if control => self.control(letter),
            KeyCode::Char(letter) => self.letter(letter),
            KeyCode::F(1) => self.mode = Mode::Help,
            KeyCode::Enter | KeyCode::Right => self.open(),
            KeyCode::Esc if !self.page().search.is_empty() => self.page_mut().search.clear(),
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => self.back(),
            KeyCode::Tab | KeyCode::BackTab => self.other(),
            code => self.move_by(code),
        }
        // The tables stay as they are where another row is selected.
        self.changed |= !matches!(
            key.code,
            KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown | KeyCode::Home | KeyCode::End
        );
        self.settle();
    }

    fn letter(&mut self, letter: char) {
        match letter {
            'q' => self.ended = true,
            '?' | 'h' => self.mode = Mode::Help,
            '/' => {
                self.mode = Mode::Typing;
                self.page_mut().search.clear();
            }
            's' => {
                let page = self.page_mut();
                page.by = page.by.next(page.orders());
            }
            'r' if !self.page().orders().is_empty() => {
                let page = self.page_mut();
                page.reverse = !page.reverse;
            }
            'p' | ' ' => self.pause(),
            'e' => self.events(),
            'j' => self.move_by(KeyCode::Down),
            'k' => self.move_by(KeyCode::Up),
            'g' => self.move_by(KeyCode::Home),
            'G' => self.move_by(KeyCode::End),
            _ => {}
        }
    }

    fn control(&mut self, letter: char) {
        match letter {
            'f' => self.move_by(KeyCode::PageDown),
            'b' => self.move_by(KeyCode::PageUp),
            // What some terminals send for Backspace.
            'h' => self.back(),
            _ => {}
        }
    }

    /// A key while a search is typed.
    fn typed(&mut self, code: KeyCode, control: bool) {
        let search = &mut self.page_mut().search;
        match code {
            KeyCode::Esc => {
                search.clear();
                self.mode = Mode::Looking;
            }
            KeyCode::Enter => self.mode = Mode::Looking,
            KeyCode::Char('u') if control => search.clear(),
            KeyCode::Char('h') if control => _ = search.pop(),
            KeyCode::Char(letter) if !control => {
                let harmless = !super::super::escape::is_harmful(letter);
                if harmless && search.chars().count() < LONGEST {
                    search.push(letter);
                }
            }
            KeyCode::Backspace if search.is_empty() => self.mode = Mode::Looking,
            KeyCode::Backspace => _ = search.pop(),
            code @ (KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown) => self.move_by(code),
            _ => {}
        }
    }

    /// Moves the selection.
    fn move_by(&mut self, code: KeyCode) {
        let total: usize = self.grids.iter().map(|grid| grid.rows.len()).sum();
        let newest_last = self.grids.first().is_some_and(|grid| grid.newest_last);
        let page = usize::from(self.size.1).saturating_sub(9).max(1);
        let last = total.saturating_sub(1);
        let now = match (&self.page().selected, newest_last) {
            (Some(_), _) => self.page().at,
            (None, true) => last,
            (None, false) => 0,
        };
        let to = match code {
            KeyCode::Up => now.saturating_sub(1),
            KeyCode::Down => now.saturating_add(1),
            KeyCode::PageUp => now.saturating_sub(page),
            KeyCode::PageDown => now.saturating_add(page),
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => return,
        };
        let to = to.min(last);
        // At the end where the next ones come, or the worst ones stand, the place is meant and not the row.
        let end = if newest_last { last } else { 0 };
        let pinned = to == end && (newest_last || matches!(code, KeyCode::Home | KeyCode::End));
        let id = self.grids.iter().flat_map(|grid| &grid.rows).nth(to).map(|row| row.id.clone());
        let page = self.page_mut();
        (page.at, page.selected) = (to, if pinned { None } else { id });
    }

    /// Goes to what the selected row is of.
    fn open(&mut self) {
        let kind = match &self.page().kind {
            Kind::Workloads => self.chosen_workload().map(Kind::Workload),
            Kind::Edges | Kind::Workload(_) => self.subject().map(Kind::Events),
            Kind::Events(_) => None,
        };
        self.go(kind);
    }

    /// Goes to the events of the selected row.
    fn events(&mut self) {
        let kind = match &self.page().kind {
            Kind::Workloads => self.chosen_workload().map(Subject::Workload),
            Kind::Edges => self.subject(),
            // All of its events: those of a row come with Enter.
            Kind::Workload(workload) => Some(Subject::Workload(workload.clone())),
            Kind::Events(_) => None,
        };
        self.go(kind.map(Kind::Events));
    }

    fn go(&mut self, kind: Option<Kind>) {
        let Some(kind) = kind else { return };
        // From now on this row is meant, wherever it goes.
        let chosen = self.chosen().map(|(at, id)| (at, id.to_owned()));
        if let Some((at, id)) = chosen {
            let page = self.page_mut();
            (page.at, page.selected) = (at, Some(id));
        }
        self.pages += 1;
        self.deeper.push(Page::new(self.pages, kind));
    }

    fn back(&mut self) {
        self.deeper.pop();
    }

    /// Between workloads and edges.
    fn other(&mut self) {
        if !self.deeper.is_empty() {
            return;
        }
        let kind = match self.home.kind {
            Kind::Workloads => Kind::Edges,
            Kind::Edges | Kind::Workload(_) | Kind::Events(_) => Kind::Workloads,
        };
        let search = std::mem::take(&mut self.home.search);
        self.home = Page { search, ..Page::new(0, kind) };
    }

    fn pause(&mut self) {
        self.paused = !self.paused;
        if self.paused {
            self.deeper.iter_mut().for_each(|page| page.lines.stay());
            return;
        }
        self.finished.go_on();
        self.workloads.go_on();
        for page in &mut self.deeper {
            page.connections.go_on();
            page.lines.go_on();
        }
    }

    /// The selected row: its place among all of the page, and its id.
    pub(super) fn chosen(&self) -> Option<(usize, &str)> {
        let mut rows = self.grids.iter().flat_map(|grid| &grid.rows).enumerate();
        let row = match &self.page().selected {
            Some(id) => rows.find(|(_, row)| row.id == *id),
            None if self.grids.first().is_some_and(|grid| grid.newest_last) => rows.last(),
            None => rows.next(),
        };
        row.map(|(at, row)| (at, row.id.as_str()))
    }

    fn chosen_workload(&self) -> Option<Box<Placed>> {
        let (_, id) = self.chosen()?;
        let summaries = self.summaries().0.iter().map(|one| (&one.node_name, one.workload.as_ref()));
        let statuses = self.workloads.get().into_iter().flatten();
        let statuses = statuses.map(|one| (&one.node_name, one.workload.as_ref()));
        let mut all = summaries.chain(statuses);
        let (node, workload) = all.find(|(node, one)| identity::workload(node, *one) == id)?;
        Some(Box::new(Placed { node: node.clone(), workload: workload?.clone() }))
    }

    /// The selected edge or connection.
    fn subject(&self) -> Option<Subject> {
        let (_, id) = self.chosen()?;
        if let Some(connection) = self.page().connection(id) {
            return Some(Subject::Connection(Box::new(connection.clone())));
        }
        let edge = self.summaries().1.iter().find(|edge| identity::edge(edge) == id)?;
        Some(Subject::Edge(Box::new(edge.clone())))
    }
}
