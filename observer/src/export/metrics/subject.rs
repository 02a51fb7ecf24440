//! What one set of labels is about, and what is told of it.

use std::collections::BTreeMap;

use super::table::{Figure, Metric, Out};
use super::totals::{Generation, Listed, ListenerTotals, LiveTcp, NewestTcp, ProcessTotals, TcpTotals};
use crate::event::{BootTime, ListenerSummary, WallTime};

/// A set of labels, and all figures of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    /// When its series began.
    pub(crate) start: WallTime,
    /// When it was last told of, or seen to be there.
    pub(crate) seen: BootTime,
    pub(crate) tcp: Option<Box<TcpTotals>>,
    pub(crate) processes: Option<Box<ProcessTotals>>,
    /// By their ports; what found no room at `NO_PORT`.
    pub(crate) listeners: BTreeMap<u16, ListenerTotals>,
    pub(crate) listed: Option<Listed>,
    /// How many series it had when these were counted last.
    pub(crate) series: usize,
}

/// So many listeners of a subject are told apart.
const LISTENERS: usize = 64;
/// Those beyond are told together, as those of overflows are.
const NO_PORT: u16 = 0;

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
    /// How many series it has of these metrics.
    pub(crate) fn count<'m>(
        &self,
        metrics: impl IntoIterator<Item = &'m &'static Metric>,
        now: Generations,
    ) -> usize {
        let mut series = 0;
        let mut count = |_: &[&str], _: super::table::Value<'_>, _: Option<WallTime>| series += 1;
        for metric in metrics {
            self.at(now).tell(metric, &mut Out::to(&mut count));
        }
        series
    }

    pub(crate) const fn at(&self, now: Generations) -> Seen<'_> {
        Seen { subject: self, now }
    }

    /// Adds what a window tells of a listener, which begins at `start` where it is new.
    pub(crate) fn listen(&mut self, port: u16, of: &ListenerSummary, start: WallTime, now: Generation) {
        let own = self.listeners.keys().filter(|port| **port != NO_PORT).count();
        let has_room = self.listeners.contains_key(&port) || own < LISTENERS;
        let port = if has_room { port } else { NO_PORT };
        let new = || ListenerTotals { start, ..ListenerTotals::default() };
        let listener = self.listeners.entry(port).or_insert_with(new);
        listener.seen = self.seen;
        listener.add(of, now);
    }

    /// The same where no listeners are told apart.
    pub(crate) fn listen_together(&mut self, of: &ListenerSummary, start: WallTime, now: Generation) {
        self.listen(NO_PORT, of, start, now);
    }

    /// Forgets listeners that were not told of since then; whether there were any.
    pub(crate) fn forget_listeners(&mut self, gone: BootTime) -> bool {
        let before = self.listeners.len();
        self.listeners.retain(|_, listener| listener.seen >= gone);
        self.listeners.len() < before
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

    /// Each listener: its port, of which many have none, what it dropped, and how many wait.
    pub(crate) fn listeners(&self, mut tell: impl FnMut(&str, &ListenerTotals, u64)) {
        for (port, listener) in &self.subject.listeners {
            let port = if *port == NO_PORT { String::new() } else { port.to_string() };
            tell(&port, listener, listener.waiting.at(self.now.window));
        }
    }
}
