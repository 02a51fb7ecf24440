//! Compares two parts of a recording: which edges and workloads got better or worse, and whether that is more than their
//! own noise. Pure.
//!
//! The windows of each side are read twice: first for the sums and distributions of each edge and workload, then for what
//! each window has of them (a distribution's windows are counted against the quantiles of both sides together). Then it is
//! asked how often chance alone makes as large a difference, by dealing the windows anew (`chance`). docs/diff.md says what
//! that means for whoever reads it.

mod chance;
mod figures;
mod judge;
mod many;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;

use foldhash::HashSet;

use self::figures::{Cuts, Sums, Totals};
pub(crate) use self::figures::{Figure, Unit};
use self::judge::Tested;
pub(crate) use self::judge::{Change, Row, Verdict};
pub(crate) use self::names::{Key, Party, PartyKind, Peer};
use crate::event::Window;
use crate::filter::Filters;

/// Windows of a side that are told apart; where there are more, several that follow one another become one.
const MOST_WINDOWS: u64 = 120;
/// Edges and workloads that are compared; what is found after so many is left out and counted.
const MOST_KEYS: usize = 20_000;
/// What their windows may take, in bytes: those are left out that do least.
const MOST_BYTES: u64 = 64 << 20;
/// Of those that are left out so many are told apart.
const MOST_LEFT_OUT: usize = 100_000;

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// What is compared with.
    A,
    /// What is compared.
    B,
}

/// How much of a side there is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Extent {
    /// Windows.
    pub(crate) windows: u64,
    /// Their lengths added up.
    pub(crate) length_ns: u64,
    /// Events that are known to be lost in them.
    pub(crate) lost_events: u64,
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    /// Both sides.
    pub(crate) extents: [Extent; 2],
    /// All edges and workloads, what matters most first.
    pub(crate) rows: Vec<Row>,
    /// So many edges and workloads found no room.
    pub(crate) left_out: u64,
}

/// The first reading: what each edge and workload did on each side.
#[derive(Debug, Default)]
pub(crate) struct First {
    keys: BTreeMap<Key, [Totals; 2]>,
    extents: [Extent; 2],
    /// Those that found no room, by a hash of each.
    left_out: HashSet<u64>,
    hasher: foldhash::fast::FixedState,
}

/// The second reading: what each window has of it.
#[derive(Debug)]
pub(crate) struct Second {
    keys: BTreeMap<Key, Compared>,
    extents: [Extent; 2],
    left_out: u64,
    /// So many windows of each side are one.
    group: [u64; 2],
    /// So many were read.
    read: [u64; 2],
    /// How long each one is, in seconds.
    lengths: [Vec<f64>; 2],
}

/// An edge or a workload, while its windows are read.
#[derive(Debug)]
struct Compared {
    totals: [Totals; 2],
    cuts: Cuts,
    /// Those windows that have something of it, by their number.
    windows: [Vec<(usize, Sums)>; 2],
}

impl First {
    /// Takes the next window of a side, as far as it passes the filters.
    pub(crate) fn add(&mut self, side: Side, window: &Window, filters: &Filters) {
        let extent = &mut self.extents[side as usize];
        extent.windows += 1;
        extent.length_ns += window.length_ns;
        extent.lost_events += window.lost_events;
        let seen = filters.scope().window(window);
        for_each(&seen, filters, |key, part| {
            if self.keys.len() >= MOST_KEYS && !self.keys.contains_key(&key) {
                if self.left_out.len() < MOST_LEFT_OUT {
                    self.left_out.insert(self.hasher.hash_one(&key));
                }
            } else {
                self.keys.entry(key).or_default()[side as usize].add(part);
            }
        });
    }

