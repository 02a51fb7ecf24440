//! The bounded queue between the event loop and one stream.
//!
//! The event loop hands over what happened in a round at once, and wakes the stream once for it: with a wake-up for
//! each event, these would cost more than the events.

mod gauge;
mod item;
mod losses;

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub(crate) use self::gauge::Gauge;
pub(crate) use self::item::{Item, Page, Past};
pub(super) use self::losses::{add, same_kind};
use crate::event::{BootTime, Loss, LossSource, Now};
use crate::room::Room;

/// So many updates may wait for a client also where memory is short.
const SPARED: usize = 1024;
/// What another one takes: its place in the queue and, of what it points to, the share of a client among several.
const WAITING_BYTES: usize = 32;
/// An empty queue that has more places than this lets them go.
const PLACES_KEPT: usize = 4 * TAKEN;
/// So many a stream takes out of its queue at a time; there are more of them in memory than the queue holds by this.
pub(super) const TAKEN: usize = 512;

/// What both ends share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// What the items take. Counted beside the lock: to look at each of them takes longer than the rest.
    bytes: AtomicUsize,
    /// How many the stream took out and has still to send.
    taken: AtomicUsize,
    /// How many found no room so far.
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// Who waits for items.
    waiting: Option<Waker>,
    /// Nothing more comes.
    ended: bool,
    /// Where the daemon stops: losses that are still to be told.
    farewell: Option<Vec<(Loss, Now)>>,
    /// Nobody reads any more.
    gone: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked; if something did, what is in there is whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is shared, and wakes the stream for it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
        result
    }
}

/// The event loop's end of a queue. Never blocks: what finds no room is counted, and told as soon as
/// there is room again, before anything later.
#[derive(Debug)]
pub(crate) struct Sink {
    shared: Arc<Shared>,
    capacity: usize,
    capacity_bytes: usize,
    /// To be handed over with the round.
    pending: Vec<Item>,
    pending_bytes: usize,
    /// How many waited after the last handing over, and what they took; now it may be less.
    waiting: usize,
    waiting_bytes: usize,
    /// Losses that are to be told, one for each kind and place.
    untold: Vec<Loss>,
    /// What this queue's own losses are of.
    kind: &'static str,
    room: Room,
}

/// The stream's end of a queue.
#[derive(Debug)]
pub(crate) struct Source {
    shared: Arc<Shared>,
    /// Taken out, still to be sent.
    taken: VecDeque<Item>,
}

/// The stream is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Makes a queue of so many items.
pub(crate) fn queue(capacity: usize, kind: &'static str) -> (Sink, Source) {
    let shared = Arc::new(Shared::default());
    let source = Source { shared: Arc::clone(&shared), taken: VecDeque::new() };
    let sink = Sink {
        shared,
        capacity: capacity.max(4),
        capacity_bytes: usize::MAX,
        pending: Vec::new(),
        pending_bytes: 0,
        waiting: 0,
        waiting_bytes: 0,
        untold: Vec::new(),
        kind,
        room: Room::default(),
    };
    (sink, source)
}

impl Source {
    /// What tells how it stands.
    pub(crate) fn gauge(&self) -> Gauge {
        Gauge::of(&self.shared)
    }

    /// The next item; `None` once the queue has ended and is empty.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Item>> {
        if self.taken.is_empty() {
            let mut state = self.shared.lock();
            let count = state.items.len().min(TAKEN);
            self.taken.extend(state.items.drain(..count));
            if state.items.is_empty() && state.items.capacity() > PLACES_KEPT {
                state.items = VecDeque::new();
            }
            if self.taken.is_empty() && !state.ended {
                state.waiting = Some(context.waker().clone());
                return Poll::Pending;
            }
            // Before anybody can see the queue without them.
            self.shared.taken.store(self.taken.len(), Ordering::Relaxed);
            drop(state);
            let bytes = self.taken.iter().map(Item::bytes).sum();
            self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        let next = self.taken.pop_front();
        self.shared.taken.store(self.taken.len(), Ordering::Relaxed);
        Poll::Ready(next)
    }

