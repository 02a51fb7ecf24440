//! Reading what is recorded, chunk by chunk, in both directions.

mod missing;

use bytes::Bytes;
use observer_proto::v1;
use prost::Message as _;
use redb::{ReadTransaction, ReadableTable as _};

use self::missing::{damaged, hole, is_newest, lacks_end};
use super::amend::Amendments;
use super::tables::{self, At, BLOCKS, GAPS, Header, RUNS, SLICES};
use super::{Result, Store, StoreError, slices};
use crate::event::WallTime;
use crate::record::Kind;
use crate::record::block::{decompress, items, sequence};
use crate::wire::wall_time;

/// A place in what is recorded, between two items. The default is before the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The run, by its number in the store; they count from 1.
    pub(crate) run: u32,
    /// All up to this number is before it.
    pub(crate) after: u64,
    /// So many of the gaps behind that number are before it as well.
    pub(crate) gaps: u32,
}

impl Place {
    /// Behind all that there is.
    pub(crate) const END: Self = Self { run: u32::MAX, after: u64::MAX, gaps: u32::MAX };
}

/// One life of the daemon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// Its number in the store.
    pub(crate) number: u32,
    pub(crate) told: v1::RecordedRun,
}

impl Run {
    /// When it began, which names it.
    pub(crate) fn start(&self) -> WallTime {
        super::wall_time(self.told.start_time.as_ref())
    }
}

/// Something that is recorded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Recorded {
    /// An event with its number: as a payload of a stream has it, which is its field's number, its length and itself.
    Event { sequence: u64, payload: Bytes, event: Bytes },
    /// Something that is missing here.
    Gap(v1::Gap),
}

/// A part of what is recorded, of one run, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunk {
    /// The run.
    pub(crate) run: Run,
    /// What it holds.
    pub(crate) items: Vec<Recorded>,
    /// The place before it.
    pub(crate) before: Place,
    /// The place behind it.
    pub(crate) after: Place,
}

impl Store {
    /// All runs of which something is recorded, oldest first.
    pub(crate) fn runs(&self) -> Result<Vec<Run>> {
        self.read(|read| {
            let table = read.open_table(RUNS)?;
            let runs =
                table.iter()?.map(|one| Ok(one.map(|(number, told)| run(number.value(), told.value()))?));
            runs.collect()
        })
    }

    /// The place behind an event of a run, if that run is recorded.
    pub(crate) fn behind(&self, start: WallTime, sequence: u64) -> Result<Option<Place>> {
        let run = self.runs()?.into_iter().rev().find(|run| run.start() == start);
        Ok(run.map(|run| Place { run: run.number, after: sequence, gaps: 0 }))
    }

    /// The place before the first run that began later than that.
    pub(crate) fn later_than(&self, start: WallTime) -> Result<Place> {
        let run = self.runs()?.into_iter().find(|run| run.start() > start);
        Ok(run.map_or(Place::END, |run| Place { run: run.number, ..Place::default() }))
    }

    /// A place with nothing of that time or later before it, near to that. What is missing between two blocks is behind it.
    pub(crate) fn at(&self, kind: Kind, time: WallTime) -> Result<Place> {
        self.read(|read| {
            let table = read.open_table(BLOCKS)?;
            let mut before = Place::default();
            for one in tables::blocks(&table, kind, (0, 0), (u32::MAX, u64::MAX))? {
                let (At { run, .. }, header) = one?;
                if header.until >= time {
                    let begins = Place { run, ..Place::default() };
                    return Ok(if before.run == run { before } else { begins });
                }
                before = Place { run, after: header.last, gaps: 0 };
            }
            Ok(before)
        })
    }

