//! The exported file: a part of a recording in one file, written and read as a stream, with bounds on everything.
//!
//! It begins with a line of plain text that says what it is and in which format. Then parts follow, each with a head of
//! 16 bytes and its content: what it is, how it is encoded, how long it is and was before it was compressed, and a checksum
//! over all of that. The last one is the end, which counts the others: without it the file is not whole.

mod bounds;
#[cfg(test)]
mod chosen;
#[cfg(test)]
mod fuzzed;
mod load;
#[cfg(test)]
mod loaded;
mod raw;
mod read;
mod seen;
#[cfg(test)]
mod tests;
mod write;

use std::io;

pub(crate) use self::load::{Recording, WriteError, load, store};
pub(crate) use self::read::Reader;
pub(crate) use self::seen::Seen;
pub(crate) use self::write::Writer;
use super::StoreError;

/// The first line up to the format's number.
const FIRST_WORDS: &[u8] = b"observer recording, format ";
/// The format that this version writes, and the only one that it reads. In the first one, histograms had other buckets.
pub(crate) const FORMAT: u32 = 2;
/// The longest number of a format.
const LONGEST_NUMBER: usize = 9;
/// The head of a part: kind, encoding, two bytes of zeros, both lengths and the checksum.
const HEAD_BYTES: usize = 16;
/// The longest content of most parts, as it is stored and as it is meant.
const LONGEST_PART_BYTES: usize = 8 << 20;
/// The longest content of a part with windows: the store has a window of a busy node in one block, however long that is.
const LONGEST_WINDOWS_BYTES: usize = super::block::MOST_BYTES + (1 << 20);
/// The longest content of the header, of a run and of the end.
const LONGEST_SMALL_BYTES: usize = 64 << 10;
/// The most parts of a file.
const MOST_PARTS: u64 = 1 << 20;
/// The most bytes that a file has: all of them are held in memory where it is replayed.
const MOST_BYTES: u64 = 2 << 30;
/// The most bytes that all blocks have together before they are compressed.
const MOST_RAW_BYTES: u64 = 32 << 30;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// What the file is of, an `ExportHeader`; the first part.
    Header = 1,
    /// The incident, a `StoredIncident`; after the header, where the file is of one.
    Incident = 2,
    /// A run of the daemon, a `RecordedRun`; what follows is of it.
    Run = 3,
    /// A block of events as the store has it, an `ExportedBlock`.
    Events = 4,
    /// A block of windows as the store has it, an `ExportedBlock`.
    Windows = 5,
    /// What the blocks of the run lack, and what became known later of what is in them: an `ExportedExtras`.
    Extras = 6,
    /// The counts, an `ExportEnd`; the last part.
    End = 7,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Header, Self::Incident, Self::Run, Self::Events, Self::Windows, Self::Extras, Self::End];

    fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The longest content, as it is stored and as it is meant.
    const fn longest(self) -> usize {
        match self {
            Self::Header | Self::Run | Self::End => LONGEST_SMALL_BYTES,
            Self::Incident | Self::Events | Self::Extras => LONGEST_PART_BYTES,
            Self::Windows => LONGEST_WINDOWS_BYTES,
        }
    }
}

/// How a part's content is stored.
const AS_IT_IS: u8 = 0;
const LZ4: u8 = 1;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is something else.
    #[error("it is no recording of observer, but {0}")]
    Foreign(&'static str),
    /// It is of a later version.
    #[error(
        "it is of format {0}, and this version reads formats up to {FORMAT}: read it with the version of observer that wrote \
         it, or a later one"
    )]
    Newer(u32),
    /// It is of a version before the first release.
    #[error("it is of format {0}, which was never released, and this version reads format {FORMAT}")]
    Older(u32),
    /// Its end is missing.
    #[error("it is cut off after {0} bytes, its end is missing: copy or export it again")]
    Truncated(u64),
    /// Something in it is not as it was written.
    #[error("it is damaged at byte {at}: {what}; copy or export it again")]
    Damaged {
        /// Where the part begins.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// It asks for more than any file that was exported.
    #[error("it claims {what} at byte {at}, more than any recording has: it is damaged, or made to do harm")]
    TooLarge {
        /// Where the part begins.
        at: u64,
        /// What is too large.
        what: &'static str,
    },
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// What it holds finds no place in memory.
    #[error("what it holds cannot be kept in memory: {0}")]
    Store(#[from] StoreError),
}

/// The checksum of a part: of its head, and of its content as it is stored.
fn checksum(head: &[u8], content: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(head);
    sum.update(content);
    sum.finalize()
}
