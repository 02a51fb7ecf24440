//! The series: what windows told, added up by the labels that are asked for, with a limit on how many there are.

mod group;
mod marks;
mod part;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use observer_proto::v1;

use self::group::{Group, Whose};
use self::part::Part;
use super::labels::{Label, OtherSide};
use super::settings::Settings;
use super::subject::{Exemplar, Generations};
use super::table::{Figure, Metric, Out, Value, metrics};
use crate::event::{BootTime, Live, Now, WallTime, Window, WorkloadEntry};
use crate::filter::told_workload;
use crate::wire::wall_time;

/// All series of workloads and edges. Counters grow while their series is there; a series that ended and comes again begins
/// at 0, with another start.
#[derive(Debug)]
pub(crate) struct Series {
    groups: Vec<Group>,
    most: usize,
    gone_after_ns: u64,
    now: Generations,
    /// What was connected when that was taken in.
    live: Arc<Live>,
    /// Series ended, which may be of what is connected all the same, where the machine slept, say: that is taken anew.
    anew: bool,
    figures: Figures,
}

/// How the series do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Series that there are, without those of overflows.
    pub(crate) series: usize,
    /// At most.
    pub(crate) most: usize,
    /// Figures of a window that found no room for a series of their own.
    pub(crate) overflows: u64,
    /// Windows taken in.
    pub(crate) windows: u64,
    /// Events lost in these.
    pub(crate) lost_events: u64,
}

/// A figure of a series.
pub(crate) struct Point<'a> {
    /// The configured labels with their values; none of an overflow.
    pub(crate) labels: &'a [Label],
    pub(crate) key: &'a str,
    /// It is of all that found no room.
    pub(crate) overflow: bool,
    /// The values of the metric's own labels.
    pub(crate) by: &'a [&'a str],
    pub(crate) value: Value<'a>,
    pub(crate) start: WallTime,
    pub(crate) exemplar: Option<&'a Exemplar>,
}

impl Series {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for metric in metrics() {
            if matches!(metric.figure, Figure::Own(_)) {
                continue;
            }
            let labels = settings.labels(metric);
            match groups.iter_mut().find(|group| group.labels() == labels) {
                Some(group) => group.add(metric),
                None => groups.push(Group::new(labels, metric)),
            }
        }
        Self {
            groups,
            most: settings.max_series,
            gone_after_ns: settings.gone_after.as_nanos() as u64,
            now: Generations::default(),
            live: Arc::default(),
            figures: Figures { most: settings.max_series, ..Figures::default() },
            anew: false,
        }
    }

    /// Adds a window. `now` dates the series that begin with it.
    pub(crate) fn add(&mut self, window: &Window, now: Now) {
        let Window { start: _, length_ns: _, lost_events, workloads, edges, listeners, live } = window;
        self.figures.windows += 1;
        self.figures.lost_events += lost_events;
        self.now.window += 1;
        let is_new = !Arc::ptr_eq(live, &self.live) || self.now.live == 0 || self.anew;
        if is_new {
            self.now.live = self.now.window;
            self.live = Arc::clone(live);
            self.anew = false;
        }
        let mut adding = Adding {
            most: self.most,
            generations: self.now,
            seen: window.end(),
            start: now.wall_of(window.start),
            figures: &mut self.figures,
        };
        for group in &mut self.groups {
            if group.is_of_edges() {
                for (edge, summary) in edges {
                    let whose =
                        Whose { workload: &summary.workload, other: Some(OtherSide::of(edge, summary)) };
                    group.take(whose, Part::Tcp(&summary.tcp), &mut adding);
                }
            } else {
                for summary in workloads.values() {
                    let whose = Whose { workload: &summary.workload, other: None };
                    group.take(whose, Part::Tcp(&summary.tcp), &mut adding);
                    group.take(whose, Part::Processes(&summary.processes), &mut adding);
                }
                for ((_, port), listener) in listeners {
                    let whose = Whose { workload: &listener.workload, other: None };
                    group.take(whose, Part::Listener(*port, listener), &mut adding);
                }
            }
            group.take_live(live, is_new, &mut adding);
        }
    }

    /// Takes the list of workloads in: what is on it is there, and series of what has not been there for a while end.
    pub(crate) fn list(&mut self, workloads: &[WorkloadEntry], now: Now) {
        let mut adding = Adding {
            most: self.most,
            generations: self.now,
            seen: now.boot,
            start: now.wall,
            figures: &mut self.figures,
        };
        for group in &mut self.groups {
            group.list(workloads, &mut adding);
            self.anew |= group.end(now, self.gone_after_ns, self.now, adding.figures);
        }
    }

    /// An incident is so now: it becomes the exemplar of what it concerns.
    pub(crate) fn incident(&mut self, incident: &v1::Incident) {
        for firing in &incident.firings {
            let Some(told) = &firing.workload else { continue };
            let workload = told_workload(told);
            let exemplar = Exemplar {
                incident: incident.id.clone(),
                count: firing.count,
                time: firing.last_time.as_ref().map(wall_time).unwrap_or_default(),
            };
            for group in &mut self.groups {
                group.concern(&workload, firing.kind, &exemplar);
            }
        }
    }

    /// Tells each figure of a metric.
    pub(crate) fn each(&self, metric: &'static Metric, take: &mut dyn FnMut(&Point<'_>)) {
        let Some(group) = self.groups.iter().find(|group| group.has(metric)) else { return };
        for (key, overflow, subject) in group.subjects() {
            let exemplar = if overflow { None } else { group.exemplar(key, metric) };
            let mut put = |by: &[&str], value: Value<'_>, start: Option<WallTime>| {
                let labels = if overflow { &[] } else { group.labels() };
                let start = start.unwrap_or(subject.start);
                take(&Point { labels, key, overflow, by, value, start, exemplar });
            };
            subject.at(self.now).tell(metric, &mut Out::to(&mut put));
        }
    }

    pub(crate) const fn figures(&self) -> Figures {
        self.figures
    }
}

/// What all that is added at a time has in common.
struct Adding<'a> {
    most: usize,
    generations: Generations,
    /// What is told now was there then.
    seen: BootTime,
    /// Series that are new began then.
    start: WallTime,
    figures: &'a mut Figures,
}
