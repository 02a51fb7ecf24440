//! One node's part in a stream of events: asked again and again, from where it was cut off.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{NodeState, NodeStatus, Resume, WatchEventsRequest, WatchEventsResponse};
use prost_types::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::super::call::Filters;
use super::super::merge::NodeNumber;
use super::super::node::{CLOCKS_AGREE, Up, now};
use super::part::{End, Gone, Of, Part, stopping};
use crate::wire::wall_time;

/// So many nodes' positions are remembered, and those of all that are followed.
const MOST_POSITIONS: usize = 10_000;

/// What one node brings.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) node: NodeNumber,
    pub(super) what: What,
    /// Its place among what is held.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

/// What it is.
#[derive(Debug)]
pub(super) enum What {
    /// A message, and the time of it by the relay's clock.
    Message(Box<WatchEventsResponse>, u64),
    /// How the node is.
    State(NodeStatus),
    /// All of the past has come.
    CaughtUp,
    /// Nothing more comes.
    Ended,
}

/// How far a node's daemon was told from; `None` where nothing of it has come.
type Position = Arc<Mutex<Option<Resume>>>;

/// How far each node's daemon was told from: where a stream goes on that is asked for again. It is the node's, and not of
/// one connection: a daemon may be found at another address then, or anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Positions(Arc<Mutex<HashMap<Arc<str>, Position>>>);

