//! A stream of events over all nodes: in the order of time, as far as a bounded wait can bring that about.

mod order;

use std::sync::Arc;
use std::time::Duration;

use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{NodeStatus, WatchEventsRequest, WatchEventsResponse};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::super::Settings;
use super::super::call::Asker;
use super::super::chosen::Chosen;
use super::super::merge::{Merge, NodeNumber};
use super::super::node::now;
use super::super::nodes::Nodes;
use super::Answered;
use super::asked::{Asked, Happens, Who};
use super::following::{Brought, Following, Positions, What, asks_past};
use super::part::run;
use crate::filter::Purpose;
use crate::serve::{Seat, check};

/// Messages on their way from all nodes' streams to where they are put in order.
const ON_THEIR_WAY: usize = 256;
/// Messages that wait for earlier ones, of all nodes together. Beyond that nodes wait, and what they cannot keep they tell as
/// lost.
const HELD: usize = 16_384;
/// And of one node while its past is told: so much is read ahead.
const READ_AHEAD: usize = 64;
/// Messages that are in order, for the client to read.
const READY: usize = 256;
/// A node whose past does not go on is not waited for any longer than that.
const BEHIND: Duration = Duration::from_secs(5);
/// So many of the newest events can be had over several nodes.
const MOST_NEWEST: usize = 10_000;

/// One client's stream.
pub(super) struct Events {
    request: WatchEventsRequest,
    asked: Asked,
    out: mpsc::Sender<Result<WatchEventsResponse, Status>>,
    sender: mpsc::Sender<Brought>,
    shared: Arc<Semaphore>,
    merge: Merge<Brought>,
    /// The node whose past the others wait for, and since when.
    waited: Option<(NodeNumber, Instant)>,
    /// Where each node goes on.
    positions: Positions,
    /// No node's past is waited for.
    pasts_over: watch::Sender<bool>,
    /// So many events may still be told.
    left: Option<usize>,
    /// So many of the newest events of the past are told: until that is over they are all that is held.
    newest: Option<usize>,
    /// What happened meanwhile.
    meanwhile: Vec<Brought>,
    /// The time of events is not wanted.
    hides_time: bool,
    /// That the past is over is to be told.
    tells_following: bool,
}

/// The client has gone, or has all.
struct Done;

impl Events {
    /// Opens the stream.
    pub(super) fn open(
        asker: Asker,
        seat: Seat,
        mut request: WatchEventsRequest,
        nodes: &Nodes,
        settings: &Settings,
    ) -> Result<Answered<WatchEventsResponse>, Status> {
        if request.last as usize > MOST_NEWEST {
            return Err(Status::invalid_argument(format!(
                "last: {} is not allowed: a relay puts the newest {MOST_NEWEST} events of all nodes in order, at most",
                request.last
            )));
        }
        if request.resume.is_some() {
            return Err(Status::invalid_argument(
                "resume: a relay numbers nothing, and goes on by itself where a daemon's stream was cut off; use since",
            ));
        }
        check::events(&request)?;
        let (allow, deny) = (std::mem::take(&mut request.allow), std::mem::take(&mut request.deny));
        let chosen = Chosen::checked(allow, deny, Purpose::Events)?;
        if nodes.now().nodes.is_empty() && !request.follow {
            return Err(Status::unavailable(nodes.now().nobody()));
        }
        // Without their times, events cannot be put in order.
        let mut hides_time = false;
        if let Some(mask) = request.field_mask.as_mut().filter(|mask| !mask.paths.is_empty()) {
            hides_time = !mask.paths.iter().any(|path| path == "time");
            mask.paths.extend(hides_time.then(|| "time".to_owned()));
        }
        let who = Who { asker, chosen, patience: settings.patience, follow: request.follow };
        let (out, answers) = mpsc::channel(READY);
        let (sender, brought) = mpsc::channel(ON_THEIR_WAY);
        let asks_past = asks_past(&request);
        let events = Self {
            asked: Asked::new(nodes, who),
            out,
            sender,
            shared: Arc::new(Semaphore::new(HELD)),
            merge: Merge::new(settings.merge_window),
            waited: None,
            positions: Positions::default(),
            pasts_over: watch::Sender::new(!asks_past && request.follow),
            left: (request.first > 0).then_some(request.first as usize),
            newest: (request.last > 0).then_some(request.last as usize),
            meanwhile: Vec::new(),
            hides_time,
            tells_following: asks_past && request.follow,
            request,
        };
        tokio::spawn(async move {
            // The client's place is its own for as long as the stream goes on.
            let _seat = seat;
            events.run(brought).await;
        });
        Ok(Box::pin(ReceiverStream::new(answers)))
    }

