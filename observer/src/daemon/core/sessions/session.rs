//! One session: what it has seen, what it costs, and when it is over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc::OwnedPermit;

use super::Teller;
use crate::event::{BootTime, Event, EventType, FoldNotice, Workload, WorkloadId};
use crate::filter::Filters;
use crate::probe::Cost;
use crate::session::{EndReason, News, Part, SessionId, SessionState, Statistics};

/// What the programs take is looked at over so long.
const COST_WINDOW_NS: u64 = 5_000_000_000;
/// Less than that says nothing.
const COST_LEAST_NS: u64 = 1_000_000_000;
/// How often it is kept what it has seen, unless incidents close sooner.
const KEPT_EACH_NS: u64 = 10_000_000_000;
/// How often statistics are told.
const TOLD_EACH_NS: u64 = 2_000_000_000;

pub(super) struct Open {
    pub(super) id: SessionId,
    pub(super) filters: Filters,
    /// What it asked for.
    pub(super) parts: Vec<Part>,
    /// What of it can be seen.
    pub(super) bits: u32,
    pub(super) costly: bool,
    pub(super) start: BootTime,
    pub(super) until: BootTime,
    pub(super) max_cpu_share: f64,
    /// Whose it is.
    pub(super) client: String,
    news: Teller,
    /// The place of its last word, which finds room whatever waits.
    last_word: Option<OwnedPermit<News>>,
    chosen: BTreeMap<WorkloadId, Arc<Workload>>,
    /// Nothing was told of them yet.
    is_new: bool,
    events: BTreeMap<EventType, u64>,
    folded: u64,
    lost_before: u64,
    cost_before: Cost,
    /// What all of it had taken of late, the oldest first.
    costs: VecDeque<(BootTime, u64)>,
    told: BootTime,
    /// When what it has seen was kept last.
    kept: Option<BootTime>,
}

impl Open {
    #[allow(clippy::too_many_arguments, reason = "it is made in one place, of what a client asked for")]
    pub(super) fn new(
        id: SessionId,
        filters: Filters,
        (parts, bits, costly): (Vec<Part>, u32, bool),
        (start, until): (BootTime, BootTime),
        max_cpu_share: f64,
        client: String,
        (news, last_word): (Teller, OwnedPermit<News>),
        (cost_before, lost_before): (Cost, u64),
    ) -> Self {
        Self {
            id,
            filters,
            parts,
            bits,
            costly,
            start,
            until,
            max_cpu_share,
            client,
            news,
            last_word: Some(last_word),
            chosen: BTreeMap::new(),
            is_new: true,
            events: BTreeMap::new(),
            folded: 0,
            lost_before,
            cost_before,
            costs: VecDeque::from([(start, cost_before.ns)]),
            told: start,
            kept: None,
        }
    }

    /// Watches these from now on, so many at most; true if others were watched before.
    pub(super) fn choose(&mut self, mut chosen: Vec<Arc<Workload>>, most: usize) -> bool {
        chosen.sort_by_key(|workload| workload.id);
        chosen.truncate(most);
        let chosen: BTreeMap<_, _> = chosen.into_iter().map(|workload| (workload.id, workload)).collect();
        let same = chosen.keys().eq(self.chosen.keys());
        self.chosen = chosen;
        std::mem::take(&mut self.is_new) || !same
    }

    pub(super) fn workloads(&self) -> Vec<Arc<Workload>> {
        self.chosen.values().map(Arc::clone).collect()
    }

