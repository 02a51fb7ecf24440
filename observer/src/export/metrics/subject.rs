//! What one set of labels is about, and what is told of it.

use std::collections::BTreeMap;

use super::table::{Figure, Metric, Out};
use super::totals::{Generation, Listed, ListenerTotals, LiveTcp, NewestTcp, ProcessTotals, TcpTotals};
use crate::event::{BootTime, WallTime};

/// A set of labels, and all figures of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    /// When its series began.
    pub(crate) start: WallTime,
    /// When it was last told of, or seen to be there.
    pub(crate) seen: BootTime,
    pub(crate) tcp: Option<Box<TcpTotals>>,
    pub(crate) processes: Option<Box<ProcessTotals>>,
    pub(crate) listeners: BTreeMap<u16, ListenerTotals>,
    pub(crate) listed: Option<Listed>,
    /// The newest incident that concerns it, by what fired.
    pub(crate) incidents: BTreeMap<i32, Exemplar>,
    /// How many series it has.
    pub(crate) series: usize,
}

/// An incident behind a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exemplar {
    pub(crate) incident: String,
    /// How often it fired.
    pub(crate) count: u64,
    pub(crate) time: WallTime,
}

/// The newest window, and the newest that told what is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generations {
    pub(crate) window: Generation,
    pub(crate) live: Generation,
}

/// A subject as it is now.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    subject: &'a Subject,
    now: Generations,
}

/// Its connections.
pub(crate) struct SeenTcp<'a> {
    pub(crate) totals: &'a TcpTotals,
    pub(crate) newest: NewestTcp,
    pub(crate) live: LiveTcp,
}

impl Subject {
    /// Counts the series that it has of these metrics.
    pub(crate) fn count(&mut self, metrics: &[&'static Metric], now: Generations) -> usize {
        let mut series = 0;
        let mut count = |_: &[&str], _: super::table::Value<'_>| series += 1;
        for metric in metrics {
            Seen { subject: self, now }.tell(metric, &mut Out::to(&mut count));
        }
        self.series = series;
        series
    }

    pub(crate) const fn at(&self, now: Generations) -> Seen<'_> {
        Seen { subject: self, now }
    }

    /// The newest incident among those that these triggers opened.
    pub(crate) fn exemplar(&self, metric: &Metric) -> Option<&Exemplar> {
        let of_metric = metric.exemplars.iter().filter_map(|kind| self.incidents.get(&i32::from(*kind)));
        of_metric.max_by_key(|exemplar| exemplar.time)
    }
}

impl<'a> Seen<'a> {
    /// Tells the figures of a metric.
    pub(crate) fn tell(&self, metric: &Metric, out: &mut Out<'_>) {
        match metric.figure {
            Figure::Tcp(tell) | Figure::Listening(tell) | Figure::Processes(tell) | Figure::Listed(tell) => {
                tell(self, out);
            }
            Figure::Own(_) => {}
        }
    }

    pub(crate) fn tcp(&self) -> Option<SeenTcp<'a>> {
        let totals = self.subject.tcp.as_deref()?;
        let (newest, live) = (totals.newest.at(self.now.window), totals.live.at(self.now.live));
        Some(SeenTcp { totals, newest, live })
    }

    pub(crate) fn processes(&self) -> Option<&'a ProcessTotals> {
        self.subject.processes.as_deref()
    }

    pub(crate) const fn listed(&self) -> Option<Listed> {
        self.subject.listed
    }

    /// Each listener: its port, what it dropped, and how many wait.
    pub(crate) fn listeners(&self, mut tell: impl FnMut(&str, &ListenerTotals, u64)) {
        for (port, listener) in &self.subject.listeners {
            tell(&port.to_string(), listener, listener.waiting.at(self.now.window));
        }
    }
}
