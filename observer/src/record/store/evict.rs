//! Making room: what is oldest goes, but for what is kept for incidents.

use redb::{ReadableTable as _, WriteTransaction};

use super::incidents::{self, Kept};
use super::tables::{self, AMENDED, At, BLOCKS, COMPLETED, GAPS, Header, KEPT, RUNS, SLICES};
use super::{Limits, Result, State, forget};
use crate::event::WallTime;
use crate::record::Kind;
use crate::record::store::slices;

/// All of a kind.
const ALL: ((u32, u64), (u32, u64)) = ((0, 0), (u32::MAX, u64::MAX));

/// Lets go what is too old, and what there is no room for.
pub(super) fn make_room(
    write: &WriteTransaction,
    state: &mut State,
    limits: &Limits,
    now: WallTime,
) -> Result<()> {
    let horizon = WallTime(now.0.saturating_sub(limits.age_ns));
    let mut kept = incidents::kept(&write.open_table(KEPT)?)?;
    state.snapshots = kept.iter().map(|one| one.cost).sum();
    loop {
        let quarter = limits.usable() / 4;
        let windows = evict(write, state, Kind::Windows, &kept, |state, header| {
            header.until < horizon || state.costs[1] > quarter
        })?;
        let events = evict(write, state, Kind::Events, &kept, |state, header| {
            header.until < horizon || state.used() > limits.usable()
        })?;
        if windows || events {
            tidy(write, state)?;
        }
        let short = state.used() > limits.usable() || state.costs[1] > quarter;
        // What is kept may take half; beyond that, and where nothing else is left, the oldest is let go.
        if !short && kept_cost(write, &kept, state)? <= limits.usable() / 2 {
            return Ok(());
        }
        let Some(id) = incidents::let_go(write, &kept)? else { return Ok(()) };
        kept.iter_mut().filter(|one| one.id == id).for_each(|one| one.until = WallTime(0));
    }
}

/// Lets the oldest blocks go for which that is so; tells whether there were any.
fn evict(
    write: &WriteTransaction,
    state: &mut State,
    kind: Kind,
    kept: &[Kept],
    goes: impl Fn(&State, &Header) -> bool,
) -> Result<bool> {
    let mut blocks = write.open_table(BLOCKS)?;
    let mut slices = write.open_table(SLICES)?;
    let mut gone: Vec<At> = Vec::new();
    for one in tables::blocks(&blocks, kind, ALL.0, ALL.1)? {
        let (at, header) = one?;
        if !goes(state, &header) {
            break;
        }
        if !is_kept(kept, &header) {
            forget(&mut slices, state, at, &header)?;
            gone.push(at);
        }
    }
    for at in &gone {
        blocks.remove(at.key())?;
    }
    Ok(!gone.is_empty())
}

fn is_kept(kept: &[Kept], header: &Header) -> bool {
    kept.iter().any(|one| one.since <= header.until && header.since <= one.until)
}

/// What takes up room for incidents.
fn kept_cost(write: &WriteTransaction, kept: &[Kept], state: &State) -> Result<u64> {
    let mut cost = state.snapshots;
    if kept.iter().all(|one| one.until.0 == 0) {
        return Ok(0);
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
fn tidy(write: &WriteTransaction, state: &mut State) -> Result<()> {
    let blocks = write.open_table(BLOCKS)?;
    let first = |kind| tables::blocks(&blocks, kind, ALL.0, ALL.1)?.next().transpose();
    let (events, windows) = (first(Kind::Events)?, first(Kind::Windows)?);
    state.oldest = events.map(|(_, header)| header.since);
    let mut runs = write.open_table(RUNS)?;
    let newest = runs.last()?.map_or(0, |(number, _)| number.value());
    let (run, number) = events.map_or((newest, 0), |(at, _)| (at.run, at.first));
    write.open_table(GAPS)?.retain_in(..(run, number.saturating_sub(1), 0), |_, _| false)?;
    write.open_table(AMENDED)?.retain_in(..(run, number), |_, _| false)?;
    let mut completed = write.open_table(COMPLETED)?;
    completed.retain_in(..(run, 0), |_, _| false)?;
    completed.retain_in((run, 0)..=(run, u64::MAX), |_, (until, _)| until >= number)?;
    let of_windows = windows.map_or(newest, |(at, _)| at.run);
    runs.retain_in(..run.min(of_windows), |_, _| false)?;
    Ok(())
}

/// What there is when a file is opened.
pub(super) fn count(
    blocks: &impl redb::ReadableTable<tables::BlockKey, tables::HeaderValue>,
    kept: &[Kept],
    newest_blob: u64,
) -> Result<State> {
    let snapshots = kept.iter().map(|one| one.cost).sum();
    let mut state = State { newest_blob, snapshots, ..State::default() };
    for kind in [Kind::Events, Kind::Windows] {
        for one in tables::blocks(blocks, kind, ALL.0, ALL.1)? {
            let (_, header) = one?;
            *state.cost(kind) += slices::cost(header.bytes as usize);
            if kind == Kind::Events {
                state.events += u64::from(header.count);
                state.oldest = Some(state.oldest.map_or(header.since, |oldest| oldest.min(header.since)));
            }
        }
    }
    Ok(state)
}
