//! The verdict on each edge and workload.

use std::cmp::Ordering;

use super::chance::{DEALS, Dealt};
use super::figures::{COUNT, Figure, Sums, Totals, Unit};
use super::names::Key;

/// A figure that differs by less than this part of itself is the same, be it noise or not.
const LEAST_CHANGE: f64 = 0.1;
/// Times that differ by less are the same: 50 µs.
const LEAST_NS: f64 = 50_000.0;
/// Shares that differ by less are the same: one in a thousand.
const LEAST_SHARE: f64 = 0.001;
/// With fewer windows on either side nothing can be told from chance.
const LEAST_WINDOWS: usize = 4;
/// With fewer cases on either side a figure says little.
const LEAST_CASES: u64 = 20;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// A figure that tells trouble is higher.
    Worse,
    /// It is not there any more.
    Gone,
    /// It was not there before.
    New,
    /// Such a figure is lower, and none is higher.
    Better,
    /// Only figures differ that say how much was asked.
    Changed,
    /// There is too little of it to tell.
    TooLittle,
    /// Nothing differs by more than noise.
    Same,
}

/// One figure on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) figure: Figure,
    /// On each side; `None` where there is nothing to make it of.
    pub(crate) values: [Option<f64>; 2],
    /// Worse, better or changed; or the same.
    pub(crate) verdict: Verdict,
    /// How often chance alone makes as large a difference; `None` where that was not asked.
    pub(crate) chance: Option<f64>,
}

/// What was found of one edge or workload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) verdict: Verdict,
    /// Those that there is something of on a side, the gravest first.
    pub(crate) changes: Vec<Change>,
    /// Attempts to connect on each side.
    pub(crate) attempts: [u64; 2],
    /// Windows of each side that have something of it.
    pub(crate) windows: [u64; 2],
}

impl Row {
    /// What matters most comes first.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let weight = |row: &Self| row.changes.iter().map(Change::weight).fold(0.0, f64::max);
        let most = |row: &Self| row.attempts[0].max(row.attempts[1]);
        self.verdict
            .cmp(&other.verdict)
            .then_with(|| weight(other).total_cmp(&weight(self)))
            .then_with(|| most(other).cmp(&most(self)))
            .then_with(|| self.key.cmp(&other.key))
    }
}

impl Change {
    /// The graver the figure and the larger the change, the more.
    fn weight(&self) -> f64 {
        if matches!(self.verdict, Verdict::Same) {
            return 0.0;
        }
        let [a, b] = self.values.map(|value| value.unwrap_or(0.0));
        let (least, most) = (a.min(b), a.max(b));
        let doublings = if least > 0.0 { (most / least).log2().min(10.0) } else { 10.0 };
        let gravity = (COUNT - self.figure as usize) as f64;
        gravity * 20.0 + doublings
    }
}

/// One edge or workload, of which these windows have something.
#[derive(Debug)]
pub(super) struct Tested {
    key: Key,
    totals: [Totals; 2],
    windows: [Vec<(usize, Sums)>; 2],
    changes: Vec<Change>,
    /// There are enough windows on both sides to tell anything.
    enough: bool,
}

impl Tested {
    /// Asks how often chance makes as large differences; the windows of each side are that long.
    pub(super) fn new(
        key: Key,
        totals: [Totals; 2],
        windows: [Vec<(usize, Sums)>; 2],
        lengths: &[Vec<f64>; 2],
    ) -> Self {
        let seconds = [0, 1].map(|side| lengths[side].iter().sum::<f64>());
        let enough = lengths.iter().all(|windows| windows.len() >= LEAST_WINDOWS);
        let changes = Figure::ALL
            .into_iter()
            .map(|figure| Change {
                figure,
                values: [0, 1].map(|side| totals[side].figure(figure, seconds[side])),
                verdict: Verdict::Same,
                chance: None,
            })
            .collect();
        let mut tested = Self { key, totals, windows, changes, enough };
        if tested.changes.iter().any(|change| tested.asks(change)) {
            tested.deal(DEALS, lengths);
        }
        tested
    }

    /// Deals so often.
    pub(super) fn deal(&mut self, deals: usize, lengths: &[Vec<f64>; 2]) {
        let all: Vec<Sums> =
            [0, 1].into_iter().flat_map(|side| whole(&self.windows[side], &lengths[side])).collect();
        let chances = Dealt::new(&all, lengths[0].len()).chances(deals);
        for (change, chance) in self.changes.iter_mut().zip(chances) {
            change.chance = chance;
        }
    }

    fn asks(&self, change: &Change) -> bool {
        self.enough && change.is_large() && has_cases(change.figure, &self.totals)
    }

    /// There is enough of it to find a difference.
    pub(super) fn may_differ(&self) -> bool {
        self.is_on_one_side()
            || (self.enough && Figure::ALL.into_iter().any(|figure| has_cases(figure, &self.totals)))
    }

    /// How often chance makes as large a difference as the largest one; `None` where there is none to ask about.
    pub(super) fn chance(&self, lengths: &[Vec<f64>; 2]) -> Option<f64> {
        if self.is_on_one_side() {
            return Some(self.one_sided(lengths));
        }
        self.dealt()
    }

