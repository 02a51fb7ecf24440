//! How the screen shows what something is: by colours, or without them by what every terminal has.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use super::super::color::Paint;

/// The style of the bars that say where one is and what keys do.
pub(super) const BAR: Style = Style::new().add_modifier(Modifier::REVERSED);

/// What the terminal can, and what is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theme {
    /// Colours are wanted.
    pub(crate) colours: bool,
    /// It shows more than the 95 characters of ASCII.
    pub(crate) unicode: bool,
}

impl Theme {
    /// A text's style.
    pub(super) const fn style(self, paint: Paint) -> Style {
        let style = Style::new();
        match paint {
            Paint::Dim => style.add_modifier(Modifier::DIM),
            Paint::Failure if self.colours => style.fg(Color::Red),
            Paint::Warning if self.colours => style.fg(Color::Yellow),
            Paint::Good if self.colours => style.fg(Color::Green),
            Paint::Failure | Paint::Bold => style.add_modifier(Modifier::BOLD),
            Paint::Warning | Paint::Good | Paint::Plain => style,
        }
    }

    /// The style of a table's heading.
    pub(super) const fn heading(self) -> Style {
        self.style(Paint::Bold)
    }

    /// Where the terminal shows ASCII alone, spells the rest with it.
    pub(super) fn settle(self, buffer: &mut Buffer) {
        if self.unicode {
            return;
        }
        for cell in &mut buffer.content {
            let plain = match cell.symbol() {
                symbol if symbol.is_ascii() => continue,
                "µ" => "u",
                "…" => "~",
                "×" => "x",
                "─" => "-",
                _ => "?",
            };
            cell.set_symbol(plain);
        }
    }
}
