//! A table on the screen: the columns that fit, the rows around the selected one, names cut to their place.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_width::UnicodeWidthChar as _;
use unicode_width::UnicodeWidthStr as _;

use super::super::color::Paint;
use super::super::table::Column;
use super::theme::Theme;

/// The mark of a row's colour, and the space behind it.
const MARK: u16 = 2;

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// What tells it from others.
    pub(super) id: String,
    /// What it is, for its colour and mark.
    pub(super) paint: Paint,
    /// Its name in parts, of which each keeps its beginning where there is no room for all.
    pub(super) name: Vec<String>,
    /// The cells beside the name, one for each column but the first.
    pub(super) cells: Vec<String>,
    /// All that is to be told of it, below the tables.
    pub(super) detail: Vec<String>,
}

impl Row {
    /// Whether it has what is searched for, which is in small letters.
    pub(super) fn has(&self, searched: &str) -> bool {
        let texts = self.name.iter().chain(&self.detail);
        searched.is_empty() || texts.into_iter().any(|text| text.to_lowercase().contains(searched))
    }
}

/// A table.
#[derive(Debug, Default)]
pub(super) struct Grid {
    /// What stands above the names.
    pub(super) title: String,
    /// The columns; the first one is the name's, and gets what the others leave.
    pub(super) columns: Vec<Column>,
    /// The rows in their order, less those that were not searched for.
    pub(super) rows: Vec<Row>,
    /// What is said where there is no row.
    pub(super) empty: String,
    /// The newest is at the bottom.
    pub(super) newest_last: bool,
}

impl Grid {
    /// Draws its heading and its rows, with the selected one among them.
    pub(super) fn draw(&self, area: Rect, buffer: &mut Buffer, theme: Theme, selected: Option<usize>) {
        if area.is_empty() {
            return;
        }
        let widths = self.fit(area.width);
        let heading = self.heading(&widths);
        buffer.set_stringn(area.x, area.y, heading, area.width.into(), theme.heading());
        let room = usize::from(area.height - 1);
        if self.rows.is_empty() && room > 0 {
            let style = theme.style(Paint::Dim);
            for (y, line) in (area.y + 1..area.bottom()).zip(wrap(&self.empty, area.width.into())) {
                buffer.set_stringn(area.x, y, line, area.width.into(), style);
            }
        }
        let first = self.first_shown(room, selected);
        for (y, (at, row)) in (area.y + 1..area.bottom()).zip(self.rows.iter().enumerate().skip(first)) {
            let style = theme.style(row.paint);
            let chosen = selected == Some(at);
            let style = if chosen { style.add_modifier(Modifier::REVERSED) } else { style };
            let line = self.line(row, &widths, area.width);
            buffer.set_stringn(area.x, y, line, area.width.into(), style);
        }
    }

    /// The first row on the screen, so that the selected one is in the middle where there are more on both sides.
    fn first_shown(&self, room: usize, selected: Option<usize>) -> usize {
        let most = self.rows.len().saturating_sub(room);
        selected.map_or(0, |selected| selected.saturating_sub(room / 2).min(most))
    }

    /// The columns that are shown, by place, with their widths: which ones depends on nothing in the rows.
    fn fit(&self, width: u16) -> Vec<(usize, usize)> {
        let Some(name) = self.columns.first() else { return Vec::new() };
        let mut order: Vec<usize> = (1..self.columns.len()).collect();
        order.sort_by_key(|&at| self.columns[at].rank);
        let mut used = MARK + name.width;
        let fits = order.iter().take_while(|&&at| {
            let with = used + 1 + self.columns[at].width;
            used = if with <= width { with } else { used };
            with <= width
        });
        let fits = fits.count();
        order.truncate(fits);
        order.sort_unstable();
        let rest = name.width + width.saturating_sub(used);
        let rest = rest.min(width.saturating_sub(MARK));
        let others = order.into_iter().map(|at| (at, usize::from(self.columns[at].width)));
        [(0, usize::from(rest))].into_iter().chain(others).collect()
    }

    fn heading(&self, widths: &[(usize, usize)]) -> String {
        let mut line = " ".repeat(usize::from(MARK));
        for &(at, width) in widths {
            let title = if at == 0 { self.title.as_str() } else { self.columns[at].title };
            push(&mut line, &cut(title, width), width, self.columns[at].figures, at > 0);
        }
        line
    }

    fn line(&self, row: &Row, widths: &[(usize, usize)], whole: u16) -> String {
        let mark = match row.paint {
            Paint::Failure => "! ",
            Paint::Warning => "~ ",
            Paint::Plain | Paint::Good | Paint::Dim | Paint::Bold => "  ",
        };
        let mut line = mark.to_owned();
        for &(at, width) in widths {
            match row.cells.get(at.wrapping_sub(1)) {
                Some(cell) => push(&mut line, &cut(cell, width), width, self.columns[at].figures, true),
                None if at == 0 => push(&mut line, &cut_name(&row.name, width), width, false, false),
                None => push(&mut line, "", width, false, true),
            }
        }
        // To the edge of the screen, so that the selected row is one bar.
        line.push_str(&" ".repeat(usize::from(whole).saturating_sub(line.width())));
        line
    }
}