    async fn run(mut self, mut brought: mpsc::Receiver<Brought>) {
        // Whoever has gone needs no more.
        let _done = self.tell(&mut brought).await.is_err();
    }

    async fn tell(&mut self, brought: &mut mpsc::Receiver<Brought>) -> Result<(), Done> {
        for status in self.asked.greeting() {
            self.status(status).await?;
        }
        self.join(self.tells_following || !self.request.follow);
        loop {
            let due = self.merge.due();
            let behind = self.waits_until();
            tokio::select! {
                // What has come is looked at before anybody is said to be late.
                biased;
                one = brought.recv() => self.take(one.ok_or(Done)?).await?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = sleep_until(behind.unwrap_or_else(Instant::now)), if behind.is_some() => {
                    self.leave_behind().await?;
                }
                happens = self.asked.happens() => match happens.map_err(|_stopping| Done)? {
                    Happens::Found if self.request.follow => self.join(false),
                    // What there was at the beginning is all that was asked.
                    Happens::Found => {}
                    Happens::Fell(node, status) => {
                        self.status(status).await?;
                        self.take(Brought { node, what: What::Ended, place: None }).await?;
                    }
                },
                () = self.out.closed() => return Err(Done),
            }
            self.release().await?;
            if !self.request.follow && self.asked.is_empty() {
                return self.finish().await;
            }
        }
    }

    /// Asks the nodes that are new.
    fn join(&mut self, past: bool) {
        for (number, of) in self.asked.join() {
            if past {
                self.merge.expect(number);
            }
            let request = if past {
                self.request.clone()
            } else {
                // One that comes later tells what happens from then on.
                let WatchEventsRequest { follow, field_mask, .. } = &self.request;
                WatchEventsRequest { follow: *follow, field_mask: field_mask.clone(), ..Default::default() }
            };
            let following = Following {
                of,
                number,
                request,
                sender: self.sender.clone(),
                past: Arc::new(Semaphore::new(READ_AHEAD)),
                shared: Arc::clone(&self.shared),
                pasts_over: self.pasts_over.subscribe(),
                positions: self.positions.clone(),
                catching_up: past,
                run: None,
                newest: 0,
                ahead_ns: 0,
            };
            self.asked.begin(number, run(following));
        }
    }

    async fn take(&mut self, brought: Brought) -> Result<(), Done> {
        let node = brought.node;
        if self.waited.is_some_and(|(waited, _)| waited == node) {
            self.waited = None;
        }
        match brought.what {
            What::Message(message, time) => {
                let is_event = matches!(message.payload, Some(Payload::Event(_)));
                let brought = Brought { node, what: What::Message(message, time), place: brought.place };
                self.hold(brought, time, is_event).await
            }
            What::State(status) => self.status(status).await,
            What::CaughtUp => {
                self.merge.caught_up(node);
                Ok(())
            }
            What::Ended => {
                self.merge.caught_up(node);
                self.asked.leave(node);
                Ok(())
            }
        }
    }

    /// Tells how a node is.
    async fn status(&self, status: NodeStatus) -> Result<(), Done> {
        let node_name = status.node_name.clone();
        let payload = Some(Payload::NodeStatus(status));
        let message = WatchEventsResponse { payload, node_name, time: Some(now()) };
        self.out.send(Ok(message)).await.map_err(|_closed| Done)
    }
}
