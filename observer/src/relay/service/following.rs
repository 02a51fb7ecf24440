//! One node's part in a stream of events: asked again and again, from where it was cut off.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{NodeState, NodeStatus, Resume, WatchEventsRequest, WatchEventsResponse};
use prost_types::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::Status;

use super::super::call::Filters;
use super::super::merge::NodeNumber;
use super::super::node::Up;
use super::part::{End, Gone, Of, Part, stopping};

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
    /// The request is refused.
    Refused(Status),
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
    /// Where it goes on.
    pub(super) resume: Option<Resume>,
    /// It tells of the past.
    pub(super) catching_up: bool,
    /// The newest time that it told.
    pub(super) newest: u64,
}

impl Part for Following {
    fn of(&mut self) -> &mut Of {
        &mut self.of
    }

    async fn stream(&mut self, up: &Up, (allow, deny): Filters) -> Result<End, Gone> {
        let request = WatchEventsRequest { allow, deny, ..self.request.clone() };
        let request = match self.resume {
            None => request,
            resume @ Some(_) => {
                WatchEventsRequest { resume, since: None, until: None, first: 0, last: 0, ..request }
            }
        };
        let mut observer = up.observer.clone();
        let call = observer.watch_events(self.of.asker.request(request));
        let mut stream = match self.of.open(call).await {
            Ok(stream) => stream,
            Err(end) => return Ok(end),
        };
        loop {
            let message = match self.of.next(&mut stream).await {
                Ok(message) => message,
                Err(end) => return Ok(end),
            };
            if let Some(end) = self.take(up, message).await? {
                return Ok(end);
            }
        }
    }

    async fn state(&mut self, status: NodeStatus) -> Result<(), Gone> {
        self.send(What::State(status)).await
    }

    async fn cut_off(&mut self) -> Result<(), Gone> {
        self.caught_up().await
    }

    async fn end(&mut self, last: Result<(), Status>) -> Result<(), Gone> {
        self.send(last.map_or_else(What::Refused, |()| What::Ended)).await
    }
}

impl Following {
    /// Takes a message in, and passes it on.
    async fn take(&mut self, up: &Up, mut message: WatchEventsResponse) -> Result<Option<End>, Gone> {
        match &mut message.payload {
            Some(Payload::Event(event)) => {
                if let Some(resume) = &mut self.resume {
                    resume.sequence = resume.sequence.max(event.sequence);
                }
                let time = event.time.as_ref().map_or(0, nanos).saturating_add_signed(-up.clock_ahead_ns());
                self.newest = self.newest.max(time);
                self.hold(message, time).await?;
            }
            Some(Payload::NodeStatus(status)) => match status.state() {
                NodeState::Connected => {
                    self.resume =
                        Some(Resume { sequence: status.after_sequence, start_time: status.start_time });
                    status.node_name = up.name.to_string();
                    if !status.recorded {
                        status.message = up.words();
                    }
                    self.pass(message).await?;
                }
                NodeState::Following => self.caught_up().await?,
                NodeState::Stopping => return Ok(Some(stopping())),
                NodeState::Unspecified | NodeState::Unavailable | NodeState::Gone | NodeState::Behind => {}
            },
            Some(Payload::Lost(lost)) => {
                self.of.node.counts.lost.fetch_add(lost.count, Ordering::Relaxed);
                self.pass(message).await?;
            }
            Some(Payload::Folded(_) | Payload::History(_) | Payload::Gap(_)) => self.pass(message).await?,
            None => {}
        }
        Ok(None)
    }

    /// Passes on what is no event: behind all that came before.
    async fn pass(&mut self, message: WatchEventsResponse) -> Result<(), Gone> {
        let time = self.newest;
        self.hold(message, time).await
    }

    async fn hold(&mut self, message: WatchEventsResponse, time: u64) -> Result<(), Gone> {
        let places = if self.catching_up { &self.past } else { &self.shared };
        // They are never closed.
        let place = Arc::clone(places).acquire_owned().await.ok();
        let what = What::Message(Box::new(message), time);
        self.sender.send(Brought { node: self.number, what, place }).await.map_err(|_closed| Gone)
    }

    async fn send(&self, what: What) -> Result<(), Gone> {
        self.sender.send(Brought { node: self.number, what, place: None }).await.map_err(|_closed| Gone)
    }

    /// Nothing of the past is waited for any more.
    async fn caught_up(&mut self) -> Result<(), Gone> {
        if std::mem::take(&mut self.catching_up) { self.send(What::CaughtUp).await } else { Ok(()) }
    }
}

fn nanos(time: &Timestamp) -> u64 {
    u64::try_from(i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)).unwrap_or(0)
}
