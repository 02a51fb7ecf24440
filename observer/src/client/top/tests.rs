//! Screens as a terminal shows them: what is on each page, and what keys make of it.

mod fixture;
mod nodes;
mod pages;
mod robust;

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use expect_test::expect_file;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr as _;

use super::super::testing;
use super::*;

/// A view with a terminal of its own.
pub(super) struct Shown {
    pub(super) top: Top,
    terminal: Terminal<TestBackend>,
}

pub(super) fn setup() -> Setup {
    Setup {
        look: testing::look(),
        theme: Theme { colours: true, unicode: true },
        selected: Selected::default(),
        interval: Duration::from_secs(2),
    }
}

impl Shown {
    pub(super) fn new(setup: Setup, (columns, rows): (u16, u16)) -> Self {
        let terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        Self { top: Top::new(setup, (columns, rows)), terminal }
    }

    /// One that knows a window and the workloads.
    pub(super) fn of_shop(size: (u16, u16)) -> Self {
        let mut shown = Self::new(setup(), size);
        shown.tell(fixture::window(0));
        shown.tell([Message::Workloads(fixture::workloads())]);
        shown
    }

    pub(super) fn tell(&mut self, messages: impl IntoIterator<Item = Message>) {
        messages.into_iter().for_each(|message| self.top.update(message));
    }

    /// Presses keys: a letter each, or the named one.
    pub(super) fn press(&mut self, keys: &[KeyCode]) {
        for key in keys {
            self.top.update(Message::Key(KeyEvent::new(*key, KeyModifiers::NONE)));
        }
    }

    pub(super) fn type_in(&mut self, text: &str) {
        self.press(&text.chars().map(KeyCode::Char).collect::<Vec<_>>());
    }

    pub(super) fn buffer(&mut self) -> Buffer {
        self.top.settle();
        let top = &self.top;
        self.terminal.draw(|frame| view(top, frame)).unwrap();
        self.terminal.backend().buffer().clone()
    }

    /// The screen's lines, without blanks at their ends.
    pub(super) fn screen(&mut self) -> String {
        let buffer = self.buffer();
        let mut text = String::new();
        for row in buffer.content.chunks(usize::from(buffer.area.width)) {
            let mut line = String::new();
            let mut covered = 0;
            for cell in row {
                // A wide character stands in two cells.
                if covered == 0 {
                    line.push_str(cell.symbol());
                    covered = cell.symbol().width().saturating_sub(1);
                } else {
                    covered -= 1;
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// The line of the screen that is in reverse, but for the first and the last one.
    pub(super) fn chosen(&mut self) -> String {
        let buffer = self.buffer();
        let rows: Vec<_> = buffer.content.chunks(usize::from(buffer.area.width)).collect();
        let inner = &rows[1..rows.len() - 1];
        let mut reversed = inner.iter().filter(|row| row[0].modifier.contains(Modifier::REVERSED));
        let line =
            reversed.next().map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
        assert!(reversed.next().is_none(), "two rows are selected");
        line.unwrap_or_default().trim().to_owned()
    }
}

/// Goes to the edges and connections of the client, and has them told.
pub(super) fn client(size: (u16, u16)) -> Shown {
    let mut shown = Shown::of_shop(size);
    shown.type_in("/client");
    shown.press(&[KeyCode::Enter, KeyCode::Enter]);
    let (number, _) = shown.top.wants().connections.unwrap();
    shown.tell([Message::Connections(number, fixture::connections(0))]);
    shown
}

/// Goes on to the events of its first edge.
pub(super) fn events(size: (u16, u16)) -> Shown {
    let mut shown = client(size);
    shown.press(&[KeyCode::Down, KeyCode::Enter]);
    let (number, ..) = shown.top.wants().events.unwrap();
    shown.tell(fixture::lines(1..=30).map(|line| Message::Line(number, line)));
    shown
}

#[test]
fn workloads_worst_first() {
    expect_file!["screens/workloads-80x24.txt"].assert_eq(&Shown::of_shop((80, 24)).screen());
    expect_file!["screens/workloads-120x40.txt"].assert_eq(&Shown::of_shop((120, 40)).screen());
}

#[test]
fn edges_worst_first() {
    for (size, file) in [((80, 24), "screens/edges-80x24.txt"), ((120, 40), "screens/edges-120x40.txt")] {
        let mut shown = Shown::of_shop(size);
        shown.press(&[KeyCode::Tab]);
        expect_file![file].assert_eq(&shown.screen());
    }
}

#[test]
fn a_workload_has_edges_and_connections() {
    expect_file!["screens/workload-80x24.txt"].assert_eq(&client((80, 24)).screen());
    expect_file!["screens/workload-120x40.txt"].assert_eq(&client((120, 40)).screen());
}

#[test]
fn events_have_the_newest_at_the_bottom() {
    expect_file!["screens/events-80x24.txt"].assert_eq(&events((80, 24)).screen());
    expect_file!["screens/events-120x40.txt"].assert_eq(&events((120, 40)).screen());
}

#[test]
fn help_says_what_keys_do() {
    let mut shown = Shown::of_shop((80, 24));
    shown.press(&[KeyCode::Char('?')]);
    let help = shown.screen();
    expect_file!["screens/help-80x24.txt"].assert_eq(&help);
    shown.press(&[KeyCode::Char('x'), KeyCode::F(1)]);
    assert_eq!(shown.screen(), help);
    shown.press(&[KeyCode::Esc]);
    expect_file!["screens/workloads-80x24.txt"].assert_eq(&shown.screen());
}

#[test]
fn colours_tell_failures_apart_and_bold_does_without_them() {
    let styles = |theme| {
        let mut shown = Shown::new(Setup { theme, ..setup() }, (80, 24));
        shown.tell(fixture::window(0));
        let buffer = shown.buffer();
        let failed = (3..20).find(|y| buffer[(0, *y)].symbol() == "!").unwrap();
        (buffer[(0, failed)].fg, buffer[(0, failed)].modifier, buffer)
    };
    let (colour, modifier, _) = styles(Theme { colours: true, unicode: true });
    assert_eq!((colour, modifier), (Color::Red, Modifier::REVERSED));
    let (colour, modifier, buffer) = styles(Theme { colours: false, unicode: true });
    assert_eq!((colour, modifier), (Color::Reset, Modifier::BOLD | Modifier::REVERSED));
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}
