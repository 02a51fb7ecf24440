//! The tables of a page, of what is known.

use super::super::label;
use super::grid::Grid;
use super::page::{Kind, own_edges};
use super::{Top, columns, grid, rows, view};

impl Top {
    /// The tables of the page that is shown.
    pub(super) fn tables(&self) -> Vec<Grid> {
        let page = self.page();
        let (summaries, edges) = self.summaries();
        let look = &self.setup.look;
        let mut grids = match &page.kind {
            Kind::Workloads => {
                let statuses = self.workloads.get().map_or(&[][..], Vec::as_slice);
                let idle = self.setup.selected.selects_idle();
                let known = rows::Known { summaries, edges, statuses, idle };
                vec![(rows::workloads(&known, page.by, look), &columns::WORKLOADS[..])]
            }
            Kind::Edges => vec![(rows::edges(edges.iter(), page.by, None), &columns::EDGES[..])],
            Kind::Workload(workload) => {
                let own = rows::edges(own_edges(edges, workload), page.by, Some(workload.as_ref()));
                let live = page.connections.get();
                let live = live.map(|response| rows::connections(response, workload)).unwrap_or_default();
                vec![(own, &columns::EDGES[..]), (live, &columns::LIVE[..])]
            }
            Kind::Events(subject) => {
                let owner = label::owner(subject.workload());
                vec![(rows::lines(page.lines.shown(), &owner), &columns::EVENTS[..])]
            }
        };
        let searched = page.search.to_lowercase();
        for (rows, _) in &mut grids {
            if page.reverse {
                rows.reverse();
            }
        }
        let grid = |(all, columns): (Vec<grid::Row>, &[_])| {
            let total = all.len();
            let (columns, all) = grid::without_empty(columns, all);
            let rows: Vec<grid::Row> = all.into_iter().filter(|row| row.has(&searched)).collect();
            let mut grid = Grid { columns, rows, ..Grid::default() };
            view::entitle(self, &mut grid, total);
            grid
        };
        grids.into_iter().map(grid).collect()
    }
}
