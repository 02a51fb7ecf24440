//! Making room: what is oldest goes, but for what is kept for incidents.

use std::collections::BTreeMap;

use observer_proto::v1;
use prost::Message as _;
use redb::{ReadTransaction, ReadableTable as _, WriteTransaction};

use super::incidents::{self, Kept};
use super::tables::{self, At, BLOCKS, GAPS, Header, KEPT, RUNS, SLICES};
use super::{Limits, Result, State, forget, small};
use crate::event::WallTime;
use crate::record::Kind;
use crate::record::store::slices;

/// All of a kind.
const ALL: ((u32, u64), (u32, u64)) = ((0, 0), (u32::MAX, u64::MAX));

/// The age of all blocks is looked at so often; in between, that of the oldest ones.
const LOOK_NS: u64 = 60_000_000_000;
/// What is so much later than now was told by a clock that was wrong.
const FUTURE_NS: u64 = 3_600_000_000_000;

/// What is too old, and whether all blocks are looked at.
#[derive(Clone, Copy)]
struct Age {
    horizon: WallTime,
    latest: WallTime,
    all: bool,
}

/// Lets go what is too old, where the time is known, and what there is no room for.
pub(super) fn make_room(
    write: &WriteTransaction,
    state: &mut State,
    limits: &Limits,
    now: Option<WallTime>,
) -> Result<()> {
    let mut kept = incidents::kept(&write.open_table(KEPT)?)?;
    state.snapshots = kept.iter().map(|one| one.cost).sum();
    let age = now.map(|now| age(state, limits, now));
    loop {
        let quarter = limits.usable() / 4;
        let windows = evict(write, state, Kind::Windows, &kept, age, |state| state.costs[1] > quarter)?;
        let events = evict(write, state, Kind::Events, &kept, age, |state| state.used() > limits.usable())?;
        if !windows.is_empty() || !events.is_empty() {
            tidy(write, state, &events)?;
            small::bound(write, state, limits.usable() / 8)?;
        }
        let short = state.used() > limits.usable() || state.costs[1] > quarter;
        // What is kept may take half; beyond that, and where nothing else is left, the oldest is let go.
        if !short && kept_cost(write, &kept)? <= limits.usable() / 2 {
            return Ok(());
        }
        let Some(id) = incidents::let_go(write, &kept)? else { return Ok(()) };
        kept.iter_mut().filter(|one| one.id == id).for_each(|one| one.until = WallTime(0));
    }
}

fn age(state: &mut State, limits: &Limits, now: WallTime) -> Age {
    let all = now.0.abs_diff(state.looked_at.0) >= LOOK_NS;
    if all {
        state.looked_at = now;
    }
    let horizon = WallTime(now.0.saturating_sub(limits.age_ns));
    Age { horizon, latest: WallTime(now.0.saturating_add(FUTURE_NS)), all }
}

/// Lets the oldest blocks go while there are too many, and those that are too old; tells which.
fn evict(
    write: &WriteTransaction,
    state: &mut State,
    kind: Kind,
    kept: &[Kept],
    age: Option<Age>,
    is_full: impl Fn(&State) -> bool,
) -> Result<Vec<(At, Header)>> {
    let mut blocks = write.open_table(BLOCKS)?;
    let mut slices = write.open_table(SLICES)?;
    let mut gone: Vec<(At, Header)> = Vec::new();
    // Told by a clock that was wrong: these are too old once something later is.
    let mut wrong: Vec<(At, Header)> = Vec::new();
    for one in tables::blocks(&blocks, kind, ALL.0, ALL.1)? {
        let (at, header) = one?;
        let old = age.is_some_and(|age| header.until < age.horizon);
        if !old && !is_full(state) {
            let Some(age) = age.filter(|age| age.all) else { break };
            if header.since > age.latest {
                wrong.push((at, header));
            }
            continue;
        }
        let before = if old { std::mem::take(&mut wrong) } else { Vec::new() };
        for (at, header) in before.into_iter().chain([(at, header)]) {
            if !is_kept(kept, &header) {
                forget(&mut slices, state, at, &header)?;
                gone.push((at, header));
            }
        }
    }
    for (at, _) in &gone {
        blocks.remove(at.key())?;
    }
    Ok(gone)
}

fn is_kept(kept: &[Kept], header: &Header) -> bool {
    kept.iter().any(|one| one.since <= header.until && header.since <= one.until)
}

