//! The series of all metrics that have the same labels.

use foldhash::{HashMap, HashMapExt as _};

use super::marks::Marks;
use super::part::Part;
use super::{Adding, Generations};
use crate::event::{BootTime, Live, LiveEdge, LiveWorkload, Now, WallTime, Workload, WorkloadEntry};
use crate::export::metrics::labels::{Label, OtherSide, put_key};
use crate::export::metrics::series::Figures;
use crate::export::metrics::subject::{Exemplar, Subject};
use crate::export::metrics::table::Metric;
use crate::export::metrics::totals::{Generation, Listed};

/// What is connected is seen to be there so seldom while nothing of it changes, in windows.
const SEEN_EACH: Generation = 10;

/// Subjects by the values of the labels.
#[derive(Debug)]
pub(super) struct Group {
    labels: Vec<Label>,
    metrics: Vec<&'static Metric>,
    subjects: HashMap<Box<str>, Subject>,
    /// What found no room.
    overflow: Option<Box<Subject>>,
    marks: Marks,
    /// Of who is looked up.
    key: String,
}

/// Whose a figure is.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) workload: &'a Workload,
    pub(super) other: Option<OtherSide<'a>>,
}

impl Group {
    pub(super) fn new(labels: Vec<Label>, metric: &'static Metric) -> Self {
        Self {
            labels,
            metrics: vec![metric],
            subjects: HashMap::new(),
            overflow: None,
            marks: Marks::default(),
            key: String::new(),
        }
    }

    pub(super) fn add(&mut self, metric: &'static Metric) {
        self.metrics.push(metric);
    }

    pub(super) fn labels(&self) -> &[Label] {
        &self.labels
    }

    pub(super) fn has(&self, metric: &Metric) -> bool {
        self.metrics.iter().any(|one| one.name == metric.name)
    }

    /// Its labels tell edges apart.
    pub(super) fn is_of_edges(&self) -> bool {
        self.labels.iter().any(|label| label.is_of_edge())
    }

    /// Each subject with its key, and whether it is the overflow.
    pub(super) fn subjects(&self) -> impl Iterator<Item = (&str, bool, &Subject)> {
        let own = self.subjects.iter().map(|(key, subject)| (&**key, false, subject));
        own.chain(self.overflow.iter().map(|subject| ("", true, &**subject)))
    }

    /// Adds figures to whose they are or, where there is no room for the series that this would make, to the overflow.
    pub(super) fn take(&mut self, whose: Whose<'_>, part: Part<'_>, adding: &mut Adding<'_>) {
        if !part.tells() || !self.metrics.iter().any(|metric| part.is_for(&metric.figure)) {
            return;
        }
        put_key(&mut self.key, &self.labels, whose.workload, whose.other);
        let metrics = &self.metrics;
        let near = adding.figures.series + part.most_series() > adding.most;
        let fits = if let Some(subject) = self.subjects.get_mut(self.key.as_str()) {
            let fits = !near || {
                let series = subject.series_with(part, metrics, adding);
                adding.has_room(subject.series, series)
            };
            if fits {
                subject.take(part, adding);
                adding.settle(subject, metrics);
            }
            subject.seen = adding.seen;
            fits
        } else {
            let mut subject = Subject { start: adding.start, ..Subject::default() };
            subject.take(part, adding);
            let fits = !near || adding.has_room(0, subject.count(metrics, adding.generations));
            if fits {
                adding.settle(&mut subject, metrics);
                self.subjects.insert(self.key.as_str().into(), subject);
            }
            fits
        };
        if !fits {
            adding.figures.overflows += 1;
            let new = || Box::new(Subject { start: adding.start, ..Subject::default() });
            let overflow = self.overflow.get_or_insert_with(new);
            match part {
                // Its ports have no bound.
                Part::Listener(_, listener) => {
                    overflow.seen = adding.seen;
                    overflow.listen_together(listener, adding.start, adding.generations.window);
                }
                Part::Tcp(_) | Part::Processes(_) | Part::Live(..) | Part::Listed(_) => {
                    overflow.take(part, adding);
                }
            }
        }
    }

