//! The store: one file that holds what was told, bounded in bytes and in age.

mod amend;
mod evict;
mod file;
mod incidents;
mod open;
mod raw;
mod read;
mod run;
mod slices;
mod small;
mod tables;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use observer_proto::v1;
use prost_types::Timestamp;
use redb::{Database, ReadTransaction, ReadableDatabase as _, WriteTransaction};

pub(crate) use self::amend::Amendments;
pub(crate) use self::incidents::MOST_INCIDENTS;
pub(crate) use self::open::OpenError;
pub(crate) use self::raw::Raw;
pub(crate) use self::read::{Chunk, Place, Recorded, Run};
pub(crate) use self::run::Newest;
use self::tables::{At, BLOCKS, Header, SLICES};
use super::block::{Block, Damaged, Kind};
use crate::event::WallTime;
use crate::wire;

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// What the file may take.
    pub(crate) bytes: u64,
    /// How old what is in it may be, in nanoseconds.
    pub(crate) age_ns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 256 << 20, age_ns: 24 * 3_600 * 1_000_000_000 }
    }
}

impl Limits {
    /// What may be in use of the file: the rest is for redb's own pages, for those that wait to be used again, and for what
    /// does not fit together.
    const fn usable(&self) -> u64 {
        self.bytes - self.bytes / 8
    }
}

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The file is not open: writing failed, and opening it anew as well.
    #[error("the recording is not open")]
    Closed,
    /// What redb says.
    #[error("{0}")]
    Redb(Box<redb::Error>),
    /// What was read is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

macro_rules! from {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::Redb(Box::new(error.into()))
            }
        })*
    };
}
from!(Error, TransactionError, TableError, StorageError, CommitError, CompactionError);

type Result<T> = std::result::Result<T, StoreError>;

/// What is recorded. Cheap to clone; any thread may read, each read being of one moment, and no read waits for a write.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None`: in memory.
    path: Option<PathBuf>,
    limits: Limits,
    database: RwLock<Option<Database>>,
    /// Held by who writes. redb's own turn ends before the state is what was written.
    writing: Mutex<()>,
    state: Mutex<State>,
}

/// What is known without reading the file.
#[derive(Clone, Debug, Default)]
struct State {
    newest_blob: u64,
    /// By kind: what the blocks take.
    costs: [u64; 2],
    /// What snapshots take.
    snapshots: u64,
    /// What gaps and what became known later take.
    small: u64,
    /// Events in all blocks.
    events: u64,
    /// The earliest event.
    oldest: Option<WallTime>,
    /// Events were left out of it on purpose.
    filtered: bool,
    /// The first block behind all that had to make room between others, and when it begins.
    complete: Option<(At, WallTime)>,
    /// When the age of all blocks was looked at last.
    looked_at: WallTime,
}

/// How much is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// What the file takes.
    pub(crate) file_bytes: u64,
    /// What of it is in use.
    pub(crate) used_bytes: u64,
    /// Events.
    pub(crate) events: u64,
    /// The time of the oldest event.
    pub(crate) oldest: Option<WallTime>,
    /// The time of the oldest one behind which none had to make room.
    pub(crate) complete_since: Option<WallTime>,
}

/// What is written at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Blocks, of which the last one may be written again later, with more in it.
    pub(crate) blocks: Vec<Block>,
    /// What is missing, each behind the event with that number.
    pub(crate) gaps: Vec<(u64, v1::Gap)>,
    /// Events of which more became known, by number, in the frame of a payload.
    pub(crate) amended: Vec<(u64, Bytes)>,
    /// Workloads of which more became known: the cgroup, the last event before that, and itself, encoded.
    pub(crate) completed: Vec<(u64, u64, Bytes)>,
    /// The highest number of an event so far, recorded or not.
    pub(crate) last_sequence: u64,
    /// Nothing follows: the daemon stops.
    pub(crate) ended: bool,
}

impl State {
    const fn next_blob(&mut self) -> u64 {
        self.newest_blob += 1;
        self.newest_blob
    }

