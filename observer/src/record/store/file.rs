//! The file: one page that says what it is, and behind it redb's own.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use redb::StorageBackend;

const MAGIC: &[u8; 16] = b"observer record\n";
/// The version of what the tables hold.
pub(super) const VERSION: u32 = 2;
/// Where redb's own begins.
const FIRST: u64 = 4096;
/// Where redb's header says how many pages its file grows by (`region max data pages` in its documentation).
const REGION_PAGES_AT: u64 = 20;
/// What it says in a new file: 4 GiB.
const USUAL_REGION_PAGES: u32 = 1 << 20;

/// So often, and each so long after the time before, a file that is locked is tried again.
const LOCK_TRIES: u32 = 50;
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("another process records there")]
    Locked,
    #[error("it is no recording of the observer")]
    Foreign,
    #[error("it was written by a newer version (format {0}; this one knows {VERSION})")]
    Newer(u32),
    #[error("it was written by an older version (format {0}; this one writes {VERSION})")]
    Older(u32),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file as redb has it, locked as long as it is open.
#[derive(Debug)]
pub(super) struct Backend(File);

impl Backend {
    /// Opens the file, or makes a new one.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FileError::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let length = file.metadata()?.len();
        if length == 0 {
            let mut page = [0; FIRST as usize];
            page[..16].copy_from_slice(MAGIC);
            page[16..20].copy_from_slice(&VERSION.to_le_bytes());
            file.write_all_at(&page, 0)?;
            return Ok(Self(file));
        }
        let mut head = [0; 20];
        let whole = length >= FIRST && file.read_exact_at(&mut head, 0).is_ok();
        let (magic, version) = (&head[..16], number(&head[16..20]));
        match version as u32 {
            _ if !whole || magic != MAGIC => Err(FileError::Foreign),
            VERSION => Ok(Self(file)),
            newer if newer > VERSION => Err(FileError::Newer(newer)),
            older => Err(FileError::Older(older)),
        }
    }
}

/// Locks it. A process that is just being started holds on to what this one has closed until it executes its program.
fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
            other => return other,
        }
    }
    file.try_lock()
}

/// Has the new file of redb grow by so many pages at a time. Else it would double each time that it is full, up to 4 GiB,
/// and so be larger than it may be, or use half of that. The format has a place for it and redb heeds it; it only offers no
/// way to ask for it. Where that place holds something else than expected, all is left as it is.
pub(super) fn grow_by(path: &Path, pages: u32) -> io::Result<bool> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut before = [0; 4];
    file.read_exact_at(&mut before, FIRST + REGION_PAGES_AT)?;
    let known = u32::from_le_bytes(before) == USUAL_REGION_PAGES;
    if known {
        file.write_all_at(&pages.to_le_bytes(), FIRST + REGION_PAGES_AT)?;
        file.sync_data()?;
    }
    Ok(known)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len().saturating_sub(FIRST))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, FIRST + offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(FIRST + length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, FIRST + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let with = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let refused = Backend::open(&path).map(drop).unwrap_err();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            refused
        };
        assert!(matches!(with(b"hello"), FileError::Foreign));
        assert!(matches!(with(&[7; 9000]), FileError::Foreign));
        let of = |version: u8| [&MAGIC[..], &[version, 0, 0, 0], &[0; 5000]].concat();
        assert!(matches!(with(&of(VERSION as u8 + 1)), FileError::Newer(3)));
        assert!(matches!(with(&of(VERSION as u8 - 1)), FileError::Older(1)));
    }
}