    /// The same, to be awaited.
    pub(crate) async fn next(&mut self) -> Option<Item> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Once the queue has ended: what is still to be told where the daemon stops; `None` where the
    /// stream simply is at its end.
    pub(crate) fn last_words(&mut self) -> Option<Vec<(Loss, Now)>> {
        self.shared.lock().farewell.take()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.gone = true;
        self.shared.taken.store(0, Ordering::Relaxed);
        let left = mem::take(&mut state.items);
        drop(state);
        drop(left);
    }
}

impl Sink {
    /// Has no more wait than so many bytes.
    pub(crate) const fn hold(&mut self, bytes: usize) {
        self.capacity_bytes = bytes;
    }

    /// Has no more wait than memory allows.
    pub(super) fn share(&mut self, room: &Room) {
        self.room = room.clone();
    }

    /// Takes one update for the round; where there is no room, or earlier losses cannot be told first, it is lost.
    pub(super) fn add(&mut self, item: Item, now: Now) {
        self.tell(now);
        if self.untold.is_empty() && self.has_room() && self.may_wait() {
            self.push(item);
        } else {
            self.lose(now.boot);
        }
    }

    /// Takes what the stream has asked for, for which there is always room: it asks for one at a time.
    pub(super) fn hand(&mut self, item: Item) {
        self.push(item);
    }

    /// Takes one update and hands it over.
    pub(super) fn send(&mut self, item: Item, now: Now) -> Result<(), Gone> {
        self.add(item, now);
        self.flush()
    }

    /// Tells of what was lost elsewhere, now or as soon as there is room.
    pub(super) fn lost(&mut self, loss: &Loss, now: Now) -> Result<(), Gone> {
        self.note(loss.clone());
        self.tell(now);
        self.flush()
    }

    /// Takes what was lost for the round, as far as there is room.
    pub(super) fn tell(&mut self, now: Now) {
        while !self.untold.is_empty() && self.has_room() {
            let loss = self.untold.remove(0);
            self.push(Item::Lost(Box::new((loss, now))));
        }
    }

    /// Hands the round over.
    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        let gone = if self.pending.is_empty() {
            self.shared.lock().gone
        } else {
            let (pending, bytes) = (&mut self.pending, mem::take(&mut self.pending_bytes));
            // Before the stream can take them out.
            self.waiting_bytes = self.shared.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
            let (gone, waiting) = self.shared.change(|state| {
                if !state.gone {
                    state.items.extend(pending.drain(..));
                }
                (state.gone, state.items.len())
            });
            self.waiting = waiting;
            gone
        };
        if gone { Err(Gone) } else { Ok(()) }
    }

    /// The daemon stops.
    pub(super) fn stop(mut self, now: Now) {
        let untold = mem::take(&mut self.untold).into_iter().map(|loss| (loss, now)).collect();
        // A stream that is gone needs no farewell.
        let _gone = self.flush();
        self.shared.lock().farewell = Some(untold);
    }

    /// Whether one more finds room.
    fn has_room(&mut self) -> bool {
        if !self.holds_less() {
            // Some may have been taken out since.
            self.waiting = self.shared.lock().items.len();
            self.waiting_bytes = self.shared.bytes.load(Ordering::Relaxed);
        }
        self.holds_less()
    }

    const fn holds_less(&self) -> bool {
        self.waiting + self.pending.len() < self.capacity
            && self.waiting_bytes + self.pending_bytes < self.capacity_bytes
    }

    fn push(&mut self, item: Item) {
        self.pending_bytes += item.bytes();
        self.pending.push(item);
    }

    /// Whether another update may wait. Where memory is short, only those who are nearly up to date have theirs.
    fn may_wait(&self) -> bool {
        self.waiting + self.pending.len() < SPARED || self.room.take(WAITING_BYTES)
    }

    fn lose(&mut self, at: BootTime) {
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
        let kind = self.kind;
        let source = LossSource::Subscriber;
        self.note(Loss { source, kind, cpu: None, count: 1, since: at, until: at });
    }

    /// Adds to what is to be told; the places and kinds are few, so this is bounded.
    fn note(&mut self, loss: Loss) {
        match self.untold.iter_mut().find(|known| same_kind(known, &loss)) {
            Some(known) => add(known, &loss),
            None => self.untold.push(loss),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.change(|state| state.ended = true);
    }
}
