//! What of a window is added to a subject at a time, and which series that makes.

use super::Adding;
use crate::event::{ListenerSummary, ProcessSummary, Stalled, TcpSummary};
use crate::export::metrics::subject::Subject;
use crate::export::metrics::table::{Figure, Metric};
use crate::export::metrics::totals::{self, Listed};

/// One part of a window makes at most so many series of a subject, beside those of what it tells apart.
const SERIES_OF_PART: usize = 64;

/// Some figures of a subject.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    Tcp(&'a TcpSummary),
    Processes(&'a ProcessSummary),
    Listener(u16, &'a ListenerSummary),
    Live(u64, &'a Stalled),
    Listed(Listed),
}

impl Part<'_> {
    /// It tells anything.
    pub(super) fn tells(self) -> bool {
        match self {
            Self::Tcp(tcp) => !totals::is_empty(tcp),
            Self::Processes(processes) => !totals::is_idle(processes),
            Self::Listener(..) | Self::Live(..) => true,
            Self::Listed(listed) => listed != Listed::default(),
        }
    }

    pub(super) const fn is_for(self, figure: &Figure) -> bool {
        match figure {
            Figure::Tcp(_) => matches!(self, Self::Tcp(_) | Self::Live(..)),
            Figure::Listening(_) => matches!(self, Self::Tcp(_) | Self::Listener(..)),
            Figure::Processes(_) => matches!(self, Self::Processes(_)),
            Figure::Listed(_) => matches!(self, Self::Listed(_)),
            Figure::Own(_) => false,
        }
    }

    /// It makes so many series at the most.
    pub(super) fn most_series(self) -> usize {
        let apart = match self {
            Self::Tcp(tcp) => tcp.failures.len() + tcp.retransmits.len(),
            Self::Processes(processes) => processes.exits.len(),
            Self::Listener(..) | Self::Live(..) | Self::Listed(_) => 0,
        };
        apart + SERIES_OF_PART
    }
}

impl Subject {
    pub(super) fn take(&mut self, part: Part<'_>, adding: &Adding<'_>) {
        self.seen = adding.seen;
        let now = adding.generations;
        match part {
            Part::Tcp(tcp) => self.tcp.get_or_insert_default().add(tcp, now.window),
            Part::Processes(processes) => self.processes.get_or_insert_default().add(processes),
            Part::Listener(port, listener) => {
                self.listen(port, listener, adding.start, now.window);
            }
            Part::Live(live, stalled) => {
                self.tcp.get_or_insert_default().add_live(live, stalled, now.live);
            }
            Part::Listed(Listed { restarts, crash_loops }) => {
                let sum = self.listed.get_or_insert_default();
                sum.restarts += restarts;
                sum.crash_loops += crash_loops;
            }
        }
    }
    /// How many series it would have with this part. It is tried on a copy of what the part changes, which has no buckets: these
    /// make no series, and are many.
    pub(super) fn series_with(
        &self,
        part: Part<'_>,
        metrics: &[&'static Metric],
        adding: &Adding<'_>,
    ) -> usize {
        let concerned = || metrics.iter().filter(|metric| part.is_for(&metric.figure));
        let mut tried = self.outline(part);
        let before = tried.count(concerned(), adding.generations);
        tried.take(part, adding);
        self.count(metrics, adding.generations) - before + tried.count(concerned(), adding.generations)
    }

    /// As much of it as decides which series a part makes.
    fn outline(&self, part: Part<'_>) -> Self {
        let mut outline = Self { start: self.start, seen: self.seen, ..Self::default() };
        match part {
            Part::Tcp(_) | Part::Live(..) => {
                outline.tcp = self.tcp.as_deref().map(|tcp| Box::new(tcp.outline()));
            }
            Part::Processes(_) => outline.processes.clone_from(&self.processes),
            Part::Listener(..) => outline.listeners.clone_from(&self.listeners),
            Part::Listed(_) => outline.listed = self.listed,
        }
        outline
    }
}
