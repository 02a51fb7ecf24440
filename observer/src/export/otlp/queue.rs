//! Requests that wait to be sent, within a bound of bytes. Where there is no room, the oldest one goes: what is new says more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::event::WallTime;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) request: Bytes,
    /// Log records, spans or points in it.
    pub(super) items: u64,
    /// What was put in together does not make room for each other: who tells all figures at one time wants no part of them
    /// lost each time. How much that is has a bound elsewhere.
    pub(super) together: Option<WallTime>,
}

/// Both ends of it; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most_bytes: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    bytes: usize,
    ended: bool,
}

impl Queue {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self(Arc::new(Inner { most_bytes, state: Mutex::default(), changed: Notify::new() }))
    }

    /// Puts one in, and says how many items had to make room for it, or found none.
    pub(super) fn put(&self, batch: Batch) -> u64 {
        let size = batch.request.len();
        if size > self.0.most_bytes && batch.together.is_none() {
            return batch.items;
        }
        let mut state = self.lock();
        let mut lost = 0;
        while state.bytes + size > self.0.most_bytes {
            let is_older = |oldest: &mut Batch| batch.together.is_none() || oldest.together != batch.together;
            let Some(oldest) = state.batches.pop_front_if(is_older) else { break };
            state.bytes -= oldest.request.len();
            lost += oldest.items;
        }
        state.bytes += size;
        state.batches.push_back(batch);
        drop(state);
        self.0.changed.notify_one();
        lost
    }

    /// What waits takes half of the room or more: it is not taken as fast as it comes.
    pub(super) fn is_backed_up(&self) -> bool {
        self.lock().bytes >= self.0.most_bytes / 2
    }

    /// Takes the oldest one out; `None` once nothing more comes.
    pub(super) async fn next(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.lock();
                if let Some(batch) = state.batches.pop_front() {
                    state.bytes -= batch.request.len();
                    return Some(batch);
                }
                if state.ended {
                    return None;
                }
            }
            self.0.changed.notified().await;
        }
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.0.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked; if something did, what is in there is whole all the same.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(size: usize, items: u64) -> Batch {
        Batch { request: vec![0; size].into(), items, together: None }
    }

    #[tokio::test]
    async fn the_oldest_make_room_and_what_is_lost_is_counted() {
        let queue = Queue::new(100);
        assert_eq!((queue.put(batch(40, 1)), queue.put(batch(40, 2)), queue.put(batch(20, 4))), (0, 0, 0));
        assert_eq!(queue.put(batch(101, 8)), 8);
        assert!(queue.is_backed_up() && !Queue::new(100).is_backed_up());
        assert_eq!(queue.put(batch(50, 16)), 1 + 2);
        queue.end();
        let mut left = Vec::new();
        while let Some(batch) = queue.next().await {
            left.push(batch.items);
        }
        assert_eq!(left, [4, 16]);
    }

    #[tokio::test]
    async fn what_is_told_together_makes_room_only_for_the_next() {
        let queue = Queue::new(100);
        let put = |time, items| queue.put(Batch { together: Some(WallTime(time)), ..batch(60, items) });
        assert_eq!([put(1, 1), put(1, 2), put(1, 4)], [0, 0, 0]);
        assert_eq!([put(2, 8), put(2, 16), put(2, 32)], [1 + 2 + 4, 0, 0]);
        queue.end();
        let mut left = Vec::new();
        while let Some(batch) = queue.next().await {
            left.push(batch.items);
        }
        assert_eq!(left, [8, 16, 32]);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let queue = Queue::new(100);
        let other = queue.clone();
        let waiting = tokio::spawn(async move { other.next().await.map(|batch| batch.items) });
        tokio::task::yield_now().await;
        queue.put(batch(1, 7));
        assert_eq!(waiting.await.unwrap(), Some(7));
    }
}
