//! One node's part in a stream of events: asked again and again, from where it was cut off.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{NodeState, NodeStatus, Resume, WatchEventsRequest, WatchEventsResponse};
use prost_types::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tonic::Status;

use super::super::call::{Asker, is_of_request, missing};
use super::super::chosen::Chosen;
use super::super::merge::NodeNumber;
use super::super::node::{Link, Node, Up, words};

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
    pub(super) node: Arc<Node>,
    pub(super) number: NodeNumber,
    pub(super) asker: Asker,
    pub(super) chosen: Chosen,
    /// Without filters.
    pub(super) request: WatchEventsRequest,
    pub(super) patience: Duration,
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
    /// Why it tells nothing, as was said last: it is not said again.
    pub(super) told: String,
}

/// Whoever asked has gone.
struct Gone;

/// How a stream ended.
enum End {
    /// All that was asked for was told.
    Whole,
    /// Something broke it.
    Broken(String),
    Refused(Status),
}

impl Following {
    /// Brings what the node tells until all was told, or for as long as it is found.
    pub(super) async fn run(mut self) {
        self.node.counts.streams.fetch_add(1, Ordering::Relaxed);
        // Whoever is gone has no need to hear of the end.
        let _gone = self.bring().await.is_err();
        self.node.counts.streams.fetch_sub(1, Ordering::Relaxed);
    }

    async fn bring(&mut self) -> Result<(), Gone> {
        let mut up = self.node.up(self.patience).await;
        loop {
            let is = match up {
                Ok(is) => is,
                Err(status) => {
                    let gone = status.state() == NodeState::Gone;
                    let asked_elsewhere = status.state() == NodeState::Unspecified;
                    if !asked_elsewhere && self.chosen.of(&self.node.name()).is_some() {
                        self.send(What::State(status)).await?;
                    }
                    self.caught_up().await?;
                    if !self.request.follow || gone {
                        return self.send(What::Ended).await;
                    }
                    up = self.node.up_again().await;
                    continue;
                }
            };
            let Some(filters) = self.chosen.of(&is.name) else {
                self.caught_up().await?;
                return self.send(What::Ended).await;
            };
            (self.request.allow, self.request.deny) = filters;
            match self.stream(&is).await? {
                End::Whole => return self.send(What::Ended).await,
                End::Refused(status) if is_of_request(&status) => {
                    return self.send(What::Refused(status)).await;
                }
                End::Refused(status) => self.unavailable(&is, words(&status)).await?,
                End::Broken(why) => self.unavailable(&is, why).await?,
            }
            self.caught_up().await?;
            if !self.request.follow {
                return self.send(What::Ended).await;
            }
            self.until_it_changes(&is).await;
            up = self.node.up_again().await;
        }
    }

    /// One stream of the daemon's.
    async fn stream(&mut self, up: &Up) -> Result<End, Gone> {
        let request = match &self.resume {
            None => self.request.clone(),
            Some(resume) => WatchEventsRequest {
                resume: Some(*resume),
                since: None,
                until: None,
                first: 0,
                last: 0,
                ..self.request.clone()
            },
        };
        let mut observer = up.observer.clone();
        let answer = timeout(self.patience, observer.watch_events(self.asker.request(request))).await;
        let mut stream = match answer {
            Ok(Ok(response)) => match self.asker.heeded(response) {
                Ok(stream) => stream,
                Err(status) => return Ok(End::Refused(status)),
            },
            Ok(Err(status)) => return Ok(End::Refused(status)),
            Err(_elapsed) => {
                return Ok(End::Broken(format!("no answer within {} s", self.patience.as_secs_f64())));
            }
        };
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    if let Some(end) = self.take(up, message).await? {
                        return Ok(end);
                    }
                }
                Ok(None) if self.request.follow => return Ok(End::Broken("its stream has ended".to_owned())),
                Ok(None) => {
                    self.caught_up().await?;
                    return Ok(End::Whole);
                }
                Err(status) if std::error::Error::source(&status).is_some() => {
                    return Ok(End::Broken(words(&status)));
                }
                Err(status) => return Ok(End::Refused(status)),
            }
        }
    }

    /// Takes a message in, and passes it on.
    async fn take(&mut self, up: &Up, mut message: WatchEventsResponse) -> Result<Option<End>, Gone> {
        self.node.counts.messages.fetch_add(1, Ordering::Relaxed);
        match &mut message.payload {
            Some(Payload::Event(event)) => {
                self.told.clear();
                if let Some(resume) = &mut self.resume {
                    resume.sequence = resume.sequence.max(event.sequence);
                }
                let time = event.time.as_ref().map_or(0, nanos).saturating_add_signed(-up.clock_ahead_ns());
                self.newest = self.newest.max(time);
                self.hold(message, time).await?;
            }
            Some(Payload::NodeStatus(status)) => match status.state() {
                NodeState::Connected => {
                    self.told.clear();
                    self.resume =
                        Some(Resume { sequence: status.after_sequence, start_time: status.start_time });
                    status.node_name = up.name.to_string();
                    if !status.recorded {
                        status.message = up.words();
                    }
                    self.pass(message).await?;
                }
                NodeState::Following => self.caught_up().await?,
                NodeState::Stopping => return Ok(Some(End::Broken("its daemon is stopping".to_owned()))),
                NodeState::Unspecified | NodeState::Unavailable | NodeState::Gone | NodeState::Behind => {}
            },
            Some(Payload::Lost(lost)) => {
                self.node.counts.lost.fetch_add(lost.count, Ordering::Relaxed);
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

    async fn unavailable(&mut self, up: &Up, why: String) -> Result<(), Gone> {
        if self.told == why {
            return Ok(());
        }
        self.told.clone_from(&why);
        self.send(What::State(missing(&up.name, why))).await
    }

    /// Waits until that connection is not the node's any more; a refusal over one that stays is tried again later.
    async fn until_it_changes(&self, up: &Up) {
        let mut link = self.node.link();
        let same = |link: &Link| matches!(link, Link::Up(now) if now.is_same(up));
        let changed = link.wait_for(|link| !same(link));
        let _elapsed = timeout(self.patience, changed).await.is_err();
    }
}

fn nanos(time: &Timestamp) -> u64 {
    u64::try_from(i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)).unwrap_or(0)
}