    const fn used(&self) -> u64 {
        self.costs[0] + self.costs[1] + self.snapshots + self.small
    }

    const fn cost(&mut self, kind: Kind) -> &mut u64 {
        &mut self.costs[match kind {
            Kind::Events => 0,
            Kind::Windows => 1,
        }]
    }
}

impl Store {
    /// Writes what was collected for a run, and makes room.
    pub(crate) fn commit(&self, run: u32, batch: &Batch, now: WallTime) -> Result<()> {
        self.write(|write, state| {
            {
                let mut blocks = write.open_table(BLOCKS)?;
                let mut slices = write.open_table(SLICES)?;
                for block in &batch.blocks {
                    put_block(&mut blocks, &mut slices, state, run, block)?;
                }
            }
            small::put(write, state, run, batch)?;
            run::touch(write, run, batch, now)?;
            evict::make_room(write, state, &self.0.limits, Some(now))
        })
    }

    /// How much is recorded.
    pub(crate) fn figures(&self) -> Figures {
        let state = self.state();
        let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        let (used_bytes, events, oldest) = (state.used(), state.events, state.oldest);
        let complete_since = state.complete.map(|(_, since)| since).or(oldest);
        let file_bytes = self.0.path.as_ref().map_or(used_bytes, length);
        Figures { file_bytes, used_bytes, events, oldest, complete_since }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads as of one moment.
    fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T>) -> Result<T> {
        let database = self.0.database.read().unwrap_or_else(PoisonError::into_inner);
        read(&database.as_ref().ok_or(StoreError::Closed)?.begin_read()?)
    }

    /// Writes all of it or nothing.
    fn write<T>(&self, write: impl FnOnce(&WriteTransaction, &mut State) -> Result<T>) -> Result<T> {
        let _turn = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let database = self.0.database.read().unwrap_or_else(PoisonError::into_inner);
        let mut transaction = database.as_ref().ok_or(StoreError::Closed)?.begin_write()?;
        // So that after a kill it opens at once: else all of it would be read first, and what happens meanwhile waits.
        transaction.set_quick_repair(true);
        let mut state = self.state().clone();
        let written = write(&transaction, &mut state)?;
        transaction.commit()?;
        *self.state() = state;
        Ok(written)
    }
}

/// Puts a block in, in the place of a shorter one that begins likewise.
fn put_block(
    blocks: &mut redb::Table<'_, tables::BlockKey, tables::HeaderValue>,
    slices: &mut redb::Table<'_, (u64, u16), &'static [u8]>,
    state: &mut State,
    run: u32,
    block: &Block,
) -> Result<()> {
    let at = At { kind: block.kind, run, first: block.first };
    let blob = state.next_blob();
    let header = Header {
        last: block.last,
        since: block.since,
        until: block.until,
        count: block.count,
        raw_bytes: block.raw_bytes,
        bytes: block.data.len() as u32,
        blob,
    };
    let before = blocks.insert(at.key(), tables::HeaderValue::from(header))?.map(|value| value.value());
    if let Some(before) = before.map(Header::from) {
        forget(slices, state, at, &before)?;
    }
    slices::insert(slices, blob, &block.data)?;
    *state.cost(block.kind) += slices::cost(block.data.len());
    if block.kind == Kind::Events {
        state.events += u64::from(block.count);
        state.oldest = Some(state.oldest.map_or(block.since, |oldest| oldest.min(block.since)));
    }
    Ok(())
}

/// Takes what a block holds out.
fn forget(
    slices: &mut redb::Table<'_, (u64, u16), &'static [u8]>,
    state: &mut State,
    at: At,
    header: &Header,
) -> Result<()> {
    slices::remove(slices, header.blob, header.bytes as usize)?;
    *state.cost(at.kind) -= slices::cost(header.bytes as usize);
    if at.kind == Kind::Events {
        state.events -= u64::from(header.count);
    }
    Ok(())
}

/// A time of the wall clock as it is told.
fn wall_time(time: Option<&Timestamp>) -> WallTime {
    time.map_or(WallTime(0), wire::wall_time)
}