    /// What follows a place; `None` at the end.
    pub(crate) fn forward(&self, from: Place) -> Result<Option<Chunk>> {
        self.read(|read| {
            let block = following(read, Kind::Events, from)?;
            let gap =
                read.open_table(GAPS)?.range((from.run, from.after, from.gaps)..)?.next().transpose()?;
            let gap = gap.map(|(key, _)| key.value().0);
            // A run that goes on in no block may lack its end.
            let ended = if from.run > 0 && !self.is_filtered() && lacks_end(read, from, block)? {
                Some(from.run)
            } else {
                None
            };
            let of = [block.map(|(at, _)| at.run), gap, ended].into_iter().flatten().min();
            let Some(of) = of else { return Ok(None) };
            let block = block.filter(|(at, _)| at.run == of);
            Ok(Some(self.told(chunk(read, of, block, from, Place::END)?)))
        })
    }

    /// The windows of a block behind a place, and the place behind them; `None` at the end.
    pub(crate) fn windows(&self, from: Place) -> Result<Option<(Place, Vec<v1::RecordedWindow>)>> {
        self.read(|read| {
            let Some((at, header)) = following(read, Kind::Windows, from)? else { return Ok(None) };
            let skipped =
                if at.run == from.run { from.after.saturating_sub(at.first.saturating_sub(1)) } else { 0 };
            let raw = whole(read, &header)?.unwrap_or_default();
            let windows = items(&raw).skip(skipped as usize);
            let windows = windows.map(|(_, window)| v1::RecordedWindow::decode(window).unwrap_or_default());
            Ok(Some((Place { run: at.run, after: header.last, gaps: 0 }, windows.collect())))
        })
    }

    /// What is known to be missing of a time.
    pub(crate) fn gaps_within(&self, [since, until]: [WallTime; 2]) -> Result<Vec<v1::Gap>> {
        let concerns = |gap: &v1::Gap| {
            let ended = gap.until.as_ref().is_some_and(|ended| wall_time(ended) <= since);
            !ended && gap.since.as_ref().is_none_or(|began| wall_time(began) < until)
        };
        self.read(|read| {
            let gaps = gaps(read, Place::default(), Place::END)?.into_iter().map(|(_, gap)| gap);
            Ok(gaps.filter(concerns).collect())
        })
    }

    /// What precedes a place; `None` at the beginning.
    pub(crate) fn backward(&self, to: Place) -> Result<Option<Chunk>> {
        self.read(|read| {
            let table = read.open_table(BLOCKS)?;
            let last = tables::blocks(&table, Kind::Events, (0, 0), (to.run, to.after))?.next_back();
            let Some((at, header)) = last.transpose()? else { return Ok(None) };
            let before = at.first.saturating_sub(1);
            let previous =
                tables::blocks(&table, Kind::Events, (0, 0), (at.run, before))?.next_back().transpose()?;
            let after = match previous {
                Some((previous, header)) if previous.run == at.run => header.last,
                Some(_) => 0,
                // Of what had to make room before all else nobody is told.
                None => before,
            };
            let begin = Place { run: at.run, after, gaps: 0 };
            Ok(Some(self.told(chunk(read, at.run, Some((at, header)), begin, to)?)))
        })
    }
}

/// The block in which the place is, or the next one.
pub(super) fn following(read: &ReadTransaction, kind: Kind, from: Place) -> Result<Option<(At, Header)>> {
    let table = read.open_table(BLOCKS)?;
    let end = (u32::MAX, u64::MAX);
    let within =
        tables::blocks(&table, kind, (from.run, 0), (from.run, from.after))?.next_back().transpose()?;
    if let Some((at, header)) = within.filter(|(_, header)| header.last > from.after) {
        return Ok(Some((at, header)));
    }
    let Some(next) = from.after.checked_add(1) else {
        let Some(run) = from.run.checked_add(1) else { return Ok(None) };
        return Ok(tables::blocks(&table, kind, (run, 0), end)?.next().transpose()?);
    };
    Ok(tables::blocks(&table, kind, (from.run, next), end)?.next().transpose()?)
}