    /// The same of what differs on both sides.
    pub(super) fn dealt(&self) -> Option<f64> {
        if self.is_on_one_side() {
            return None;
        }
        let asked = self.changes.iter().filter(|change| self.asks(change));
        asked.filter_map(|change| change.chance).min_by(f64::total_cmp)
    }

    fn is_on_one_side(&self) -> bool {
        (self.totals[0].windows > 0) != (self.totals[1].windows > 0)
    }

    fn one_sided(&self, lengths: &[Vec<f64>; 2]) -> f64 {
        let [there, other] = if self.totals[0].windows > 0 { [0, 1] } else { [1, 0] };
        // As they are dealt: several that follow one another may be one.
        all_on_one_side(self.windows[there].len(), lengths[there].len(), lengths[other].len())
    }

    /// The verdict, where what chance makes in no more than this share of cases is a difference.
    pub(super) fn row(self, level: f64, lengths: &[Vec<f64>; 2]) -> Row {
        let differs: Vec<bool> = self
            .changes
            .iter()
            .map(|change| self.asks(change) && change.chance.is_some_and(|chance| chance <= level))
            .collect();
        let one_sided = self.is_on_one_side().then(|| self.one_sided(lengths) <= level);
        let Self { key, totals, windows: _, mut changes, enough } = self;
        for (change, _) in changes.iter_mut().zip(differs).filter(|(_, differs)| *differs) {
            change.verdict = change.direction();
        }
        let verdict = match one_sided {
            Some(false) => Verdict::TooLittle,
            Some(true) if totals[0].windows > 0 => Verdict::Gone,
            Some(true) => Verdict::New,
            None => verdict(&changes, &totals, enough),
        };
        changes.retain(Change::says_something);
        Row {
            key,
            verdict,
            changes,
            attempts: [0, 1].map(|side| totals[side].attempts),
            windows: [0, 1].map(|side| totals[side].windows),
        }
    }
}

/// All windows of a side, those too that have nothing of it.
fn whole(some: &[(usize, Sums)], lengths: &[f64]) -> Vec<Sums> {
    let mut windows = vec![Sums::default(); lengths.len()];
    for (place, sums) in some {
        windows[*place].add(sums);
    }
    for (window, seconds) in windows.iter_mut().zip(lengths) {
        for figure in Figure::ALL {
            if matches!(figure.unit(), Unit::PerSecond | Unit::BytesPerSecond) {
                window.lower[figure as usize] = *seconds;
            }
        }
    }
    windows
}

fn verdict(changes: &[Change], totals: &[Totals; 2], enough: bool) -> Verdict {
    let has = |verdict| changes.iter().any(|change| change.verdict == verdict);
    let found = [Verdict::Worse, Verdict::Better, Verdict::Changed].into_iter().find(|verdict| has(*verdict));
    let little = || !enough || !Figure::ALL.into_iter().any(|figure| has_cases(figure, totals));
    found.unwrap_or_else(|| if little() { Verdict::TooLittle } else { Verdict::Same })
}

/// How often all windows that have something would be on that side if they were dealt by chance.
fn all_on_one_side(some: usize, windows: usize, others: usize) -> f64 {
    (0..some).map(|index| (windows - index) as f64 / (windows + others - index) as f64).product()
}

/// There is enough to make the figure of, on both sides together with one that has any.
fn has_cases(figure: Figure, totals: &[Totals; 2]) -> bool {
    let cases = [totals[0].cases(figure), totals[1].cases(figure)];
    match figure {
        // Nothing is needed beside the time that passed: that there are none is a figure, too.
        Figure::ContainerEnds => cases[0] + cases[1] > 0,
        Figure::Resets | Figure::Connects | Figure::Bytes => cases[0] + cases[1] >= LEAST_CASES,
        Figure::ConnectFailures
        | Figure::Retransmits
        | Figure::HandshakeP50
        | Figure::HandshakeP90
        | Figure::RttP50
        | Figure::RttP90
        | Figure::DurationP50 => cases.into_iter().all(|cases| cases >= LEAST_CASES),
    }
}

impl Change {
    /// It differs by so much that somebody may want to know.
    fn is_large(&self) -> bool {
        let [Some(a), Some(b)] = self.values else { return false };
        let least = match self.figure.unit() {
            Unit::Share => LEAST_SHARE,
            Unit::Nanoseconds => LEAST_NS,
            Unit::PerSecond | Unit::BytesPerSecond => 0.0,
        };
        let difference = (b - a).abs();
        difference > least && difference >= LEAST_CHANGE * a.max(b)
    }

    fn direction(&self) -> Verdict {
        let [a, b] = self.values.map(|value| value.unwrap_or(0.0));
        match (self.figure.tells_trouble(), b > a) {
            (false, _) => Verdict::Changed,
            (true, true) => Verdict::Worse,
            (true, false) => Verdict::Better,
        }
    }

    fn says_something(&self) -> bool {
        self.values.iter().any(|value| value.is_some_and(|value| value > 0.0))
    }
}