    /// Goes on with the second reading, of the same windows.
    pub(crate) fn again(self) -> Second {
        let Self { mut keys, extents, left_out, hasher: _ } = self;
        let before = keys.len();
        fit(&mut keys);
        let left_out = (left_out.len() + before - keys.len()) as u64;
        let compared = |totals: [Totals; 2]| {
            let cuts = Cuts::of(&totals);
            Compared { totals, cuts, windows: [Vec::new(), Vec::new()] }
        };
        let group = extents.map(|extent| extent.windows.div_ceil(MOST_WINDOWS).max(1));
        Second {
            keys: keys.into_iter().map(|(key, totals)| (key, compared(totals))).collect(),
            extents,
            left_out,
            group,
            read: [0; 2],
            lengths: [Vec::new(), Vec::new()],
        }
    }
}

impl Second {
    /// Takes the next window of a side, as far as it passes the filters.
    pub(crate) fn add(&mut self, side: Side, window: &Window, filters: &Filters) {
        let side = side as usize;
        let place = (self.read[side] / self.group[side]) as usize;
        self.read[side] += 1;
        self.lengths[side].resize(place + 1, 0.0);
        self.lengths[side][place] += window.length_ns as f64 / 1e9;
        let seen = filters.scope().window(window);
        for_each(&seen, filters, |key, part| {
            let Some(compared) = self.keys.get_mut(&key) else { return };
            let sums = Sums::of(part, &compared.cuts);
            match compared.windows[side].last_mut() {
                Some((last, known)) if *last == place => known.add(&sums),
                _ => compared.windows[side].push((place, sums)),
            }
        });
    }

    /// The verdicts; fewer of them once it is not wanted any more.
    pub(crate) fn judge(self, wanted: &dyn Fn() -> bool) -> Comparison {
        let Self { keys, extents, left_out, lengths, .. } = self;
        let tested = keys.into_iter().take_while(|_| wanted()).map(|(key, compared)| {
            let Compared { totals, cuts: _, windows } = compared;
            Tested::new(key, totals, windows, &lengths)
        });
        let mut rows = many::verdicts(tested.collect(), &lengths, wanted);
        rows.sort_by(Row::order);
        Comparison { extents, rows, left_out }
    }
}

/// Takes those out that did least, until the windows of the others have room.
fn fit(keys: &mut BTreeMap<Key, [Totals; 2]>) {
    let of_window = std::mem::size_of::<(usize, Sums)>() as u64;
    // Each grows by doubling.
    let bytes = |totals: &[Totals; 2]| {
        totals.iter().map(|side| 2 * side.windows.min(MOST_WINDOWS) * of_window).sum::<u64>()
    };
    if keys.values().map(bytes).sum::<u64>() <= MOST_BYTES {
        return;
    }
    let most = |totals: &[Totals; 2]| totals.iter().map(Totals::much).max();
    let mut order: Vec<(Key, _, u64)> =
        keys.iter().map(|(key, totals)| (key.clone(), most(totals), bytes(totals))).collect();
    order.sort_by_key(|(_, most, _)| std::cmp::Reverse(*most));
    let mut left = MOST_BYTES;
    for (key, _, bytes) in order {
        match left.checked_sub(bytes) {
            Some(less) => left = less,
            None => drop(keys.remove(&key)),
        }
    }
}

/// What a window has of a workload or of an edge.
#[derive(Clone, Copy, Debug)]
struct PartOf<'a> {
    tcp: &'a crate::event::TcpSummary,
    processes: Option<&'a crate::event::ProcessSummary>,
}

/// Each edge and workload of a window that passes.
fn for_each(window: &Window, filters: &Filters, mut take: impl FnMut(Key, PartOf<'_>)) {
    for summary in window.workloads.values().filter(|summary| filters.summary(summary)) {
        let part = PartOf { tcp: &summary.tcp, processes: Some(&summary.processes) };
        take(Key::of_workload(&summary.workload), part);
    }
    for (edge, summary) in window.edges.iter().filter(|(edge, summary)| filters.edge(edge, summary)) {
        take(Key::of_edge(edge, summary), PartOf { tcp: &summary.tcp, processes: None });
    }
}
