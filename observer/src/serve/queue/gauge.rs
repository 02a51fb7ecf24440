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

    /// How many wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.0.lock().items.len() as u64
    }

    /// How many found no room so far.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Sink {
    /// How many wait.
    pub(in crate::serve) fn waits(&self) -> u64 {
        Gauge::of(&self.shared).waiting()
    }
}
