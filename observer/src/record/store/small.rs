//! What belongs to events and is in no block: gaps, and what became known later. Each row counts, as blocks do.

use observer_proto::v1;
use prost::Message as _;
use redb::{ReadTransaction, ReadableTable as _, WriteTransaction};

use super::tables::{AMENDED, BLOCKS, COMPLETED, GAPS, RUNS};
use super::{Batch, Result, State, tables};
use crate::record::Kind;

/// What a row takes beside its value: its key, and its place in the page.
const BESIDE: u64 = 32;
/// So many runs are known: beyond, those of which nothing else is there are forgotten.
const MOST_RUNS: u64 = 1_000;

pub(super) const fn cost(value: &[u8]) -> u64 {
    value.len() as u64 + BESIDE
}

/// Puts the rows of a batch in.
pub(super) fn put(write: &WriteTransaction, state: &mut State, run: u32, batch: &Batch) -> Result<()> {
    for (after, gap) in &batch.gaps {
        put_gap(write, state, (run, *after), gap)?;
    }
    let mut amended = write.open_table(AMENDED)?;
    for (number, event) in &batch.amended {
        let before = amended.insert((run, *number), &event[..])?.map_or(0, |before| cost(before.value()));
        state.small = (state.small + cost(event)).saturating_sub(before);
    }
    let mut completed = write.open_table(COMPLETED)?;
    for (cgroup, until, workload) in &batch.completed {
        let before = completed.insert((run, *cgroup), (*until, &workload[..]))?;
        let before = before.map_or(0, |before| cost(before.value().1));
        state.small = (state.small + cost(workload)).saturating_sub(before);
    }
    Ok(())
}

/// Puts a gap in, behind those that are in the same place.
pub(super) fn put_gap(
    write: &WriteTransaction,
    state: &mut State,
    (run, after): (u32, u64),
    gap: &v1::Gap,
) -> Result<()> {
    let mut gaps = write.open_table(GAPS)?;
    let behind = gaps.range((run, after, 0)..=(run, after, u32::MAX))?.next_back();
    let place = behind.transpose()?.map_or(0, |(key, _)| key.value().2.saturating_add(1));
    let told = gap.encode_to_vec();
    gaps.insert((run, after, place), told.as_slice())?;
    state.small += cost(&told);
    Ok(())
}

/// What all rows take, when a file is opened.
pub(super) fn count(read: &ReadTransaction) -> Result<u64> {
    let mut all = 0;
    for row in read.open_table(GAPS)?.iter()? {
        all += cost(row?.1.value());
    }
    for row in read.open_table(AMENDED)?.iter()? {
        all += cost(row?.1.value());
    }
    for row in read.open_table(COMPLETED)?.iter()? {
        all += cost(row?.1.value().1);
    }
    Ok(all)
}

/// Lets the rows go that are of events of a run between two that are there: `first` and `last` are gone.
pub(super) fn forget_between(
    write: &WriteTransaction,
    state: &mut State,
    run: u32,
    [first, last]: [u64; 2],
) -> Result<()> {
    let mut freed = 0;
    // What is missing right before something that is there is told there.
    write.open_table(GAPS)?.retain_in((run, first, 0)..(run, last, 0), |_, gap| gone(&mut freed, gap))?;
    write.open_table(AMENDED)?.retain_in((run, first)..=(run, last), |_, event| gone(&mut freed, event))?;
    state.small = state.small.saturating_sub(freed);
    Ok(())
}

/// Lets all rows go that are before an event of a run, the first that is there.
pub(super) fn forget_before(
    write: &WriteTransaction,
    state: &mut State,
    (run, number): (u32, u64),
) -> Result<()> {
    let mut freed = 0;
    let first_gap = (run, number.saturating_sub(1), 0);
    write.open_table(GAPS)?.retain_in(..first_gap, |_, gap| gone(&mut freed, gap))?;
    write.open_table(AMENDED)?.retain_in(..(run, number), |_, event| gone(&mut freed, event))?;
    let mut completed = write.open_table(COMPLETED)?;
    completed.retain_in(..(run, 0), |_, (_, workload)| gone(&mut freed, workload))?;
    completed.retain_in((run, 0)..=(run, u64::MAX), |_, (until, workload)| {
        until >= number || gone(&mut freed, workload)
    })?;
    state.small = state.small.saturating_sub(freed);
    Ok(())
}

/// Where what became known of workloads takes more than it may, because something old is kept: lets that of former runs go,
/// then the older half of the newest one's, until it does not.
pub(super) fn bound(write: &WriteTransaction, state: &mut State, most: u64) -> Result<()> {
    while state.small > most {
        let mut completed = write.open_table(COMPLETED)?;
        let Some(newest) = completed.last()?.map(|(key, _)| key.value().0) else { break };
        let mut untils = Vec::new();
        for row in completed.range((newest, 0)..=(newest, u64::MAX))? {
            untils.push(row?.1.value().0);
        }
        let middle = untils.len() / 2;
        let (_, &mut middle, _) = untils.select_nth_unstable(middle);
        let mut freed = 0;
        completed.retain(|(run, _), (until, workload)| {
            (run == newest && until > middle) || gone(&mut freed, workload)
        })?;
        state.small = state.small.saturating_sub(freed);
    }
    Ok(())
}

/// Where there are too many runs, lets those go, with their rows, of which no block is there; the newest stays.
pub(super) fn bound_runs(write: &WriteTransaction, state: &mut State) -> Result<()> {
    let mut runs = write.open_table(RUNS)?;
    let Some(newest) = runs.last()?.map(|(number, _)| number.value()) else { return Ok(()) };
    if redb::ReadableTableMetadata::len(&runs)? <= MOST_RUNS {
        return Ok(());
    }
    let blocks = write.open_table(BLOCKS)?;
    let mut empty = Vec::new();
    for row in runs.range(..newest)? {
        let run = row?.0.value();
        let has = |kind| tables::blocks(&blocks, kind, (run, 0), (run, u64::MAX)).map(|mut all| all.next());
        if has(Kind::Events)?.is_none() && has(Kind::Windows)?.is_none() {
            empty.push(run);
        }
    }
    let (mut gaps, mut freed) = (write.open_table(GAPS)?, 0);
    let (mut amended, mut completed) = (write.open_table(AMENDED)?, write.open_table(COMPLETED)?);
    for run in empty {
        runs.remove(run)?;
        gaps.retain_in((run, 0, 0)..=(run, u64::MAX, u32::MAX), |_, gap| gone(&mut freed, gap))?;
        amended.retain_in((run, 0)..=(run, u64::MAX), |_, event| gone(&mut freed, event))?;
        completed.retain_in((run, 0)..=(run, u64::MAX), |_, (_, workload)| gone(&mut freed, workload))?;
    }
    state.small = state.small.saturating_sub(freed);
    Ok(())
}

/// A row goes: counts it, and says that it does not stay.
fn gone(freed: &mut u64, value: &[u8]) -> bool {
    *freed += cost(value);
    false
}
