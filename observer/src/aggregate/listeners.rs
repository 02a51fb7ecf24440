//! The table of listeners: how long their queues are, what was dropped, and how long the oldest waits.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet};

use crate::event::{BootTime, ConnectionId, Listener, QueueSample, Workload};

/// A listener and where it was found last.
#[derive(Debug)]
struct Entry {
    listener: Listener,
    /// The pass that read it last.
    pass: u64,
    /// What it dropped that nobody has told the cause of.
    unexplained: u64,
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
            let Some(Entry { listener, pass, unexplained }) = self.entries.get_mut(&sample.id) else {
                unknown.push(*sample);
                continue;
            };
            *pass = self.pass;
            let dropped = take(listener, sample);
            *unexplained += dropped;
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
        self.entries.insert(listener.id, Entry { listener, pass: self.pass, unexplained: dropped });
    }

    /// The network namespaces where something was dropped of which nobody has told the cause, each with
    /// the processes that listen there.
    pub(super) fn dropping(&self) -> Vec<(u32, Vec<u32>)> {
        let mut found: HashMap<u32, Vec<u32>> = HashMap::new();
        for Entry { listener, .. } in self.entries.values().filter(|entry| entry.unexplained > 0) {
            let pids = found.entry(listener.netns).or_default();
            pids.extend(listener.process.as_ref().map(|process| process.key.pid));
        }
        found.into_iter().collect()
    }

    /// What was dropped in a namespace overflowed so often; `None`: not known. It is told of the one
    /// listener that dropped something; of several nobody knows which, but the sum is one workload's
    /// where all of them are. Gives how many more there were than were dropped as far as readings tell: those
    /// are of the next reading.
    pub(super) fn overflowed(
        &mut self,
        netns: u32,
        count: Option<u64>,
        tell: impl FnOnce(&Listener, u64),
    ) -> u64 {
        let dropping = self.entries.values_mut().filter(|entry| entry.unexplained > 0);
        let mut of_netns: Vec<&mut Entry> = dropping.filter(|entry| entry.listener.netns == netns).collect();
        let dropped = of_netns.iter().map(|entry| entry.unexplained).sum();
        let early = count.map_or(0, |count| count.saturating_sub(dropped));
        let count = count.map(|count| count - early);
        let alone = of_netns.len() == 1;
        for entry in &mut of_netns {
            entry.unexplained = 0;
            let sum = entry.listener.overflowed.zip(count.filter(|count| alone || *count == 0));
            entry.listener.overflowed = sum.map(|(before, count)| before + count);
        }
        let owner = of_netns.first().map(|entry| entry.listener.workload.id);
        if of_netns.iter().all(|entry| Some(entry.listener.workload.id) == owner)
            && let (Some(entry), Some(count @ 1..)) = (of_netns.first(), count)
        {
            tell(&entry.listener, count);
        }
        early
    }

    /// The network namespaces that have a listener.
    pub(super) fn netns(&self) -> HashSet<u32> {
        self.entries.values().map(|entry| entry.listener.netns).collect()
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
            overflowed: Some(0),
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
    fn overflows_are_told_of_the_one_that_dropped() {
        let mut listeners = Listeners::new(9);
        for id in 1..3 {
            listeners.add(listener(id, 0), &sample(id, 0), |_, _| {});
        }
        assert!(listeners.dropping().is_empty());
        let all = |listeners: &Listeners| {
            let mut all = listeners.list(|_| true, |_| None);
            all.sort_by_key(|listener| listener.id);
            all.into_iter().map(|listener| listener.overflowed).collect::<Vec<_>>()
        };
        let mut sum = 0;
        listeners.read(&[sample(1, 7), sample(2, 0)], |_, _| {});
        assert_eq!(listeners.dropping(), [(1, vec![])]);
        assert_eq!(listeners.overflowed(1, Some(5), |_, count| sum += count), 0);
        assert_eq!((all(&listeners), sum), (vec![Some(5), Some(0)], 5));
        assert!(listeners.dropping().is_empty());
        // Both at once: the sum is their workload's, but whose each one is nobody knows.
        listeners.read(&[sample(1, 9), sample(2, 1)], |_, _| {});
        let early = listeners.overflowed(1, Some(100), |_, count| sum += count);
        assert_eq!((all(&listeners), sum, early), (vec![None, None], 8, 97), "no more than were dropped");
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