impl Positions {
    fn of(&self, node: &Arc<str>) -> Position {
        let mut all = lock(&self.0);
        if all.len() > MOST_POSITIONS && !all.contains_key(node) {
            // Nodes come and go for as long as a client stays: those that nobody follows any more are forgotten.
            all.retain(|_, position| Arc::strong_count(position) > 1);
        }
        Arc::clone(all.entry(Arc::clone(node)).or_default())
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One node's part.
pub(super) struct Following {
    pub(super) of: Of,
    pub(super) number: NodeNumber,
    /// Without filters.
    pub(super) request: WatchEventsRequest,
    pub(super) sender: mpsc::Sender<Brought>,
    /// What may be held of the past, of this node, and of what happens, of all.
    pub(super) past: Arc<Semaphore>,
    pub(super) shared: Arc<Semaphore>,
    /// No node's past is waited for any more.
    pub(super) pasts_over: watch::Receiver<bool>,
    /// Where each node goes on.
    pub(super) positions: Positions,
    /// It tells of the past.
    pub(super) catching_up: bool,
    /// Whose numbers its daemon's events have.
    pub(super) run: Option<Timestamp>,
    /// The newest time that it told.
    pub(super) newest: u64,
    /// How much its clock was ahead when that was said last.
    pub(super) ahead_ns: i64,
}

/// How one stream ended.
enum Ended {
    With(End),
    /// There is no room for what happens until the past of all nodes was told: it is asked for then.
    Full,
}

impl Part for Following {
    fn of(&mut self) -> &mut Of {
        &mut self.of
    }

    async fn stream(&mut self, up: &Up, (allow, deny): Filters) -> Result<End, Gone> {
        let request = WatchEventsRequest { allow, deny, ..self.request.clone() };
        loop {
            match self.once(up, request.clone()).await? {
                Ended::With(end) => return Ok(end),
                Ended::Full => tokio::select! {
                    _relay_stops = self.pasts_over.wait_for(|over| *over) => {}
                    () = self.sender.closed() => return Err(Gone),
                },
            }
        }
    }

    async fn state(&mut self, status: NodeStatus) -> Result<(), Gone> {
        self.send(What::State(status)).await
    }

    async fn cut_off(&mut self) -> Result<(), Gone> {
        self.caught_up().await
    }

    async fn end(&mut self) -> Result<(), Gone> {
        self.send(What::Ended).await
    }
}

impl Following {
    /// One stream, from where the one before it was cut off; from the beginning where nothing of it had come.
    async fn once(&mut self, up: &Up, request: WatchEventsRequest) -> Result<Ended, Gone> {
        let position = self.positions.of(&up.name);
        let request = match *lock(&position) {
            None => request,
            resume @ Some(_) => {
                WatchEventsRequest { resume, since: None, until: None, first: 0, last: 0, ..request }
            }
        };
        let mut observer = up.observer.clone();
        let call = observer.watch_events(self.of.asker.request(request));
        let mut stream = match self.of.open(call).await {
            Ok(stream) => stream,
            Err(end) => return Ok(Ended::With(end)),
        };
        loop {
            let message = match self.of.next(&mut stream).await {
                Ok(message) => message,
                Err(end) => return Ok(Ended::With(end)),
            };
            if let Some(ended) = self.take(up, &position, message).await? {
                return Ok(ended);
            }
        }
    }

    /// Takes a message in, and passes it on.
    async fn take(
        &mut self,
        up: &Up,
        position: &Position,
        mut message: WatchEventsResponse,
    ) -> Result<Option<Ended>, Gone> {
        match &mut message.payload {
            Some(Payload::Event(event)) => {
                let here = Resume { sequence: event.sequence, start_time: self.run };
                let time = self.time(event.time.as_ref()).await?;
                if !self.hold(message, time).await? {
                    return Ok(Some(Ended::Full));
                }
                self.newest = self.newest.max(time);
                *lock(position) = Some(here);
            }
            Some(Payload::NodeStatus(status)) => match status.state() {
                NodeState::Connected => {
                    self.run = status.start_time;
                    // What of the past was asked for is still to come.
                    if !asks_past(&self.request) {
                        let begin = Resume { sequence: status.after_sequence, start_time: status.start_time };
                        lock(position).get_or_insert(begin);
                    }
                    status.node_name = up.name.to_string();
                    if !status.recorded {
                        self.ahead_ns = up.clock_ahead_ns();
                        status.message = up.words();
                    }
                    return self.pass(message).await;
                }
                NodeState::Following => self.caught_up().await?,
                NodeState::Stopping => return Ok(Some(Ended::With(stopping()))),
                NodeState::Unspecified | NodeState::Unavailable | NodeState::Gone | NodeState::Behind => {}
            },
            Some(Payload::Lost(lost)) => {
                let count = lost.count;
                let ended = self.pass(message).await?;
                if ended.is_none() {
                    self.of.node.counts.lost.fetch_add(count, Ordering::Relaxed);
                }
                return Ok(ended);
            }
            Some(Payload::Folded(_) | Payload::History(_) | Payload::Gap(_)) => {
                return self.pass(message).await;
            }
            None => {}
        }
        Ok(None)
    }

    /// When something happened, by the relay's clock: not later than now, as what seems to be would come behind all that the
    /// others tell, and what a daemon's clock says may change.
    async fn time(&mut self, told: Option<&Timestamp>) -> Result<u64, Gone> {
        let ahead = self.of.node.clock_ahead_ns();
        if ahead.abs_diff(self.ahead_ns) > CLOCKS_AGREE.unsigned_abs() {
            self.ahead_ns = ahead;
            let status = self.of.node.status_now();
            self.send(What::State(status)).await?;
        }
        let corrected =
            told.map_or(0, |time| wall_time(time).0).saturating_add_signed(ahead.saturating_neg());
        Ok(corrected.min(wall_time(&now()).0))
    }

    /// Passes on what is no event: behind all that came before.
    async fn pass(&mut self, message: WatchEventsResponse) -> Result<Option<Ended>, Gone> {
        let time = self.newest;
        Ok(if self.hold(message, time).await? { None } else { Some(Ended::Full) })
    }

    /// Brings a message to where it is put in order; `false` where there is no room for it.
    async fn hold(&mut self, message: WatchEventsResponse, time: u64) -> Result<bool, Gone> {
        let places = Arc::clone(if self.catching_up { &self.past } else { &self.shared });
        let place = if self.catching_up || *self.pasts_over.borrow() {
            // They are never closed.
            places.acquire_owned().await.ok()
        } else {
            let Ok(place) = places.try_acquire_owned() else { return Ok(false) };
            Some(place)
        };
        let what = What::Message(Box::new(message), time);
        let brought = Brought { node: self.number, what, place };
        self.sender.send(brought).await.map(|()| true).map_err(|_closed| Gone)
    }

    async fn send(&self, what: What) -> Result<(), Gone> {
        self.sender.send(Brought { node: self.number, what, place: None }).await.map_err(|_closed| Gone)
    }

    /// Nothing of the past is waited for any more.
    async fn caught_up(&mut self) -> Result<(), Gone> {
        if std::mem::take(&mut self.catching_up) { self.send(What::CaughtUp).await } else { Ok(()) }
    }
}

/// Something of the past is asked for.
pub(super) const fn asks_past(request: &WatchEventsRequest) -> bool {
    let WatchEventsRequest { last, first, since, until, .. } = request;
    *last > 0 || *first > 0 || since.is_some() || until.is_some()
}