    /// Takes what is connected; where that is as it was, it is only seen to be there.
    pub(super) fn take_live(&mut self, live: &Live, is_new: bool, adding: &mut Adding<'_>) {
        if !is_new && !adding.generations.window.is_multiple_of(SEEN_EACH) {
            return;
        }
        let Live { workloads, edges } = live;
        if self.is_of_edges() {
            for one in edges {
                let LiveEdge { workload, live, stalled, .. } = one;
                let whose = Whose { workload, other: Some(OtherSide::of_live(one)) };
                self.take_one_live(whose, Part::Live(*live, stalled), is_new, adding);
            }
        } else {
            for LiveWorkload { workload, live, stalled } in workloads {
                let whose = Whose { workload, other: None };
                self.take_one_live(whose, Part::Live(*live, stalled), is_new, adding);
            }
        }
    }

    fn take_one_live(&mut self, whose: Whose<'_>, part: Part<'_>, is_new: bool, adding: &mut Adding<'_>) {
        if is_new {
            self.take(whose, part, adding);
        } else {
            self.see(whose, adding.seen);
        }
    }

    /// It is there.
    fn see(&mut self, whose: Whose<'_>, seen: BootTime) {
        put_key(&mut self.key, &self.labels, whose.workload, whose.other);
        if let Some(subject) = self.subjects.get_mut(self.key.as_str()) {
            subject.seen = seen;
        }
    }

    /// Takes the list of workloads in.
    pub(super) fn list(&mut self, workloads: &[WorkloadEntry], adding: &mut Adding<'_>) {
        if self.is_of_edges() {
            return;
        }
        for subject in self.subjects.values_mut().chain(self.overflow.as_deref_mut()) {
            subject.listed = subject.listed.map(|_| Listed::default());
        }
        for entry in workloads {
            let whose = Whose { workload: &entry.workload, other: None };
            let restarts = entry.workload.restart_count.unwrap_or(0).max(entry.restarts_seen);
            let listed = Listed { restarts: u64::from(restarts), crash_loops: u64::from(entry.crash_loop) };
            self.take(whose, Part::Listed(listed), adding);
            self.see(whose, adding.seen);
        }
    }

    /// Ends the series of what was not seen for so long; whether there were any.
    pub(super) fn end(
        &mut self,
        now: Now,
        gone_after_ns: u64,
        generations: Generations,
        figures: &mut Figures,
    ) -> bool {
        let gone = BootTime(now.boot.0.saturating_sub(gone_after_ns));
        let before = self.subjects.len();
        let metrics = &self.metrics;
        self.subjects.retain(|_, subject| {
            let stays = subject.seen >= gone;
            if !stays {
                figures.series -= subject.series;
            } else if subject.forget_listeners(gone) {
                figures.series -= subject.series;
                subject.series = subject.count(metrics, generations);
                figures.series += subject.series;
            }
            stays
        });
        let since = WallTime(now.wall.0.saturating_sub(gone_after_ns));
        self.marks.forget(since, &self.labels, self.subjects.keys().map(|key| &**key));
        if self.subjects.capacity() > 1024 && self.subjects.len() < self.subjects.capacity() / 8 {
            self.subjects.shrink_to_fit();
        }
        self.subjects.len() < before
    }

    /// An incident is about this workload.
    pub(super) fn concern(&mut self, workload: &Workload, kind: i32, exemplar: &Exemplar) {
        self.marks.put(&self.labels, workload, kind, exemplar);
    }

    /// The incident behind a metric of a subject.
    pub(super) fn exemplar(&self, key: &str, metric: &Metric) -> Option<&Exemplar> {
        self.marks.of(&self.labels, key, metric)
    }
}

impl Adding<'_> {
    /// So many series may be in the place of so many.
    fn has_room(&self, before: usize, series: usize) -> bool {
        self.figures.series - before + series <= self.most
    }

    /// Counts a subject's series anew.
    fn settle(&mut self, subject: &mut Subject, metrics: &[&'static Metric]) {
        self.figures.series -= subject.series;
        subject.series = subject.count(metrics, self.generations);
        self.figures.series += subject.series;
    }
}
