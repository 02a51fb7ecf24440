//! When a file is full, and how it makes room: it becomes `NAME.1`, what was that becomes `NAME.2`, and the oldest one goes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The bounds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// A file is no longer; a line that is longer by itself has one of its own.
    pub(super) bytes: Option<u64>,
    /// A file with lines is no older.
    pub(super) age: Option<Duration>,
    /// So many are kept, the one that is written among them.
    pub(super) files: u64,
}

/// More are never kept, so what has a higher number is somebody else's: a date, say.
const MOST: u64 = 1_000;

/// Moves the file out of the way, and older ones before that. Each step is a rename within the folder, so whatever happens
/// between two of them, no file is lost but the oldest one. What somebody else has moved away meanwhile needs no moving.
pub(super) fn rotate(path: &Path, files: u64) -> io::Result<()> {
    let kept = files.saturating_sub(1).max(1);
    // A number that is free, where an earlier rotation was cut off or somebody took a file away, ends the moving.
    let free = (1..=kept).find(|number| !numbered(path, *number).exists());
    let last = free.unwrap_or(kept);
    for number in (1..last).rev() {
        gone_or(fs::rename(numbered(path, number), numbered(path, number + 1)))?;
    }
    gone_or(fs::rename(path, numbered(path, 1)))?;
    remove_older(path, kept)
}

/// Removes those beyond the last number, of a time when more were kept.
fn remove_older(path: &Path, kept: u64) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if number_of(name, &entry.file_name()).is_some_and(|number| (kept + 1..=MOST).contains(&number)) {
            gone_or(fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}

/// It was done, or there was nothing to do it to.
fn gone_or(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The number in the name of an older file.
fn number_of(name: &OsStr, other: &OsStr) -> Option<u64> {
    let number = other.to_str()?.strip_prefix(name.to_str()?)?.strip_prefix('.')?;
    // What is not as `numbered` has it is somebody else's.
    number.parse().ok().filter(|parsed: &u64| parsed.to_string() == number)
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<(String, String)> {
        let read = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().to_str().unwrap().to_owned(), text)
        };
        let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(read).collect();
        all.sort();
        all
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_oldest_goes_and_files_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e");
        for (name, text) in
            [("e.x", "x"), ("e.03", "y"), ("other", "z"), ("e.9", "old"), ("e.20261128", "date")]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        for text in ["a", "b", "c", "d"] {
            fs::write(&path, text).unwrap();
            rotate(&path, 3).unwrap();
        }
        let left =
            [("e.03", "y"), ("e.1", "d"), ("e.2", "c"), ("e.20261128", "date"), ("e.x", "x"), ("other", "z")];
        assert_eq!(files(folder.path()), pairs(&left));
    }

    #[test]
    fn a_gap_ends_the_moving() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e");
        for (name, text) in [("e", "new"), ("e.1", "one"), ("e.3", "three")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        rotate(&path, 4).unwrap();
        assert_eq!(files(folder.path()), pairs(&[("e.1", "new"), ("e.2", "one"), ("e.3", "three")]));
    }
}
