//! The bounded queue between the event loop and one stream.

use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::event::{BootTime, Event, FoldNotice, Loss, LossSource, Now, Window};
use crate::room::Room;

/// So many updates may wait for a client also where memory is short.
const SPARED: usize = 1024;

/// What travels to a stream.
#[derive(Debug)]
pub(super) enum Item {
    /// The subscription stands: what comes after this is seen.
    Connected,
    /// There is no room for another subscription.
    Refused {
        subscribers: usize,
    },
    /// The newest of what is in memory.
    Events(Vec<Arc<Event>>),
    Event(Arc<Event>),
    /// The newest of what is in memory.
    Windows(Vec<Arc<Window>>, Now),
    Window(Arc<Window>, Now),
    Lost(Box<(Loss, Now)>),
    Folded(Arc<FoldNotice>, Now),
}

/// The event loop's end of a queue. Never blocks: what finds no room is counted, and told as soon as
/// there is room again, before anything later.
#[derive(Debug)]
pub(crate) struct Sink {
    items: mpsc::Sender<Item>,
    /// What the daemon's end says when everything else was said: losses that are still to be told.
    farewell: oneshot::Sender<Vec<(Loss, Now)>>,
    /// Losses that are to be told, one for each kind and place.
    untold: Vec<Loss>,
    /// What this queue's own losses are of.
    kind: &'static str,
    room: Room,
}

/// The stream's end of a queue.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) items: mpsc::Receiver<Item>,
    /// Answers only where the daemon stops.
    pub(super) farewell: oneshot::Receiver<Vec<(Loss, Now)>>,
}

/// The stream is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// Makes a queue of so many items.
pub(super) fn queue(capacity: usize, kind: &'static str) -> (Sink, Source) {
    let (sender, items) = mpsc::channel(capacity.max(4));
    let (goodbye, farewell) = oneshot::channel();
    let sink = Sink { items: sender, farewell: goodbye, untold: Vec::new(), kind, room: Room::default() };
    (sink, Source { items, farewell })
}

impl Source {
    /// Once the queue has ended: what is still to be told where the daemon stops; `None` where the
    /// stream simply is at its end.
    pub(super) fn last_words(&mut self) -> Option<Vec<(Loss, Now)>> {
        self.farewell.try_recv().ok()
    }
}

impl Sink {
    /// Has no more wait than memory allows.
    pub(super) fn share(&mut self, room: &Room) {
        self.room = room.clone();
    }

    /// Whether another update may wait. Where memory is short, only those who are nearly up to date have theirs.
    fn may_wait(&self) -> bool {
        self.room.is_left() || self.items.max_capacity() - self.items.capacity() < SPARED
    }

    /// Sends one update; where there is no room, or earlier losses cannot be told first, it is lost.
    pub(super) fn send(&mut self, item: Item, now: Now) -> Result<(), Gone> {
        self.tell(now)?;
        if self.untold.is_empty() && self.may_wait() {
            match self.items.try_send(item) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(Gone),
                Err(TrySendError::Full(_)) => {}
            }
        }
        self.lose(now.boot);
        Ok(())
    }

    /// Tells of what was lost elsewhere, now or as soon as there is room.
    pub(super) fn lost(&mut self, loss: &Loss, now: Now) -> Result<(), Gone> {
        self.note(loss.clone());
        self.tell(now)
    }

    /// Tells what is to be told, as far as there is room.
    pub(super) fn tell(&mut self, now: Now) -> Result<(), Gone> {
        while let Some(loss) = self.untold.first() {
            match self.items.try_reserve() {
                Ok(room) => room.send(Item::Lost(Box::new((loss.clone(), now)))),
                Err(TrySendError::Closed(())) => return Err(Gone),
                Err(TrySendError::Full(())) => return Ok(()),
            }
            self.untold.remove(0);
        }
        if self.items.is_closed() { Err(Gone) } else { Ok(()) }
    }

    /// The daemon stops.
    pub(super) fn stop(self, now: Now) {
        let Self { items, farewell, untold, kind: _, room: _ } = self;
        // The farewell has to be there when the queue ends. A stream that is gone needs none.
        let _gone = farewell.send(untold.into_iter().map(|loss| (loss, now)).collect());
        drop(items);
    }

    fn lose(&mut self, at: BootTime) {
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

/// Two losses that are told as one.
pub(super) fn same_kind(a: &Loss, b: &Loss) -> bool {
    (a.source, a.kind, a.cpu) == (b.source, b.kind, b.cpu)
}

/// Adds one loss to another of the same kind.
pub(super) fn add(to: &mut Loss, loss: &Loss) {
    to.count += loss.count;
    to.since = to.since.min(loss.since);
    to.until = to.until.max(loss.until);
}
