//! What changes from window to window: the summaries that differ from what was told last, and those that are gone.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use observer_proto::served as v1;
use prost::Message as _;
use tonic::Status;

use crate::wire::Summarized;

/// So many summaries may be kept to compare with, by all streams together: some 16 MiB.
const MOST_COMPARED: usize = 200_000;

/// What one stream has told. It keeps no more than a window has summaries, and of each of them its hashes alone.
#[derive(Debug)]
pub(in crate::serve) struct Changes {
    /// By the hash of what it is of.
    told: HashMap<u128, Told>,
    /// How many keys were given.
    keys: u64,
    /// How many windows were told.
    windows: u64,
    /// Two at once, so that no two summaries have the same by chance; nobody knows them beforehand.
    hashers: [RandomState; 2],
    share: Share,
}

/// A summary that was told.
#[derive(Debug)]
struct Told {
    key: u64,
    /// The hash of what was told.
    content: u128,
    /// The newest window that has it.
    window: u64,
}

/// A stream's part of what all of them keep.
#[derive(Debug)]
struct Share {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Changes {
    /// Nothing was told yet. What all streams keep is counted there.
    pub(in crate::serve) fn new(compared: &Arc<AtomicUsize>) -> Self {
        Self {
            told: HashMap::new(),
            keys: 0,
            windows: 0,
            hashers: [RandomState::new(), RandomState::new()],
            share: Share { all: Arc::clone(compared), own: 0 },
        }
    }

    /// What is to be told of the next window, and at its end.
    pub(super) fn next<'a>(
        &mut self,
        summaries: impl Iterator<Item = (Summarized<'a>, v1::Summary)>,
        end: &mut v1::WindowEnd,
    ) -> Result<Vec<v1::Summary>, Status> {
        end.snapshot = self.windows == 0;
        self.windows += 1;
        let changed: Vec<_> = summaries.filter_map(|(of, summary)| self.changed(&of, summary)).collect();
        end.ended = self.forget();
        end.summaries = changed.len() as u64;
        if !self.share.resize(self.told.len()) {
            return Err(Status::resource_exhausted(
                "changes: there are too many summaries to compare with already; ask for whole windows, or for fewer",
            ));
        }
        Ok(changed)
    }

    /// The summary with its key, if it is new or differs from what was told.
    fn changed(&mut self, of: &Summarized<'_>, mut summary: v1::Summary) -> Option<v1::Summary> {
        // When the window was is no change.
        let (start, length) = (summary.window_start.take(), std::mem::take(&mut summary.window_ns));
        let content = self.hash(&summary.encode_to_vec());
        (summary.window_start, summary.window_ns) = (start, length);
        let (of, window) = (self.hash(of), self.windows);
        let told = self.told.entry(of).or_insert_with(|| {
            self.keys += 1;
            Told { key: self.keys, content: !content, window }
        });
        told.window = window;
        summary.key = told.key;
        (std::mem::replace(&mut told.content, content) != content).then_some(summary)
    }

    /// Forgets what the newest window has no more: its keys.
    fn forget(&mut self) -> Vec<u64> {
        let newest = self.windows;
        let gone = self.told.extract_if(|_, told| told.window < newest);
        let mut keys: Vec<u64> = gone.map(|(_, told)| told.key).collect();
        keys.sort_unstable();
        if self.told.len() < self.told.capacity() / 4 {
            self.told.shrink_to_fit();
        }
        keys
    }

    fn hash(&self, of: &impl Hash) -> u128 {
        let [one, other] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(of)));
        one << 64 | other
    }
}

impl Share {
    /// Takes or gives back what it needs; `false` where there is too little for it.
    fn resize(&mut self, needed: usize) -> bool {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
        let before = self.all.fetch_add(needed, Ordering::Relaxed);
        self.own = needed;
        before.saturating_add(needed) <= MOST_COMPARED
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}
