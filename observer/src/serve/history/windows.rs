//! The newest windows.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::Window;

/// The newest windows, bounded by number and by what they hold.
#[derive(Debug)]
pub(in crate::serve) struct Windows {
    newest: VecDeque<Arc<Window>>,
    capacity: usize,
    /// Workloads and edges in all windows.
    entries: usize,
    max_entries: usize,
}

impl Windows {
    pub(in crate::serve) fn new(capacity: usize, max_entries: usize) -> Self {
        Self { newest: VecDeque::new(), capacity, entries: 0, max_entries }
    }

    pub(in crate::serve) fn push(&mut self, window: &Arc<Window>) {
        self.entries += entries(window);
        self.newest.push_back(Arc::clone(window));
        while self.newest.len() > self.capacity || self.entries > self.max_entries {
            let Some(oldest) = self.newest.pop_front() else { break };
            self.entries -= entries(&oldest);
        }
    }

    /// Workloads and edges in all of them, and how many there may be.
    pub(in crate::serve) fn size(&self) -> [usize; 2] {
        [self.entries, self.max_entries]
    }

    /// All of them, oldest first.
    pub(in crate::serve) fn all(&self) -> impl Iterator<Item = &Arc<Window>> {
        self.newest.iter()
    }

    /// Those of the newest `length_ns`, oldest first.
    pub(in crate::serve) fn last(&self, length_ns: u64) -> Vec<Arc<Window>> {
        let Some(end) = self.newest.back().map(|window| window.end()) else { return Vec::new() };
        let within = |window: &&Arc<Window>| end.since_ns(window.start) <= length_ns;
        self.newest.iter().filter(within).cloned().collect()
    }
}

/// What of a window takes memory.
fn entries(window: &Window) -> usize {
    let Window { start: _, length_ns: _, lost_events: _, workloads, edges, listeners, live } = window;
    workloads.len() + edges.len() + listeners.len() / 4 + live.edges.len() / 4
}
