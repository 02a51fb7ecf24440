//! What is recorded of a time as it is, without being decoded: to be exported, and taken in elsewhere.

use bytes::Bytes;
use observer_proto::v1;
use prost::Message as _;

use super::tables::{self, AMENDED, BLOCKS, COMPLETED, GAPS, SLICES};
use super::{Batch, Chunk, Recorded, Result, Store, slices};
use crate::event::WallTime;
use crate::record::{Block, Kind};

/// What is taken in is written when it has so many bytes, of which each part has some beside its content.
const TAKEN_BYTES: usize = 8 << 20;
const SMALL_BYTES: usize = 256;

/// A part of what is recorded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    /// A run begins; what follows is of it.
    Run(v1::RecordedRun),
    /// What is missing, behind the event with that number.
    Gap(u64, v1::Gap),
    /// A block that has something of the time that was asked for.
    Block(Block),
    /// An event of which more became known, by number, in its frame.
    Amended(u64, Bytes),
    /// A workload of which more became known: the cgroup, the last event before that, and itself, encoded.
    Completed(u64, u64, Bytes),
}

impl Store {
    /// Hands out what is recorded of a time, run by run, each block whole and behind what belongs to it. Ends with the first error of the taker.
    pub(crate) fn export<E: From<super::StoreError>>(
        &self,
        [since, until]: [WallTime; 2],
        mut take: impl FnMut(Raw) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let runs = self.runs().map_err(E::from)?;
        for run in runs {
            let mut parts = self.parts(run.number, [since, until]).map_err(E::from)?;
            if parts.is_empty() {
                continue;
            }
            // What became known later comes first: a filter has to know it.
            parts.sort_by_key(|part| matches!(part, Part::Block(..)));
            take(Raw::Run(run.told))?;
            for part in parts {
                match part {
                    Part::Small(raw) => take(raw)?,
                    Part::Block(at, header) => {
                        // Read one by one; one that had to make room meanwhile is left out.
                        if let Some(block) = self.block(at, &header).map_err(E::from)? {
                            take(Raw::Block(block))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn parts(&self, run: u32, [since, until]: [WallTime; 2]) -> Result<Vec<Part>> {
        self.read(|read| {
            let table = read.open_table(BLOCKS)?;
            let mut parts = Vec::new();
            let (mut numbers, mut before): (Option<[u64; 2]>, u64) = (None, 0);
            for kind in [Kind::Events, Kind::Windows] {
                for one in tables::blocks(&table, kind, (run, 0), (run, u64::MAX))? {
                    let (at, header) = one?;
                    if header.until < since || header.since > until {
                        // What is missing behind a block is told behind its last event.
                        before = if kind == Kind::Events && numbers.is_none() { header.last } else { before };
                        continue;
                    }
                    if kind == Kind::Events {
                        let first = numbers.map_or(at.first, |[first, _]| first);
                        numbers = Some([first, header.last]);
                    }
                    parts.push(Part::Block(at, header));
                }
            }
            let (from, to) = numbers.map_or((0, u64::MAX), |[_, last]| (before, last));
            for one in read.open_table(GAPS)?.range((run, from, 0)..=(run, to, u32::MAX))? {
                let (key, gap) = one?;
                let gap = v1::Gap::decode(gap.value()).unwrap_or_default();
                let time = |time: &Option<prost_types::Timestamp>| time.as_ref().map(crate::wire::wall_time);
                let ended = time(&gap.until).map_or(numbers.is_none(), |ended| ended < since);
                if !ended && time(&gap.since).is_none_or(|began| began <= until) {
                    parts.push(Part::Small(Raw::Gap(key.value().1, gap)));
                }
            }
            let Some([first, last]) = numbers else { return Ok(parts) };
            for one in read.open_table(AMENDED)?.range((run, first)..=(run, last))? {
                let (key, event) = one?;
                let event = Bytes::copy_from_slice(event.value());
                parts.push(Part::Small(Raw::Amended(key.value().1, event)));
            }
            for one in read.open_table(COMPLETED)?.range((run, 0)..=(run, u64::MAX))? {
                let (key, value) = one?;
                let (until, workload) = value.value();
                if until >= first {
                    let workload = Bytes::copy_from_slice(workload);
                    parts.push(Part::Small(Raw::Completed(key.value().1, until, workload)));
                }
            }
            Ok(parts)
        })
    }

    /// Numbers are missing in it because somebody left events out.
    pub(crate) fn was_filtered(&self) {
        self.state().filtered = true;
    }

    /// Events were left out of it.
    pub(crate) fn is_filtered(&self) -> bool {
        self.state().filtered
    }

    /// Without what would be told as missing where events were left out.
    pub(super) fn told(&self, mut chunk: Chunk) -> Chunk {
        if self.is_filtered() {
            let made_room = |item: &Recorded| matches!(item, Recorded::Gap(gap) if gap.reason() == v1::GapReason::MadeRoom);
            chunk.items.retain(|item| !made_room(item));
        }
        chunk
    }

    fn block(&self, at: tables::At, header: &tables::Header) -> Result<Option<Block>> {
        let tables::At { kind, run: _, first } = at;
        let tables::Header { last, since, until, count, raw_bytes, bytes, blob } = *header;
        let data = self.read(|read| Ok(slices::read(&read.open_table(SLICES)?, blob, bytes as usize)?))?;
        let whole = data.len() == bytes as usize;
        Ok(whole.then_some(Block { kind, first, last, since, until, count, raw_bytes, data }))
    }

    /// Takes in what was handed out, in the same order. Where that ends early, what came before it is there.
    pub(crate) fn take_in(&self, parts: impl IntoIterator<Item = Raw>, now: WallTime) -> Result<()> {
        let mut taken: Option<Taken> = None;
        for part in parts {
            if let Raw::Run(told) = part {
                taken.iter_mut().try_for_each(|run| self.settle(run))?;
                let at = told.last_time.as_ref().map_or(now, |time| super::wall_time(Some(time)));
                let batch =
                    Batch { last_sequence: told.last_sequence, ended: told.ended, ..Batch::default() };
                taken = Some(Taken { run: self.adopt(&told)?, at, batch, bytes: 0 });
                continue;
            }
            let Some(run) = &mut taken else { continue };
            run.add(part);
            if run.bytes >= TAKEN_BYTES {
                self.settle(run)?;
            }
        }
        taken.iter_mut().try_for_each(|run| self.settle(run))
    }

    /// Writes what was taken in of a run.
    fn settle(&self, taken: &mut Taken) -> Result<()> {
        let Taken { run, at, batch, bytes } = taken;
        let next = Batch { last_sequence: batch.last_sequence, ended: batch.ended, ..Batch::default() };
        *bytes = 0;
        self.commit(*run, &std::mem::replace(batch, next), *at)
    }
}

/// What is taken in of a run, and not written yet.
struct Taken {
    run: u32,
    /// When it was last heard of.
    at: WallTime,
    batch: Batch,
    bytes: usize,
}

impl Taken {
    fn add(&mut self, part: Raw) {
        self.bytes += SMALL_BYTES;
        match part {
            Raw::Run(_) => {}
            Raw::Gap(after, gap) => self.batch.gaps.push((after, gap)),
            Raw::Block(block) => {
                self.bytes += block.data.len();
                self.batch.blocks.push(block);
            }
            Raw::Amended(number, event) => {
                self.bytes += event.len();
                self.batch.amended.push((number, event));
            }
            Raw::Completed(cgroup, until, workload) => {
                self.bytes += workload.len();
                self.batch.completed.push((cgroup, until, workload));
            }
        }
    }
}

/// What is read of a run at once, and what later.
enum Part {
    Small(Raw),
    Block(tables::At, tables::Header),
}
