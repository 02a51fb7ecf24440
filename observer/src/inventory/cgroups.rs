//! The cgroup hierarchy of version 2: where it is mounted, what is in it, and paths by id.

mod handle;
mod mount;

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use procfs::process::Process;

use super::processes::start_of;

/// cgroups beyond this many are left out of a scan, and that is said.
const MAX_CGROUPS: usize = 65_536;
/// Processes of one cgroup that are looked at for its first one.
const MAX_MEMBERS: usize = 1024;

/// Why the cgroup hierarchy could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupsError {
    /// The list of mounts.
    #[error("cannot read {}", mount::MOUNTINFO)]
    Mounts(#[source] io::Error),
    /// Nothing to read.
    #[error("no cgroup hierarchy of version 2 is mounted")]
    NotMounted,
    /// The hierarchy's root.
    #[error("cannot open the cgroup hierarchy at {}", path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A cgroup's processes.
    #[error("cannot read the processes of cgroup {path}")]
    Members {
        /// The cgroup.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The root of the hierarchy; where none is mounted, the place where it usually is.
pub(crate) fn root() -> PathBuf {
    Cgroups::find().map_or_else(|_| PathBuf::from("/sys/fs/cgroup"), |cgroups| cgroups.root)
}

/// The hierarchy, held open.
#[derive(Debug)]
pub(crate) struct Cgroups {
    root: PathBuf,
    directory: File,
    /// Its ids are file handles, which only a real one's are.
    handles: bool,
}

/// The cgroups found by one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Ids (the directory's inode number) and paths from the hierarchy's root, `/` first.
    pub(crate) found: Vec<(u64, String)>,
    /// There were more than the bound.
    pub(crate) truncated: bool,
}

impl Cgroups {
    /// Finds the hierarchy among this process's mounts.
    pub(crate) fn find() -> Result<Self, CgroupsError> {
        let mounts = std::fs::read(mount::MOUNTINFO).map_err(CgroupsError::Mounts)?;
        Self::at(&mount::cgroup2(&mounts).ok_or(CgroupsError::NotMounted)?)
    }

    /// Takes the hierarchy at a given place.
    pub(crate) fn at(root: &Path) -> Result<Self, CgroupsError> {
        let directory =
            File::open(root).map_err(|source| CgroupsError::Open { path: root.to_owned(), source })?;
        let file_system = rustix::fs::fstatfs(&directory).map(|file_system| file_system.f_type);
        let handles = file_system.is_ok_and(|kind| kind == libc::CGROUP2_SUPER_MAGIC);
        Ok(Self { root: root.to_owned(), directory, handles })
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What is mounted begins with the hierarchy's root: that one's number is 1.
    pub(crate) fn is_whole(&self) -> bool {
        !self.handles || self.directory.metadata().is_ok_and(|root| root.ino() == 1)
    }

    /// Lists the hierarchy, parents before their children. What vanishes meanwhile is left out.
    pub(crate) fn scan(&self) -> Scan {
        let mut scan = Scan::default();
        self.walk(MAX_CGROUPS, |id, path| {
            scan.found.push((id, path.to_owned()));
            true
        })
        .then(|| scan.truncated = true);
        scan
    }

    /// The path of one cgroup; `None` where it is gone.
    pub(crate) fn path_of(&self, id: u64) -> Option<String> {
        if self.handles {
            match handle::path(&self.directory, id) {
                Ok(path) => return self.relative(&path),
                Err(error) if error.raw_os_error() == Some(libc::ESTALE) => return None,
                // Not permitted, most likely.
                Err(error) => log::debug!("cgroup {id} by its file handle: {error}"),
            }
        }
        let mut found = None;
        self.walk(MAX_CGROUPS, |other, path| {
            if other == id {
                found = Some(path.to_owned());
            }
            found.is_none()
        });
        found
    }

    /// The pid of a cgroup's first process: a container's own process 1, else the oldest one.
    pub(crate) fn first_process(&self, path: &str) -> Result<Option<u32>, CgroupsError> {
        let file = self.root.join(path.trim_start_matches('/')).join("cgroup.procs");
        let pids = match std::fs::read_to_string(file) {
            Ok(pids) => pids,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CgroupsError::Members { path: path.to_owned(), source }),
        };
        let members = pids.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0);
        Ok(members.take(MAX_MEMBERS).filter_map(seniority).min().map(|(_, _, pid)| pid as u32))
    }

    /// Calls `visit` for each cgroup until it says false or `limit` was reached (then: true).
    fn walk(&self, limit: usize, mut visit: impl FnMut(u64, &str) -> bool) -> bool {
        let Ok(root) = self.directory.metadata() else { return false };
        if !visit(root.ino(), "/") {
            return false;
        }
        let mut seen = 1;
        let mut waiting = vec![String::new()];
        while let Some(parent) = waiting.pop() {
            let Ok(entries) = std::fs::read_dir(self.root.join(parent.trim_start_matches('/'))) else {
                continue;
            };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if seen == limit {
                    return true;
                }
                seen += 1;
                let path = format!("{parent}/{}", entry.file_name().to_string_lossy());
                if !visit(entry.ino(), &path) {
                    return false;
                }
                waiting.push(path);
            }
        }
        false
    }

    /// A path of the file system as one from the hierarchy's root.
    fn relative(&self, path: &Path) -> Option<String> {
        let relative = path.strip_prefix(&self.root).ok()?;
        Some(format!("/{}", relative.to_string_lossy()))
    }
}

/// What orders the processes of a cgroup, the first one first; `None` for one that is gone.
fn seniority(pid: i32) -> Option<(bool, u64, i32)> {
    let process = Process::new(pid).ok()?;
    let nspid = process.status().ok()?.nspid;
    let is_first = nspid.and_then(|pids| pids.last().copied()) == Some(1);
    Some((!is_first, start_of(&process.stat().ok()?).0, pid))
}

#[cfg(test)]
mod tests;
