//! The recorder by a clock of one's own: for benchmarks, and for tests that record for hours.

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "bench")]
use prost::Message as _;

use super::shared::{Disk, Settings, Shared};
use super::store::{Figures, Limits, Place, Recorded, Store};
use super::writer::Writer;
use crate::event::{Event, Now};
use crate::filter::{Cache, Filters};
use crate::wire::Published;

/// A recorder without a thread.
pub(crate) struct Trial {
    shared: Arc<Shared>,
    writer: Writer,
    node_name: Arc<str>,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) events: u64,
    pub(crate) passed: u64,
}

impl Trial {
    pub(crate) fn new(folder: &Path, limits: Limits, now: Now) -> Self {
        let settings = Settings { folder: folder.to_owned(), limits, start: now.wall, disk: Disk::Real };
        let shared = Arc::new(Shared::new(settings));
        let writer = Writer::new(Arc::clone(&shared), now);
        Self { shared, writer, node_name: "node-1".into() }
    }

    /// What the event loop does, and then what the recorder's thread does with it.
    pub(crate) fn record(&mut self, events: &[Arc<Event>], now: Now) {
        let told: Vec<_> = events.iter().map(|event| Published::new(event, &self.node_name)).collect();
        self.writer.events(&told, now);
        self.writer.tick(now);
    }

    pub(crate) fn store(&self) -> Option<Store> {
        self.shared.store()
    }

    pub(crate) fn figures(&self) -> Figures {
        self.store().map_or_else(Figures::default, |store| store.figures())
    }

    #[cfg(test)]
    pub(crate) fn missed(&self) -> u64 {
        self.shared.counts().missed
    }

    pub(crate) fn commits(&self) -> u64 {
        self.shared.counts().commits
    }

    /// Has the newest events pass a filter, so many of them.
    pub(crate) fn replay(&self, filters: &Filters, most: u64) -> Replayed {
        let (mut read, mut cache, mut place) = (Replayed::default(), Cache::default(), Place::default());
        let Some(store) = self.store() else { return read };
        while read.events < most
            && let Ok(Some(chunk)) = store.forward(place)
        {
            place = chunk.after;
            for one in &chunk.items {
                let Recorded::Event { event, .. } = one else { continue };
                read.events += 1;
                read.passed += u64::from(filters.encoded_event(event, &mut cache).is_some());
            }
        }
        read
    }
}

/// What an event takes encoded, for comparison.
#[cfg(feature = "bench")]
pub(crate) fn encoded_bytes(event: &Event) -> usize {
    crate::wire::event(event, "node-1").encoded_len()
}
