//! Tables of other network namespaces, each opened for one question: an open one would keep the namespace.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::super::host;
use super::super::netns::{self, Netns};
use super::table::Table;
use crate::event::BootTime;

/// Namespaces whose files are remembered.
const MAX_PATHS: usize = 1024;
/// All processes are looked through for a namespace so often at most: each 100 ms.
const SEARCH_INTERVAL_NS: u64 = 100_000_000;

/// Where other namespaces were found.
#[derive(Default)]
pub(super) struct Elsewhere {
    paths: HashMap<u32, PathBuf>,
    searched: BootTime,
}

impl Elsewhere {
    /// Opens the table of a namespace, in which a process is or was.
    pub(super) fn open(&mut self, inode: u32, pid: Option<u32>) -> io::Result<Table> {
        let of_process = pid.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/net")));
        let mut known = of_process.into_iter().chain(self.paths.get(&inode).cloned());
        let file = known.find_map(|path| file(&path, inode));
        let file = file.or_else(|| self.search(inode)).ok_or(io::ErrorKind::NotFound)?;
        let netns = Netns::of(file, None);
        // The thread that enters it does nothing else.
        std::thread::scope(|scope| {
            let entered = scope.spawn(|| netns.enter().and_then(|()| Table::open()));
            entered.join().unwrap_or_else(|_panic| Err(io::Error::other("the thread panicked")))
        })
    }

    /// Processes end early, and others may still be in their namespace: a pod's sandbox at least.
    fn search(&mut self, inode: u32) -> Option<File> {
        let now = host::now().boot;
        if now.since_ns(self.searched) < SEARCH_INTERVAL_NS {
            return None;
        }
        self.searched = now;
        if self.paths.len() >= MAX_PATHS {
            self.paths.clear();
        }
        let path = netns::find(inode)?;
        let found = file(&path, inode);
        self.paths.insert(inode, path);
        found
    }
}

/// The file, if it stands for that namespace still: a pid may be used again.
fn file(path: &Path, inode: u32) -> Option<File> {
    let file = File::open(path).ok()?;
    (file.metadata().ok()?.ino() == u64::from(inode)).then_some(file)
}
