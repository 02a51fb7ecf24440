//! What the store hands out, as parts of a file, and back. Blocks from a file are looked through before they are taken in.

use std::io::{self, Write};

use observer_proto::v1::{ExportedAmendment, ExportedBlock, ExportedCompletion, ExportedExtras, ExportedGap};

use super::bounds::{self, Count};
use super::read::{Part, TOO_MANY};
use super::{Error, Kind, Writer};
use crate::event::WallTime;
use crate::record::block::{items, sequence};
use crate::record::{self, Block, Raw};
use crate::wire::{back, timestamp};

/// LZ4 makes no more bytes of one.
const MOST_PACKED: u64 = 255;
/// What belongs to blocks is written when there is so much of it, in bytes or in number.
const EXTRAS_BYTES: usize = 256 << 10;
pub(super) const EXTRAS_COUNT: usize = 4_096;

/// The most events of a block: one is full with fewer.
const MOST_EVENTS: u32 = 1 << 16;
/// The longest event, and the longest of what became known later.
const LONGEST_ITEM: usize = 256 << 10;

/// A file that what the store hands out is written to.
#[derive(Debug)]
pub(super) struct Taking<W> {
    pub(super) writer: Writer<W>,
    extras: ExportedExtras,
    extras_bytes: usize,
}

impl<W: Write> Taking<W> {
    pub(super) fn new(writer: Writer<W>) -> Self {
        Self { writer, extras: ExportedExtras::default(), extras_bytes: 0 }
    }

    pub(super) fn take(&mut self, raw: Raw) -> io::Result<()> {
        match raw {
            Raw::Run(run) => {
                self.settle()?;
                self.writer.message(Kind::Run, &run)?;
            }
            Raw::Block(block) => {
                let kind = match block.kind {
                    record::Kind::Events => Kind::Events,
                    record::Kind::Windows => Kind::Windows,
                };
                self.writer.count(kind, block.count);
                // Compressed already.
                self.writer.plain(kind, &told(block))?;
            }
            Raw::Gap(after, gap) => self.extras.gaps.push(ExportedGap { after, gap: Some(gap) }),
            Raw::Amended(sequence, event) => {
                self.extras_bytes += event.len();
                self.extras.amended.push(ExportedAmendment { sequence, event: event.to_vec() });
            }
            Raw::Completed(cgroup_id, until, workload) => {
                self.extras_bytes += workload.len();
                let workload = workload.to_vec();
                self.extras.completed.push(ExportedCompletion { cgroup_id, until, workload });
            }
        }
        let ExportedExtras { gaps, amended, completed } = &self.extras;
        let count = gaps.len() + amended.len() + completed.len();
        if count >= EXTRAS_COUNT || self.extras_bytes >= EXTRAS_BYTES { self.settle() } else { Ok(()) }
    }

    /// Writes what belongs to the blocks so far.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let extras = std::mem::take(&mut self.extras);
        self.extras_bytes = 0;
        if extras == ExportedExtras::default() {
            return Ok(());
        }
        self.writer.message(Kind::Extras, &extras)
    }
}

pub(super) fn told(block: Block) -> ExportedBlock {
    let Block { kind: _, first, last, since, until, count, raw_bytes, data } = block;
    let [since, until] = [since, until].map(|time| Some(timestamp(time)));
    ExportedBlock { first, last, since, until, count, raw_bytes, data: data.to_vec() }
}

/// What a part holds.
pub(super) fn raws(part: &Part) -> Result<Vec<Raw>, Error> {
    Ok(match part.kind {
        Kind::Run => vec![Raw::Run(part.message()?)],
        Kind::Events => vec![Raw::Block(block(part, record::Kind::Events)?)],
        Kind::Windows => vec![Raw::Block(block(part, record::Kind::Windows)?)],
        Kind::Extras => {
            let ExportedExtras { gaps, amended, completed } = part.message()?;
            let lengths = amended.iter().map(|one| one.event.len());
            let mut lengths = lengths.chain(completed.iter().map(|one| one.workload.len()));
            if lengths.any(|length| length > LONGEST_ITEM) {
                return Err(Error::TooLarge { at: part.at, what: TOO_MANY });
            }
            let gaps = gaps.into_iter().map(|one| Raw::Gap(one.after, one.gap.unwrap_or_default()));
            let amended = amended.into_iter().map(|one| Raw::Amended(one.sequence, one.event.into()));
            let completed = completed
                .into_iter()
                .map(|one| Raw::Completed(one.cgroup_id, one.until, one.workload.into()));
            gaps.chain(amended).chain(completed).collect()
        }
        Kind::Header | Kind::Incident | Kind::End => {
            return Err(part.damaged("its parts are in a wrong order"));
        }
    })
}

/// A block, if it holds what it says.
fn block(part: &Part, kind: record::Kind) -> Result<Block, Error> {
    let ExportedBlock { first, last, since, until, count, raw_bytes, data } = part.message()?;
    let time = |time: Option<prost_types::Timestamp>| time.map_or(WallTime(0), |time| back::wall_time(&time));
    let [since, until] = [since, until].map(time);
    let length = raw_bytes as usize;
    if length > part.kind.longest() || (kind == record::Kind::Events && count > MOST_EVENTS) {
        return Err(Error::TooLarge { at: part.at, what: "a block that is too long" });
    }
    if u64::from(raw_bytes) > MOST_PACKED * (data.len() as u64 + 1) {
        return Err(part.damaged("a block cannot be unpacked"));
    }
    let block = Block { kind, first, last, since, until, count, raw_bytes, data: data.into() };
    let unpacked = block.raw().map_err(|_damaged| part.damaged("a block cannot be unpacked"))?;
    let (mut found, mut bytes, mut newest) = (0_u32, 0, first.saturating_sub(1));
    let mut nested = Count::up_to(bounds::WINDOWS);
    for (framed, item) in items(&unpacked) {
        found += 1;
        let fits = match kind {
            record::Kind::Events => item.len() <= LONGEST_ITEM && found <= MOST_EVENTS,
            record::Kind::Windows => nested.add(&item) && u64::from(found) <= bounds::MOST_WINDOWS,
        };
        if !fits {
            return Err(Error::TooLarge { at: part.at, what: TOO_MANY });
        }
        bytes += framed.len();
        if kind == record::Kind::Events {
            let number = sequence(&item);
            if found == 1 && number != first {
                return Err(part.damaged("a block does not hold what it says"));
            }
            if number <= newest {
                return Err(part.damaged("the events of a block are in a wrong order"));
            }
            newest = number;
        }
    }
    let ends = kind == record::Kind::Windows || newest == last;
    if found != count || bytes != length || !ends || first > last || since > until || count == 0 {
        return Err(part.damaged("a block does not hold what it says"));
    }
    Ok(block)
}
