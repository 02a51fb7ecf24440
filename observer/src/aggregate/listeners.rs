//! The table of listeners: how long their queues are, what was dropped, and how long the oldest waits.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use crate::event::{BootTime, ConnectionId, Listener, QueueSample, TcpState, Workload};

/// A listener and where it was found last.
#[derive(Debug)]
struct Entry {
    listener: Listener,
    /// The pass that read it last.
    pass: u64,
}

/// Listeners by their sockets; bounded.
#[derive(Debug)]
pub(super) struct Listeners {
    entries: HashMap<ConnectionId, Entry>,
    capacity: usize,
    pass: u64,
    /// Listeners that found no room, since somebody asked last.
    pub(super) no_room: u64,
}

impl Listeners {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity, pass: 0, no_room: 0 }
    }

    /// Takes the readings of all listeners; those that are not among them are gone. Gives what each
    /// dropped since the reading before, and those that are not in the table.
    pub(super) fn read(&mut self, samples: &[QueueSample]) -> (Vec<(Arc<Workload>, u64)>, Vec<QueueSample>) {
        self.pass += 1;
        let (mut dropped, mut unknown) = (Vec::new(), Vec::new());
        for sample in samples {
            let Some(Entry { listener, pass }) = self.entries.get_mut(&sample.id) else {
                unknown.push(*sample);
                continue;
            };
            *pass = self.pass;
            let count = u64::from(sample.queue.dropped.wrapping_sub(listener.queue.dropped));
            listener.queue = sample.queue;
            listener.most_waiting = listener.most_waiting.max(sample.queue.waiting);
            listener.dropped += count;
            if count > 0 {
                dropped.push((Arc::clone(&listener.workload), count));
            }
        }
        let pass = self.pass;
        self.entries.retain(|_, entry| entry.pass == pass);
        (dropped, unknown)
    }

    /// Adds a listener with its first reading. What one that is older than the daemon dropped before
    /// is not counted; what another one dropped is given.
    pub(super) fn add(&mut self, listener: Listener, sample: &QueueSample) -> u64 {
        if self.entries.len() >= self.capacity {
            self.no_room += 1;
            return 0;
        }
        let dropped = if listener.adopted { 0 } else { u64::from(sample.queue.dropped) };
        let (queue, most_waiting) = (sample.queue, sample.queue.waiting);
        let listener = Listener { queue, most_waiting, dropped, ..listener };
        self.entries.insert(listener.id, Entry { listener, pass: self.pass });
        dropped
    }

    /// Those that match, the fullest and those that dropped most first. `waiting` gives since
    /// when the oldest connection to a listener waits.
    pub(super) fn list(
        &self,
        matches: impl Fn(&Listener) -> bool,
        waiting: impl Fn(&Listener) -> Option<BootTime>,
    ) -> Vec<Listener> {
        let listeners = self.entries.values().map(|entry| &entry.listener);
        let mut found: Vec<Listener> = listeners
            .filter(|listener| matches(listener))
            .map(|listener| Listener { oldest_waiting: waiting(listener), ..listener.clone() })
            .collect();
        let rank = |listener: &Listener| {
            (std::cmp::Reverse(listener.queue.waiting), std::cmp::Reverse(listener.dropped), listener.id)
        };
        found.sort_unstable_by_key(rank);
        found
    }

    /// Takes a newer description of a workload over.
    pub(super) fn renew(&mut self, workload: &Arc<Workload>) {
        for Entry { listener, .. } in self.entries.values_mut() {
            if listener.workload.id == workload.id {
                listener.workload = Arc::clone(workload);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The states in which a connection may wait for accept(): established, and closed by the other side.
pub(super) fn may_wait(state: TcpState) -> bool {
    matches!(state, TcpState::ESTABLISHED | TcpState::CLOSE_WAIT)
}
