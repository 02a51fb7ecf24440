//! A file that is there when all of it is written, and not before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::super::Usage;

/// A file that is being written under another name beside its own; removed unless it is kept.
#[derive(Debug)]
pub(super) struct NewFile {
    path: PathBuf,
    beside: PathBuf,
    file: File,
    force: bool,
}

impl NewFile {
    /// Begins one. What is there is replaced only where that is asked for.
    pub(super) fn create(path: &Path, force: bool) -> anyhow::Result<Self> {
        if !force && fs::symlink_metadata(path).is_ok() {
            return Err(there(path));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.ok_or_else(|| Usage(format!("{}: this names no file", path.display())))?;
        let beside = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
        // What a process with that number left behind when it was killed is nobody's.
        _ = fs::remove_file(&beside);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&beside);
        let file = file.map_err(|error| failed(path, &error))?;
        Ok(Self { path: path.to_owned(), beside, file, force })
    }

    /// What was written, to be read.
    pub(super) fn again(&self) -> io::Result<File> {
        File::open(&self.beside)
    }

    /// An error, in words if it is this file's.
    pub(super) fn told(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<io::Error>() {
            Ok(error) => failed(&self.path, &error),
            Err(other) => other,
        }
    }

    /// Gives it its name, and tells how long it is.
    pub(super) fn keep(self) -> anyhow::Result<u64> {
        let kept = (|| {
            self.file.sync_all()?;
            let size = self.file.metadata()?.len();
            if self.force {
                fs::rename(&self.beside, &self.path)?;
                return Ok(size);
            }
            match renameat_with(CWD, &self.beside, CWD, &self.path, RenameFlags::NOREPLACE) {
                // Not every file system knows that.
                Err(Errno::INVAL | Errno::NOSYS) if !self.path.exists() => {
                    fs::rename(&self.beside, &self.path)?;
                }
                renamed => renamed?,
            }
            Ok(size)
        })();
        kept.map_err(|error: io::Error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                there(&self.path)
            } else {
                failed(&self.path, &error)
            }
        })
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It has its name by now, or is not wanted.
        _ = fs::remove_file(&self.beside);
    }
}

fn there(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{} is there already\nName another with --file, or replace it with --force.",
        path.display()
    )
}

fn failed(path: &Path, error: &io::Error) -> anyhow::Error {
    const KNOWN: [(io::ErrorKind, &str); 3] = [
        (io::ErrorKind::StorageFull, "no space is left there; nothing of it was kept"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::NotFound, "there is no such folder"),
    ];
    let known = KNOWN.iter().find(|(kind, _)| *kind == error.kind());
    let words = known.map_or_else(|| error.to_string(), |(_, words)| (*words).to_owned());
    anyhow::anyhow!("cannot write {}: {words}\nName another place with --file.", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|one| one.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_when_all_of_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("i-1.observer");
        let mut new = NewFile::create(&path, false).unwrap();
        new.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(new);
        assert_eq!(left(folder.path()), [""; 0]);
        let mut new = NewFile::create(&path, false).unwrap();
        new.write_all(b"whole").unwrap();
        assert_eq!(new.keep().unwrap(), 5);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(left(folder.path()), ["i-1.observer"]);
        assert!(NewFile::create(&path, false).unwrap_err().to_string().contains("is there already"));
        let mut other = NewFile::create(&path, true).unwrap();
        other.write_all(b"another").unwrap();
        other.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"another");
    }

    #[test]
    fn what_came_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("i-1.observer");
        let mut new = NewFile::create(&path, false).unwrap();
        new.write_all(b"mine").unwrap();
        fs::write(&path, b"another's").unwrap();
        assert!(new.keep().unwrap_err().to_string().contains("is there already"));
        assert_eq!(fs::read(&path).unwrap(), b"another's");
        assert_eq!(left(folder.path()), ["i-1.observer"]);
    }

    #[test]
    fn a_full_disk_and_a_folder_that_is_not_there_are_named() {
        let full = failed(Path::new("x"), &io::Error::from(io::ErrorKind::StorageFull)).to_string();
        assert!(full.starts_with("cannot write x: no space is left"), "{full}");
        let nowhere = NewFile::create(Path::new("/nowhere/at/all"), false).unwrap_err().to_string();
        assert!(nowhere.contains("there is no such folder"), "{nowhere}");
    }
}