    /// What is to be watched for it.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (Arc<Workload>, u32)> {
        self.chosen.values().map(|workload| (Arc::clone(workload), self.bits))
    }

    fn watches(&self, workload: Option<&Arc<Workload>>) -> bool {
        workload.is_some_and(|workload| self.chosen.contains_key(&workload.id))
    }

    pub(super) fn note(&mut self, event: &Event) {
        if self.watches(event.workload.as_ref()) {
            *self.events.entry(event.event_type()).or_default() += 1;
        }
    }

    pub(super) fn note_folded(&mut self, notice: &FoldNotice) {
        if self.watches(notice.workload.as_ref()) {
            self.folded += notice.counts.iter().map(|(_, count)| count).sum::<u64>();
        }
    }

    /// Takes down what the programs have taken until now.
    pub(super) fn measure(&mut self, now: BootTime, cost: Cost) {
        self.costs.push_back((now, cost.ns));
        while self.costs.len() > 2 && now.since_ns(self.costs[1].0) >= COST_WINDOW_NS {
            self.costs.pop_front();
        }
    }

    /// The share of one processor that the programs took of late; `None` where that is not known yet.
    fn share(&self) -> Option<f64> {
        let ((since, before), (until, after)) = (*self.costs.front()?, *self.costs.back()?);
        let ns = until.since_ns(since);
        (ns >= COST_LEAST_NS).then(|| after.saturating_sub(before) as f64 / ns as f64)
    }

    pub(super) fn state(&self) -> SessionState {
        SessionState {
            id: self.id,
            start: self.start,
            end: self.until,
            workloads: self.chosen.len() as u32,
            events: self.events.values().sum(),
            cpu_share: self.share().unwrap_or(0.0),
            max_cpu_share: self.max_cpu_share,
        }
    }

    /// What it has seen is to be kept now: at its beginning, and from time to time, before an incident that nothing is
    /// added to for so long closes.
    pub(super) fn is_to_be_kept(&mut self, now: BootTime, closes_after_ns: u64) -> bool {
        let each_ns = KEPT_EACH_NS.min(closes_after_ns / 2);
        let is_due = self.kept.is_none_or(|kept| now.since_ns(kept) >= each_ns);
        if is_due {
            self.kept = Some(now);
        }
        is_due
    }

    /// What it has seen, in words.
    pub(super) fn words(&self, now: BootTime) -> String {
        let seconds = now.since_ns(self.start) / 1_000_000_000;
        let events: Vec<String> =
            self.events.iter().map(|(of, count)| format!("{count} {}", of.name())).collect();
        let events = if events.is_empty() { "nothing".to_owned() } else { events.join(", ") };
        let folded = if self.folded > 0 { format!(", {} only counted", self.folded) } else { String::new() };
        format!("a client watched closely for {seconds} s and saw {events}{folded}")
    }

    /// It is over, and why.
    pub(super) fn end(&self, now: BootTime) -> Option<EndReason> {
        let cost = self.share().filter(|share| *share > self.max_cpu_share);
        if self.news.is_closed() {
            Some(EndReason::ClientGone)
        } else if let Some(share) = cost {
            Some(EndReason::CostLimit { share, most: self.max_cpu_share })
        } else if now >= self.until {
            Some(EndReason::TimeLimit { after_ns: now.since_ns(self.start) })
        } else {
            None
        }
    }

    pub(super) fn statistics(&self, now: BootTime, cost: Cost, lost: u64) -> Statistics {
        let cost = cost.since(&self.cost_before);
        Statistics {
            elapsed_ns: now.since_ns(self.start),
            events: self.events.iter().map(|(of, count)| (*of, *count)).collect(),
            folded: self.folded,
            lost: lost.saturating_sub(self.lost_before),
            cpu_share: self.share().unwrap_or(0.0),
            cpu_time_ns: cost.ns,
            runs: cost.runs,
            other_runs: cost.others,
            measured_by_kernel: cost.is_measured(),
        }
    }

    pub(super) fn tell_statistics(&mut self, now: BootTime, cost: Cost, lost: u64) {
        if now.since_ns(self.told) >= TOLD_EACH_NS {
            self.told = now;
            self.tell(News::Statistics(Box::new(self.statistics(now, cost, lost))));
        }
    }

    /// Tells its stream. One that takes nothing is told the next time: figures are sums.
    pub(super) fn tell(&self, news: News) {
        if let Err(error) = self.news.try_send(news) {
            log::debug!("the stream of session {} is not told: {error}", self.id.0);
        }
    }

    /// Tells its stream that it is over.
    pub(super) fn tell_end(&mut self, reason: EndReason, statistics: Statistics) {
        if let Some(place) = self.last_word.take() {
            place.send(News::Ended(reason, Box::new(statistics)));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn open(news: &mpsc::Sender<News>) -> Open {
        Open::new(
            SessionId(1),
            Filters::default(),
            (vec![Part::Signals], 1, false),
            (BootTime(0), BootTime(60 * SECOND)),
            0.1,
            "somebody".to_owned(),
            (news.clone(), news.clone().try_reserve_owned().unwrap()),
            (Cost::default(), 0),
        )
    }

    #[test]
    fn a_stream_that_takes_nothing_is_told_the_end_all_the_same() {
        let (sender, mut receiver) = mpsc::channel(4);
        let mut open = open(&sender);
        for second in 1..10 {
            open.tell_statistics(BootTime(2 * second * SECOND), Cost::default(), 0);
        }
        let statistics = open.statistics(BootTime(20 * SECOND), Cost::default(), 0);
        open.tell_end(EndReason::ClientGone, statistics);
        drop((open, sender));
        let told: Vec<News> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
        assert_eq!(told.len(), 4);
        assert!(matches!(told.last(), Some(News::Ended(EndReason::ClientGone, _))));
    }

    #[test]
    fn what_it_has_seen_is_kept_before_its_incident_closes() {
        let (sender, _receiver) = mpsc::channel(4);
        let mut open = open(&sender);
        let mut kept = |after_ns: u64| {
            open.kept = None;
            let ticks = (0..120).filter(|tick| open.is_to_be_kept(BootTime(tick * SECOND / 4), after_ns));
            ticks.count()
        };
        assert_eq!(kept(SECOND), 60);
        assert_eq!(kept(60 * SECOND), 3);
    }
}
