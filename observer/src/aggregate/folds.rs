//! What was only counted, in the figures of its workload and edge.

use super::Aggregator;
use crate::event::{Folded, FoldedFigures};

impl Aggregator {
    /// Adds it to the open window. What no owner is known of belongs to no summary.
    pub(crate) fn fold(&mut self, folded: &Folded) {
        let Folded { workload, figures, counts: _ } = folded;
        let Some(workload) = workload else { return };
        match figures {
            FoldedFigures::Tcp(of) => {
                let (tcp, sum) = &**of;
                let place = self.figures.place(workload, tcp);
                self.figures.tcp(place, |tcp| tcp.merge(sum));
                self.figures.opened_in_all(place, sum.opened);
            }
            FoldedFigures::Processes(sum) => {
                self.figures.processes(workload, |processes| processes.merge(sum));
            }
            FoldedFigures::None => {}
        }
    }
}
