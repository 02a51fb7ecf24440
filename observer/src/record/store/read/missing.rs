//! What is missing in what is read: what had to make room, and what is damaged.

use observer_proto::v1;
use redb::{ReadTransaction, ReadableTable as _};

use super::super::Result;
use super::super::tables::{self, At, BLOCKS, Header, RUNS};
use super::{Place, Run, run_of};
use crate::record::Kind;
use crate::wire::timestamp;

/// What is told in the place of a block that is damaged.
pub(super) fn damaged(header: &Header, run: &Run) -> v1::Gap {
    v1::Gap {
        since: Some(timestamp(header.since)),
        until: Some(timestamp(header.until)),
        count: Some(header.count.into()),
        start_time: run.told.start_time,
        message: "what is recorded of it is damaged".to_owned(),
        ..v1::Gap::default()
    }
}

/// Something of the place's run had to make room, and none of its blocks that are left is behind that.
pub(super) fn lacks_end(read: &ReadTransaction, from: Place, block: Option<(At, Header)>) -> Result<bool> {
    if from.after == u64::MAX || block.is_some_and(|(at, _)| at.run == from.run) || is_newest(read, from.run)?
    {
        return Ok(false);
    }
    Ok(run_of(read, from.run)?.told.last_sequence > from.after)
}

pub(super) fn is_newest(read: &ReadTransaction, run: u32) -> Result<bool> {
    Ok(read.open_table(RUNS)?.last()?.is_none_or(|(last, _)| last.value() <= run))
}

/// What had to make room between a place and the event with the number `next`.
pub(super) fn hole(
    read: &ReadTransaction,
    from: Place,
    next: u64,
    gaps: &[(Place, v1::Gap)],
    block: Option<(At, Header)>,
) -> Result<Option<v1::Gap>> {
    let told: u64 =
        gaps.iter().filter(|(place, _)| place.after < next).filter_map(|(_, gap)| gap.count).sum();
    let count = next.saturating_sub(from.after).saturating_sub(1).saturating_sub(told);
    if count == 0 {
        return Ok(None);
    }
    let table = read.open_table(BLOCKS)?;
    let before =
        tables::blocks(&table, Kind::Events, (0, 0), (from.run, from.after))?.next_back().transpose()?;
    Ok(Some(v1::Gap {
        reason: v1::GapReason::MadeRoom.into(),
        since: before.map(|(_, header)| timestamp(header.until)),
        until: block.map(|(_, header)| timestamp(header.since)),
        count: Some(count),
        start_time: run_of(read, from.run)?.told.start_time,
        ..v1::Gap::default()
    }))
}
