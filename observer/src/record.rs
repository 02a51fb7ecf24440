//! The flight recorder: what was told, on disk, bounded in bytes and in age.
//!
//! Events are kept as they were told, encoded once for all who want them, in compressed blocks. `Recorder` is where the event
//! loop hands over; a thread of its own writes once a second. `Store` is the file and how it is read; any thread may read.
//! `docs/recorder.md` says what is kept and what happens when.

mod block;
mod compared;
pub(crate) mod export;
mod ranges;
mod recorder;
mod shared;
mod store;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "bench"))]
pub(crate) mod trial;
mod windows;
mod writer;

pub(crate) use self::block::{Block, Filling, Kind};
pub(crate) use self::compared::compare;
pub(crate) use self::ranges::{OfTime, RecordedWindows, for_each_window, whole_window};
pub(crate) use self::recorder::{Reader, Recorder};
pub(crate) use self::shared::{Disk, Settings};
pub(crate) use self::store::{
    Amendments, Chunk, Limits, MOST_INCIDENTS, Newest, Place, Raw, Recorded, Run, Store, StoreError,
};
pub(crate) use self::windows::{CLOCKS, Identities, tcp as told_tcp};
