//! The table of listeners: how long their queues are, what was dropped, and how long the oldest waits.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use crate::event::{BootTime, ConnectionId, Listener, QueueSample, Workload};

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
    /// Listeners beyond the capacity in the last pass: each is counted once.
    beyond: usize,
    /// Listeners that found no room, since somebody asked last.
    pub(super) no_room: u64,
}

impl Listeners {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity, pass: 0, beyond: 0, no_room: 0 }
    }

    /// Takes the readings of all listeners; those that are not among them are gone. `tell` hears of
    /// each what it dropped since the reading before. Gives those that are not in the table, as many as
    /// have room there.
    pub(super) fn read(
        &mut self,
        samples: &[QueueSample],
        mut tell: impl FnMut(&Listener, u64),
    ) -> Vec<QueueSample> {
        self.pass += 1;
        let mut unknown = Vec::new();
        for sample in samples {
            let Some(Entry { listener, pass }) = self.entries.get_mut(&sample.id) else {
                unknown.push(*sample);
                continue;
            };
            *pass = self.pass;
            let dropped = take(listener, sample);
            tell(listener, dropped);
        }
        let pass = self.pass;
        self.entries.retain(|_, entry| entry.pass == pass);
        let room = self.capacity.saturating_sub(self.entries.len());
        let beyond = unknown.len().saturating_sub(room);
        self.no_room += beyond.saturating_sub(self.beyond) as u64;
        self.beyond = beyond;
        unknown.truncate(room);
        unknown
    }

    /// Adds a listener with its first reading; there is room, or `read` would not have given it. `tell`
    /// hears what it dropped since it began, or (older than the daemon) was taken over.
    pub(super) fn add(
        &mut self,
        mut listener: Listener,
        sample: &QueueSample,
        tell: impl FnOnce(&Listener, u64),
    ) {
        let dropped = take(&mut listener, sample);
        tell(&listener, dropped);
        self.entries.insert(listener.id, Entry { listener, pass: self.pass });
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

/// Takes a reading over, and gives what was dropped since the one before.
fn take(listener: &mut Listener, sample: &QueueSample) -> u64 {
    let dropped = u64::from(sample.queue.dropped.wrapping_sub(listener.queue.dropped));
    listener.queue = sample.queue;
    listener.most_waiting = listener.most_waiting.max(sample.queue.waiting);
    listener.dropped += dropped;
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Queue;
    use crate::event::examples::pod;

    fn listener(id: u64, dropped_before: u32) -> Listener {
        Listener {
            id: ConnectionId(id),
            workload: pod(1, "shop", "a"),
            process: None,
            local: "0.0.0.0:80".parse().unwrap(),
            netns: 1,
            start: BootTime(0),
            adopted: dropped_before > 0,
            queue: Queue { dropped: dropped_before, ..Queue::default() },
            most_waiting: 0,
            dropped: 0,
            oldest_waiting: None,
        }
    }

    fn sample(id: u64, dropped: u32) -> QueueSample {
        QueueSample { id: ConnectionId(id), queue: Queue { waiting: 1, limit: 5, dropped } }
    }

    #[test]
    fn what_was_dropped_is_counted_since_it_is_followed_and_when_the_counter_wraps() {
        let mut listeners = Listeners::new(2);
        let mut sum = 0;
        listeners.add(listener(1, u32::MAX - 4), &sample(1, u32::MAX - 1), |_, dropped| sum += dropped);
        assert_eq!(sum, 3);
        assert!(listeners.read(&[sample(1, 8)], |_, dropped| sum += dropped).is_empty());
        assert_eq!(sum, 13);
    }

    #[test]
    fn those_without_room_are_counted_once_and_asked_for_when_there_is_room() {
        let mut listeners = Listeners::new(1);
        let both = [sample(1, 0), sample(2, 0)];
        let unknown = listeners.read(&both, |_, _| {});
        assert_eq!(unknown.len(), 1, "no more than have room");
        listeners.add(listener(1, 0), &both[0], |_, _| {});
        for _ in 0..3 {
            assert!(listeners.read(&both, |_, _| {}).is_empty());
        }
        assert_eq!(listeners.no_room, 1);
        let unknown = listeners.read(&both[1..], |_, _| {});
        assert_eq!(unknown.len(), 1, "the first one is gone");
    }
}
