//! Tables: aligned, one line a row, with columns that depend on the terminal's width alone.

use std::io;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row};

use super::chosen::Chosen;
use super::color::Paint;
use super::look::Look;

/// The space between two columns.
const GAP: u16 = 2;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// What stands above it.
    pub(crate) title: &'static str,
    /// Figures stand at its right side.
    pub(crate) figures: bool,
    /// How wide it usually is.
    pub(crate) width: u16,
    /// A terminal that is too narrow for all shows those of the lowest rank.
    pub(crate) rank: u8,
    /// It is left out where no row has anything in it.
    pub(crate) sparse: bool,
}

/// The node that a row is of: said of what several nodes tell.
pub(crate) const NODE: Column = sparse("NODE", 12, 0);

impl Column {
    /// Whether it is called so.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.title.eq_ignore_ascii_case(name)
    }
}

/// A column of figures.
pub(crate) const fn figures(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, figures: true, width, rank, sparse: false }
}

/// A column of text.
pub(crate) const fn text(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, figures: false, width, rank, sparse: false }
}

/// A column of text that is there only where a row has something to say in it.
pub(crate) const fn sparse(title: &'static str, width: u16, rank: u8) -> Column {
    Column { sparse: true, ..text(title, width, rank) }
}

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<(Paint, Vec<String>)>,
}

impl Table {
    /// A table of these columns.
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row: one cell for each column.
    pub(crate) fn row(&mut self, paint: Paint, cells: Vec<String>) {
        self.rows.push((paint, cells));
    }

    /// Writes it; nothing where it has no rows, or none of the columns that were chosen.
    pub(crate) fn write(&self, out: &mut dyn io::Write, look: &Look) -> io::Result<()> {
        if self.is_empty(look) {
            return Ok(());
        }
        let width = look.width.filter(|_| !look.is_wide());
        let shown = self.chosen(look).unwrap_or_else(|| self.shown(width));
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING).set_truncation_indicator("…");
        table.set_header(Self::line(&shown, &|at| self.columns[at].title.to_owned()));
        for (_, cells) in &self.rows {
            table.add_row(Self::line(&shown, &|at| cells.get(at).cloned().unwrap_or_default()));
        }
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        } else {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        for (column, &at) in table.column_iter_mut().zip(&shown) {
            column.set_padding((0, GAP));
            if self.columns[at].figures {
                column.set_cell_alignment(CellAlignment::Right);
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let paints = [Paint::Bold].into_iter().chain(self.rows.iter().map(|(paint, _)| *paint));
        for (line, paint) in table.lines().zip(paints) {
            writeln!(out, "{}", look.painter.paint(paint, line.trim_end()))?;
        }
        Ok(())
    }

    /// Nothing of it would be written.
    pub(crate) fn is_empty(&self, look: &Look) -> bool {
        self.rows.is_empty() || self.chosen(look).is_some_and(|chosen| chosen.is_empty())
    }

    /// The columns that were chosen, in that order; `None` where nothing was.
    fn chosen(&self, look: &Look) -> Option<Vec<usize>> {
        let Chosen::Columns(names) = &look.chosen else { return None };
        Some(names.iter().filter_map(|name| self.columns.iter().position(|column| column.is(name))).collect())
    }

    /// The columns that fit, by rank; which ones depends on nothing in the rows, but for those that say nothing in any.
    fn shown(&self, width: Option<u16>) -> Vec<usize> {
        let says =
            |at: usize| self.rows.iter().any(|(_, cells)| cells.get(at).is_some_and(|cell| !cell.is_empty()));
        let mut order: Vec<usize> =
            (0..self.columns.len()).filter(|&at| !self.columns[at].sparse || says(at)).collect();
        let Some(width) = width else { return order };
        order.sort_by_key(|&at| self.columns[at].rank);
        let mut used = 0;
        order.retain(|&at| {
            let column = self.columns[at];
            used += column.width + GAP;
            column.rank == 0 || used <= width
        });
        order.sort_unstable();
        order
    }

    fn line(shown: &[usize], cell: &dyn Fn(usize) -> String) -> Row {
        let mut row: Row = shown.iter().map(|&at| cell(at)).collect::<Vec<_>>().into();
        row.max_height(1);
        row
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn render(width: Option<u16>) -> String {
        let mut table = Table::new([text("NAME", 10, 0), figures("FAILED", 6, 1), figures("P99", 5, 2)]);
        table.row(Paint::Plain, ["shop/a", "0", "1.2ms"].map(str::to_owned).to_vec());
        table.row(Paint::Failure, ["shop/a-much-longer-name", "12", "80µs"].map(str::to_owned).to_vec());
        let mut out = Vec::new();
        let look = Look { width, ..testing::look() };
        table.write(&mut out, &look).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pipe_gets_everything() {
        let expected = "\
NAME                     FAILED    P99
shop/a                        0  1.2ms
shop/a-much-longer-name      12   80µs
";
        assert_eq!(render(None), expected);
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns_and_short_names() {
        let shown = render(Some(26));
        assert!(shown.starts_with("NAME"), "{shown}");
        assert_eq!(shown.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), ["NAME", "FAILED"]);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 26), "{shown}");
        assert!(shown.contains('…'), "{shown}");
    }

    #[test]
    fn columns_that_were_chosen_stand_in_their_order() {
        let mut table = Table::new([text("NAME", 10, 0), figures("FAILED", 6, 1), figures("P99", 5, 2)]);
        table.row(Paint::Plain, ["shop/a", "0", "1.2ms"].map(str::to_owned).to_vec());
        let shown = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let look = Look { chosen: Chosen::Columns(names), width: Some(20), ..testing::look() };
            let mut out = Vec::new();
            table.write(&mut out, &look).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(&["p99", "elsewhere", "Name"]), "  P99  NAME\n1.2ms  shop/a\n");
        assert_eq!(shown(&["elsewhere"]), "");
    }

    #[test]
    fn a_sparse_column_is_there_where_a_row_says_something_in_it() {
        let shown = |nodes: [&str; 2]| {
            let mut table = Table::new([text("NAME", 10, 0), NODE, figures("FAILED", 6, 1)]);
            for node in nodes {
                table.row(Paint::Plain, ["host", node, "0"].map(str::to_owned).to_vec());
            }
            let mut out = Vec::new();
            table.write(&mut out, &testing::look()).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(["", ""]), "NAME  FAILED\nhost       0\nhost       0\n");
        let expected = "NAME  NODE    FAILED\nhost               0\nhost  node-b       0\n";
        assert_eq!(shown(["", "node-b"]), expected);
    }

    #[test]
    fn a_table_without_rows_is_not_shown() {
        let mut out = Vec::new();
        Table::new([text("NAME", 10, 0)]).write(&mut out, &testing::look()).unwrap();
        assert!(out.is_empty());
    }
}
