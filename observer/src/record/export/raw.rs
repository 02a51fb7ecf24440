//! What the store hands out, as parts of a file, and back. Blocks from a file are looked through before they are taken in.

use std::io::{self, Write};

use observer_proto::v1::{ExportedAmendment, ExportedBlock, ExportedCompletion, ExportedExtras, ExportedGap};

use super::read::Part;
use super::{Error, Kind, LONGEST_PART_BYTES, Writer};
use crate::event::WallTime;
use crate::record::block::{items, sequence};
use crate::record::{self, Block, Raw};
use crate::wire::{back, timestamp};

/// LZ4 makes no more bytes of one.
const MOST_PACKED: u64 = 255;
/// What belongs to blocks is written when there is so much of it, in bytes or in number.
const EXTRAS_BYTES: usize = 256 << 10;
const EXTRAS_COUNT: usize = 4_096;

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

fn told(block: Block) -> ExportedBlock {
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
    if length > LONGEST_PART_BYTES {
        return Err(Error::TooLarge { at: part.at, what: "a block of more than 8 MiB" });
    }
    if u64::from(raw_bytes) > MOST_PACKED * (data.len() as u64 + 1) {
        return Err(part.damaged("a block cannot be unpacked"));
    }
    let block = Block { kind, first, last, since, until, count, raw_bytes, data: data.into() };
    let unpacked = block.raw().map_err(|_damaged| part.damaged("a block cannot be unpacked"))?;
    let (mut found, mut bytes, mut newest) = (0_u32, 0, first.saturating_sub(1));
    for (framed, item) in items(&unpacked) {
        found += 1;
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
