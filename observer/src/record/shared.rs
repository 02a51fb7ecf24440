//! What the recorder's thread shares with those who hand over, ask and read.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::store::{Limits, Store};
use crate::event::WallTime;

/// What the recorder has to know.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where the file is.
    pub(crate) folder: PathBuf,
    pub(crate) limits: Limits,
    /// The daemon's start, which names this run.
    pub(crate) start: WallTime,
    /// Whom it asks how much of the disk is left.
    pub(crate) disk: Disk,
}

/// Who knows how much of the disk is left.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Disk {
    /// The kernel.
    Real,
    /// A test: so many bytes.
    #[cfg(test)]
    Has(&'static AtomicU64),
}

impl Disk {
    /// So many bytes are left where that file is; `None` where nobody knows.
    pub(super) fn left(self, path: &Path) -> Option<u64> {
        match self {
            Self::Real => {
                let found = rustix::fs::statvfs(path).ok()?;
                Some(found.f_bavail.saturating_mul(found.f_frsize))
            }
            #[cfg(test)]
            Self::Has(bytes) => Some(bytes.load(Ordering::Relaxed)),
        }
    }
}

/// How the recorder stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It looks at what is there.
    #[default]
    Opening,
    Recording,
    /// It tries again; why.
    Paused(String),
    /// It does not; why.
    Refused(String),
}

/// What is shared.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    state: Mutex<State>,
    commits: AtomicU64,
    errors: AtomicU64,
    missed: AtomicU64,
    /// Bytes that wait to be recorded.
    pub(super) waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    standing: Standing,
    store: Option<Store>,
}

/// What the recorder did so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) commits: u64,
    pub(super) errors: u64,
    pub(super) missed: u64,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: Mutex::default(),
            commits: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store(&self) -> Option<Store> {
        self.state().store.clone()
    }

    pub(super) fn opened(&self, store: Store) {
        self.state().store = Some(store);
    }

    pub(super) fn stand(&self, standing: Standing) {
        self.state().standing = standing;
    }

    pub(super) fn standing(&self) -> Standing {
        self.state().standing.clone()
    }

    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn missed(&self, count: u64) {
        self.missed.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        let [commits, errors, missed] =
            [&self.commits, &self.errors, &self.missed].map(|count| count.load(Ordering::Relaxed));
        Counts { commits, errors, missed }
    }
}