/// Reads a block's items, decompressed.
pub(super) fn raw(read: &ReadTransaction, header: &Header) -> Result<Bytes> {
    let data = slices::read(&read.open_table(SLICES)?, header.blob, header.bytes as usize)?;
    Ok(decompress(&data, header.raw_bytes)?)
}

/// The same; `None` where it is damaged, so that what is behind it can be read.
fn whole(read: &ReadTransaction, header: &Header) -> Result<Option<Bytes>> {
    match raw(read, header) {
        Ok(raw) => Ok(Some(raw)),
        Err(StoreError::Damaged(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn run(number: u32, told: &[u8]) -> Run {
    Run { number, told: v1::RecordedRun::decode(told).unwrap_or_default() }
}

pub(super) fn run_of(read: &ReadTransaction, number: u32) -> Result<Run> {
    let table = read.open_table(RUNS)?;
    Ok(table.get(number)?.map_or_else(|| run(number, &[]), |told| run(number, told.value())))
}

/// The gaps of a run between two places.
fn gaps(read: &ReadTransaction, from: Place, to: Place) -> Result<Vec<(Place, v1::Gap)>> {
    let [from, to] = [from, to].map(|place| (place.run, place.after, place.gaps));
    let table = read.open_table(GAPS)?;
    let told = table.range(from..to)?.map(|one| {
        let (key, gap) = one?;
        let (run, after, gaps) = key.value();
        Ok((Place { run, after, gaps }, v1::Gap::decode(gap.value()).unwrap_or_default()))
    });
    told.collect()
}

/// Puts events and gaps of a run between two places together: up to the end of this block, or of the run.
fn chunk(
    read: &ReadTransaction,
    of: u32,
    block: Option<(At, Header)>,
    from: Place,
    to: Place,
) -> Result<Chunk> {
    let run = run_of(read, of)?;
    let begin = if from.run == of { from } else { Place { run: of, ..Place::default() } };
    let newest = is_newest(read, of)?;
    let last = block.map_or(u64::MAX, |(_, header)| header.last);
    // What is behind the block's last event comes with the next one, if there is one.
    let end = Place { run: of, after: last, gaps: if block.is_some() { 0 } else { u32::MAX } }.min(to);
    let gaps = gaps(read, begin, end)?;
    let behind = gaps.last().map(|(place, _)| Place { gaps: place.gaps + 1, ..*place });
    let after = match block {
        Some(_) => end,
        None if newest => behind.unwrap_or(begin),
        None => Place { run: of, after: u64::MAX, gaps: u32::MAX },
    };
    let mut chunk = Chunk { items: Vec::new(), before: begin, after, run };
    if from.run > 0 {
        let next = block.map_or(chunk.run.told.last_sequence.saturating_add(1), |(at, _)| at.first);
        let next = if block.is_none() && newest { 0 } else { next };
        chunk.items.extend(hole(read, begin, next, &gaps, block)?.map(Recorded::Gap));
    }
    let mut gaps = gaps.into_iter().peekable();
    if let Some((at, header)) = block {
        let amended = Amendments::of(read, of, [at.first, header.last])?;
        let Some(raw) = whole(read, &header)? else {
            chunk.items.extend(gaps.map(|(_, gap)| Recorded::Gap(gap)));
            chunk.items.push(Recorded::Gap(damaged(&header, &chunk.run)));
            return Ok(chunk);
        };
        for (payload, event) in items(&raw) {
            let number = sequence(&event);
            if number <= begin.after || number > end.after {
                continue;
            }
            while let Some((_, gap)) = gaps.next_if(|(place, _)| place.after < number) {
                chunk.items.push(Recorded::Gap(gap));
            }
            let (payload, event) = amended.apply(number, payload, event);
            chunk.items.push(Recorded::Event { sequence: number, payload, event });
        }
    }
    chunk.items.extend(gaps.map(|(_, gap)| Recorded::Gap(gap)));
    Ok(chunk)
}