/// The columns that say something, and the rows with their cells alone.
pub(super) fn without_empty(columns: &[Column], mut rows: Vec<Row>) -> (Vec<Column>, Vec<Row>) {
    let mut columns = columns.to_vec();
    for at in (1..columns.len()).rev() {
        let says = |row: &Row| row.cells.get(at - 1).is_some_and(|cell| !cell.is_empty());
        if columns[at].sparse && !rows.iter().any(says) {
            columns.remove(at);
            rows.iter_mut().filter(|row| row.cells.len() >= at).for_each(|row| _ = row.cells.remove(at - 1));
        }
    }
    (columns, rows)
}

/// The style of a heading is the theme's; this is a text in its column.
fn push(line: &mut String, text: &str, width: usize, right: bool, gap: bool) {
    let space = " ".repeat(width.saturating_sub(text.width()));
    if gap {
        line.push(' ');
    }
    let (before, after) = if right { (space.as_str(), "") } else { ("", space.as_str()) };
    line.extend([before, text, after]);
}

/// A name in so many columns: where there is no room, parts that are longer than their share are cut.
pub(super) fn cut_name(parts: &[String], width: usize) -> String {
    let [first, second] = parts else { return cut_before_port(&parts.join(" "), width) };
    let (left, right) = (first.width(), second.width());
    if left + 1 + right <= width {
        return format!("{first} {second}");
    }
    let room = width.saturating_sub(1);
    // What the shorter one does not need is the longer one's.
    let second_gets = right.min((room / 2).max(room.saturating_sub(left)));
    let first_gets = room - second_gets;
    format!("{} {}", cut(first, first_gets), cut_before_port(second, second_gets))
}

/// The text in so many columns, with the port at its end left there.
fn cut_before_port(text: &str, width: usize) -> String {
    let port = text.rfind(':').map(|at| &text[at..]).unwrap_or_default();
    let is_port = (2..=6).contains(&port.len()) && port[1..].bytes().all(|c| c.is_ascii_digit());
    if !is_port || text.width() <= width || width < 2 * port.len() {
        return cut(text, width);
    }
    format!("{}{port}", cut(&text[..text.len() - port.len()], width - port.len()))
}

/// The text in so many columns; what is cut off is told by its last character.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        short.push(c);
    }
    if width > 0 {
        short.push('…');
    }
    short
}

/// The text in lines of so many columns, broken at blanks where that can be.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word;
        loop {
            let Some(line) = lines.last_mut() else { return lines };
            let blank = usize::from(!line.is_empty());
            if line.width() + blank + word.width() <= width {
                line.push_str(if blank > 0 { " " } else { "" });
                line.push_str(word);
                break;
            }
            if !line.is_empty() {
                lines.push(String::new());
                continue;
            }
            let end = fitting(word, width);
            if end == 0 {
                return lines;
            }
            line.push_str(&word[..end]);
            word = &word[end..];
            lines.push(String::new());
        }
    }
    lines
}

/// How many bytes of a word fit into so many columns.
fn fitting(word: &str, width: usize) -> usize {
    let mut used = 0;
    let fits = word.char_indices().take_while(|(_, c)| {
        used += c.width().unwrap_or(0);
        used <= width
    });
    fits.last().map_or(0, |(at, c)| at + c.len_utf8())
}

/// A line of text from edge to edge.
pub(super) fn bar(buffer: &mut Buffer, area: Rect, text: &str, style: Style) {
    if area.is_empty() {
        return;
    }
    let width = usize::from(area.width);
    let text = cut(text, width);
    let space = " ".repeat(width.saturating_sub(text.width()));
    buffer.set_stringn(area.x, area.y, format!("{text}{space}"), width, style);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_beginning_of_each_part() {
        let parts = ["shop/cart-7d9f/app".to_owned(), "-> shop/redis-0:6379".to_owned()];
        assert_eq!(cut_name(&parts, 39), "shop/cart-7d9f/app -> shop/redis-0:6379");
        assert_eq!(cut_name(&parts, 25), "shop/cart-7… -> sho…:6379");
        assert_eq!(cut_name(&["host".to_owned(), parts[1].clone()], 20), "host -> shop/r…:6379");
        assert_eq!(
            (cut("日本語", 5), cut("日本語", 6), cut("ab", 0)),
            ("日本…".into(), "日本語".into(), String::new())
        );
    }

    #[test]
    fn text_is_broken_at_blanks_and_else_anywhere() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("日本", 1), [""]);
        assert_eq!(wrap("", 0), [""]);
    }
}
