//! A file of lines: appended to, rotated, opened anew where somebody has moved it away, and never left with half a line.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::rotation::{Bounds, rotate};

/// Arguments of processes may be secrets: only the daemon's user reads its files.
const MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// So far back the beginning of half a line is looked for.
const LONGEST_HALF: u64 = 1 << 20;
/// A file that is too old and cannot be rotated is written to, and it is tried again once in so long.
const AGAIN: Duration = Duration::from_mins(1);

/// A file that lines go to.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    bounds: Bounds,
    open: Option<Open>,
    /// It could not be rotated for its age, which is not tried again before.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Which file it is, by its device and its number there.
    id: (u64, u64),
    length: u64,
    begun: SystemTime,
}

impl LogFile {
    pub(super) fn new(path: &Path, bounds: Bounds) -> Self {
        Self { path: path.to_owned(), bounds, open: None, not_before: None }
    }

    /// Opens it, so that it is known whether that can be done.
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        self.open().map(drop)
    }

    /// Writes whole lines: as many as there is room for before the file is to be rotated, one at least. Says how many bytes
    /// they have. Where that fails, none of them is in the file.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.turn()?;
        let length = self.open()?.length;
        let mut count = fitting(lines, self.bounds.bytes.map(|most| most.saturating_sub(length)));
        if count == 0 && length > 0 {
            self.rotate()?;
            count = fitting(lines, self.bounds.bytes);
        }
        if count == 0 {
            count = first_line(lines);
        }
        let open = self.open()?;
        if let Err(error) = open.file.write_all(&lines[..count]) {
            // A part of them may have been written.
            let undone = open.file.set_len(open.length);
            if undone.is_err() {
                self.open = None;
            }
            return Err(error);
        }
        open.length += count as u64;
        Ok(count)
    }

    /// How long it is until the file is too old.
    pub(super) fn due(&self) -> Option<Duration> {
        let (age, open) = (self.bounds.age?, self.open.as_ref()?);
        if open.length == 0 {
            return None;
        }
        // Timers may come a little early.
        let left = age.saturating_sub(open.age()).max(self.waits());
        Some(left + Duration::from_millis(10))
    }

    /// Rotates the file where it is too old.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        self.follow();
        let (Some(age), Some(open)) = (self.bounds.age, self.open.as_ref()) else { return Ok(()) };
        if open.length == 0 || open.age() < age || !self.waits().is_zero() {
            return Ok(());
        }
        let rotated = self.rotate();
        self.not_before = if rotated.is_err() { Instant::now().checked_add(AGAIN) } else { None };
        rotated
    }

    /// So long it is not tried to rotate it for its age.
    fn waits(&self) -> Duration {
        self.not_before.map_or(Duration::ZERO, |time| time.saturating_duration_since(Instant::now()))
    }

    /// One that stays where it is stays open.
    fn rotate(&mut self) -> io::Result<()> {
        rotate(&self.path, self.bounds.files)?;
        self.open = None;
        Ok(())
    }

    /// Lets a file go that is not at its place any more: another program rotates it.
    fn follow(&mut self) {
        let there = std::fs::symlink_metadata(&self.path).ok().map(|metadata| id(&metadata));
        if self.open.as_ref().is_some_and(|open| there != Some(open.id)) {
            self.open = None;
        }
    }

    fn open(&mut self) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            // Somebody may have cut it short.
            Some(open) => Open { length: open.file.metadata()?.len(), ..open },
            None => Open::at(&self.path)?,
        };
        Ok(self.open.insert(open))
    }
}

impl Open {
    /// Opens the file to append to it; it may be there, and may have been cut off in the midst of a line.
    fn at(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        }
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(MODE).custom_flags(flags.bits() as i32);
        let mut file = options.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let length = end_of_lines(&mut file, metadata.len())?;
        // Where the file system does not know when it was made, it counts from now on.
        let begun = metadata.created().unwrap_or_else(|_unknown| now());
        Ok(Self { file, id: id(&metadata), length, begun })
    }

    fn age(&self) -> Duration {
        // A clock that was put back makes it no older.
        now().duration_since(self.begun).unwrap_or_default()
    }
}

/// Lets the file end with a whole line, and says how long it is: half a line that a kill left behind is cut off, and whatever else does
/// not end is ended.
fn end_of_lines(file: &mut File, length: u64) -> io::Result<u64> {
    let from = length.saturating_sub(LONGEST_HALF);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    io::Read::take(&mut *file, LONGEST_HALF).read_to_end(&mut tail)?;
    if tail.is_empty() || tail.ends_with(b"\n") {
        return Ok(length);
    }
    let begin = tail.iter().rposition(|byte| *byte == b'\n').map(|newline| newline + 1);
    match begin.or((from == 0).then_some(0)) {
        Some(begin) if tail[begin..].starts_with(b"{") => {
            let whole = from + begin as u64;
            file.set_len(whole)?;
            Ok(whole)
        }
        _ => {
            file.write_all(b"\n")?;
            Ok(length + 1)
        }
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[allow(clippy::disallowed_methods, reason = "files have an age")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// So many bytes at the beginning are whole lines that fit.
fn fitting(lines: &[u8], room: Option<u64>) -> usize {
    let most = room.map_or(lines.len(), |room| lines.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
    lines[..most].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

fn first_line(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
}

#[cfg(test)]
mod tests;
