//! Runs of the daemon: how each begins and ends, and what is missing between two.

use observer_proto::v1::{Gap, GapReason, RecordedRun};
use prost::Message as _;
use redb::{ReadableTable as _, WriteTransaction};

use super::tables::{self, BLOCKS, RUNS};
use super::{Batch, Result, Store, small};
use crate::event::WallTime;
use crate::record::Kind;
use crate::wire::timestamp;

/// How far a run is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Newest {
    /// The number of the last event.
    pub(crate) number: u64,
    /// The latest time.
    pub(crate) time: WallTime,
}

impl Store {
    /// How far a run is recorded; not at all where it is not known.
    pub(crate) fn newest(&self, start: WallTime) -> Result<Newest> {
        let Some(run) = self.runs()?.into_iter().rev().find(|run| run.start() == start) else {
            return Ok(Newest::default());
        };
        self.read(|read| {
            let blocks = read.open_table(BLOCKS)?;
            let (from, to) = ((run.number, 0), (run.number, u64::MAX));
            let last = tables::blocks(&blocks, Kind::Events, from, to)?.next_back();
            let newest = last.transpose()?.map(|(_, header)| (header.last, header.until));
            Ok(newest.map_or_else(Newest::default, |(number, time)| Newest { number, time }))
        })
    }

    /// Begins a run that is named by its start, and says what is missing since the one before. Gives its number; the number
    /// that it has where it began already.
    pub(crate) fn begin(&self, start: WallTime) -> Result<u32> {
        // After a pause nothing is written that is there: there may be no room for it.
        let newest = self.runs()?.pop();
        if let Some(run) = newest.filter(|run| run.start() == start) {
            return Ok(run.number);
        }
        self.write(|write, state| {
            let mut runs = write.open_table(RUNS)?;
            let last = runs.last()?.map(|(number, told)| (number.value(), decode(told.value())));
            let (number, before) = last.unwrap_or_default();
            let told = RecordedRun { start_time: Some(timestamp(start)), ..RecordedRun::default() };
            runs.insert(number + 1, told.encode_to_vec().as_slice())?;
            if number > 0 {
                let reason = if before.ended { GapReason::NotRunning } else { GapReason::Killed };
                let gap = Gap {
                    reason: reason.into(),
                    since: before.last_time.or(before.start_time),
                    until: Some(timestamp(start)),
                    start_time: Some(timestamp(start)),
                    ..Gap::default()
                };
                small::put_gap(write, state, (number + 1, 0), &gap)?;
            }
            Ok(number + 1)
        })
    }

    /// Begins a run that was recorded elsewhere, behind all others. Gives its number.
    pub(crate) fn adopt(&self, told: &RecordedRun) -> Result<u32> {
        self.write(|write, _| {
            let mut runs = write.open_table(RUNS)?;
            let number = runs.last()?.map_or(0, |(number, _)| number.value()) + 1;
            runs.insert(number, told.encode_to_vec().as_slice())?;
            Ok(number)
        })
    }
}

/// Something of a run was recorded.
pub(super) fn touch(write: &WriteTransaction, number: u32, batch: &Batch, now: WallTime) -> Result<()> {
    let mut runs = write.open_table(RUNS)?;
    let before = runs.get(number)?.map(|told| decode(told.value())).unwrap_or_default();
    let told = RecordedRun {
        last_sequence: before.last_sequence.max(batch.last_sequence),
        last_time: Some(timestamp(now)),
        ended: batch.ended,
        ..before
    };
    runs.insert(number, told.encode_to_vec().as_slice())?;
    Ok(())
}

fn decode(told: &[u8]) -> RecordedRun {
    RecordedRun::decode(told).unwrap_or_default()
}