/// What blocks that are kept for incidents take.
fn kept_cost(write: &WriteTransaction, kept: &[Kept]) -> Result<u64> {
    let mut cost = 0;
    if kept.iter().all(|one| one.until.0 == 0) {
        return Ok(cost);
    }
    let blocks = write.open_table(BLOCKS)?;
    for kind in [Kind::Events, Kind::Windows] {
        for one in tables::blocks(&blocks, kind, ALL.0, ALL.1)? {
            let (_, header) = one?;
            if is_kept(kept, &header) {
                cost += slices::cost(header.bytes as usize);
            }
        }
    }
    Ok(cost)
}

/// Lets go what belongs to blocks that are gone.
fn tidy(write: &WriteTransaction, state: &mut State, gone: &[(At, Header)]) -> Result<()> {
    let blocks = write.open_table(BLOCKS)?;
    let first = |kind, from| tables::blocks(&blocks, kind, from, ALL.1)?.next().transpose();
    let (events, windows) = (first(Kind::Events, ALL.0)?, first(Kind::Windows, ALL.0)?);
    state.oldest = events.map(|(_, header)| header.since);
    if let Some((at, _)) = gone.iter().max_by_key(|(at, _)| *at) {
        let next = first(Kind::Events, (at.run, at.first))?;
        if state.complete.is_none_or(|(known, _)| known <= *at) || next.is_none() {
            state.complete = next.map(|(at, header)| (at, header.since));
        }
    }
    // Between two blocks that are there: from behind the first of them.
    let mut between = BTreeMap::new();
    for (at, header) in gone {
        let before = tables::blocks(&blocks, Kind::Events, (at.run, 0), (at.run, at.first))?.next_back();
        let before = before.transpose()?.map_or(0, |(_, before)| before.last);
        let last: &mut u64 = between.entry((at.run, before)).or_default();
        *last = header.last.max(*last);
    }
    for ((run, before), last) in between {
        small::forget_between(write, state, run, [before.saturating_add(1), last])?;
    }
    let newest = write.open_table(RUNS)?.last()?.map_or(0, |(number, _)| number.value());
    let (run, number) = events.map_or((newest, 0), |(at, _)| (at.run, at.first));
    small::forget_before(write, state, (run, number))?;
    let of_windows = windows.map_or(newest, |(at, _)| at.run);
    write.open_table(RUNS)?.retain_in(..run.min(of_windows), |_, _| false)?;
    drop(blocks);
    small::bound_runs(write, state)
}

/// What there is when a file is opened.
pub(super) fn count(read: &ReadTransaction) -> Result<State> {
    let blocks = read.open_table(BLOCKS)?;
    let newest_blob = read.open_table(SLICES)?.last()?.map_or(0, |(key, _)| key.value().0);
    let kept = incidents::kept(&read.open_table(KEPT)?)?;
    let snapshots = kept.iter().map(|one| one.cost).sum();
    let mut state = State { newest_blob, snapshots, small: small::count(read)?, ..State::default() };
    let mut before = None;
    for one in tables::blocks(&blocks, Kind::Events, ALL.0, ALL.1)? {
        let (at, header) = one?;
        state.costs[0] += slices::cost(header.bytes as usize);
        state.events += u64::from(header.count);
        state.oldest = Some(state.oldest.map_or(header.since, |oldest| oldest.min(header.since)));
        if let Some(before) = before.replace((at.run, header.last))
            && made_room(read, before, at)?
        {
            state.complete = Some((at, header.since));
        }
    }
    for one in tables::blocks(&blocks, Kind::Windows, ALL.0, ALL.1)? {
        state.costs[1] += slices::cost(one?.1.bytes as usize);
    }
    Ok(state)
}

/// Something between the end of a block and the next one is missing, and no gap says why.
fn made_room(read: &ReadTransaction, (run, last): (u32, u64), next: At) -> Result<bool> {
    let from = if run == next.run { last } else { 0 };
    let missing = next.first.saturating_sub(from).saturating_sub(1);
    if missing == 0 {
        return Ok(false);
    }
    let mut told: u64 = 0;
    for row in read.open_table(GAPS)?.range((next.run, from, 0)..(next.run, next.first, 0))? {
        let gap = v1::Gap::decode(row?.1.value()).unwrap_or_default();
        told = told.saturating_add(gap.count.unwrap_or(0));
    }
    Ok(told < missing)
}
