//! How a queue stands, for whoever tells of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Shared, Sink};

/// Tells how a queue stands, from anywhere.
#[derive(Clone, Debug)]
pub(crate) struct Gauge(Arc<Shared>);

impl Gauge {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// How many wait, those that the stream took out and has still to send among them.
    pub(crate) fn waiting(&self) -> u64 {
        let state = self.0.lock();
        (state.items.len() + self.0.taken.load(Ordering::Relaxed)) as u64
    }

    /// How many found no room so far.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Sink {
    /// How many wait in it.
    pub(in crate::serve) fn waits(&self) -> u64 {
        self.shared.lock().items.len() as u64
    }
}
