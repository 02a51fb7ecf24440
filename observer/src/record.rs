//! The flight recorder: what was told, on disk, bounded in bytes and in age.
//!
//! Events are kept as they were told, encoded once for all who want them, in compressed blocks. `Recorder` is where the event
//! loop hands over; a thread of its own writes once a second. `Store` is the file and how it is read; any thread may read.
//! `docs/recorder.md` says what is kept and what happens when.

mod block;
mod recorder;
mod shared;
mod store;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "bench"))]
pub(crate) mod trial;
mod windows;
mod writer;

pub(crate) use self::block::{Block, Kind};
pub(crate) use self::recorder::{Reader, Recorder};
pub(crate) use self::shared::{Disk, Settings};
#[allow(unused_imports, reason = "incidents and files that are exported use it")]
pub(crate) use self::store::{Batch, OpenError, Raw, Run};
pub(crate) use self::store::{Chunk, Limits, Place, Recorded, Store, StoreError};
pub(crate) use self::windows::{CLOCKS, Identities};
