//! A stream of summaries over all nodes: the windows of one time as one window.

mod telling;

use std::sync::Arc;
use std::time::Duration;

use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{NodeState, NodeStatus, WatchSummariesRequest, WatchSummariesResponse};
use observer_proto::{Mask, v1};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use self::telling::{Brought, Telling, What};
use super::super::Settings;
use super::super::call::Asker;
use super::super::chosen::Chosen;
use super::super::join;
use super::super::node::now;
use super::super::nodes::Nodes;
use super::super::windows::{Together, Told, Windows};
use super::Answered;
use super::asked::{Asked, Happens, Who};
use super::lists::addresses;
use super::part::run;
use crate::serve::{Seat, asked_mask, check};

/// Messages for the client to read.
const READY: usize = 256;
/// Windows of all nodes on their way to where they are put together: each node's waits for its place.
const ON_THEIR_WAY: usize = 16;
/// A node's window is waited for so long behind the first one of its time, beside half of a window's length: one that was
/// asked later than the others begins its windows later.
const GRACE: Duration = Duration::from_secs(2);
/// It is asked so often whose addresses are: pods come and go.
const ADDRESSES_ASKED_EACH: Duration = Duration::from_secs(5);
/// The window of a daemon where neither the client nor its configuration says another.
const USUAL_WINDOW: Duration = Duration::from_secs(10);

/// One client's stream.
pub(super) struct Summaries {
    request: WatchSummariesRequest,
    mask: Option<Mask>,
    told: Option<Told>,
    asked: Asked,
    out: mpsc::Sender<Result<WatchSummariesResponse, Status>>,
    sender: mpsc::Sender<Brought>,
    windows: Windows,
    /// Whose addresses are, and when that was heard last.
    addresses: join::Addresses,
    heard: Option<Instant>,
}

/// The client has gone, or has all.
struct Done;

impl Summaries {
    /// Opens the stream.
    pub(super) fn open(
        asker: Asker,
        seat: Seat,
        mut request: WatchSummariesRequest,
        nodes: &Nodes,
        settings: &Settings,
    ) -> Result<Answered<WatchSummariesResponse>, Status> {
        check::summaries(&request)?;
        if nodes.now().nodes.is_empty() && !request.follow {
            return Err(Status::unavailable(nodes.now().nobody()));
        }
        let mask = asked_mask(request.field_mask.take(), "Summary", &["node_name", "key"])?;
        let length =
            request.window.and_then(|window| Duration::try_from(window).ok()).unwrap_or(USUAL_WINDOW);
        let chosen = Chosen::new(std::mem::take(&mut request.allow), std::mem::take(&mut request.deny));
        let who = Who { asker, chosen, patience: settings.patience, follow: request.follow };
        let (out, answers) = mpsc::channel(READY);
        let (sender, brought) = mpsc::channel(ON_THEIR_WAY);
        let summaries = Self {
            mask,
            told: request.changes.then(Told::default),
            request,
            asked: Asked::new(nodes, who),
            out,
            sender,
            windows: Windows::new(GRACE + length / 2),
            addresses: join::Addresses::default(),
            heard: None,
        };
        tokio::spawn(async move {
            let _seat = seat;
            // Whoever has gone needs no more.
            let _done = Box::pin(summaries.run(brought)).await.is_err();
        });
        Ok(Box::pin(ReceiverStream::new(answers)))
    }

    async fn run(mut self, mut brought: mpsc::Receiver<Brought>) -> Result<(), Done> {
        for status in self.asked.greeting() {
            self.status(status).await?;
        }
        self.join(true);
        loop {
            let due = self.windows.due();
            tokio::select! {
                biased;
                one = brought.recv() => self.take(one.ok_or(Done)?).await?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                happens = self.asked.happens() => match happens.map_err(|_stopping| Done)? {
                    Happens::Found if self.request.follow => self.join(false),
                    // What there was at the beginning is all that was asked.
                    Happens::Found => {}
                    Happens::Fell(node, status) => {
                        self.status(status).await?;
                        self.take(Brought { node, what: What::Ended }).await?;
                    }
                },
                () = self.out.closed() => return Err(Done),
            }
            while let Some(together) = self.windows.next(Instant::now()) {
                self.ask_addresses().await;
                self.tell(together).await?;
            }
            if !self.request.follow && self.asked.is_empty() {
                while let Some(together) = self.windows.take() {
                    self.ask_addresses().await;
                    self.tell(together).await?;
                }
                return Ok(());
            }
        }
    }

    /// Asks the nodes that are new.
    fn join(&mut self, first: bool) {
        for (number, of) in self.asked.join() {
            if first {
                self.windows.expect(number);
            }
            let mut request = self.request.clone();
            if !first {
                // One that comes later tells what happens from then on.
                (request.since, request.until) = (None, None);
            }
            let telling = Telling { of, number, request, sender: self.sender.clone() };
            self.asked.begin(number, run(telling));
        }
    }

    async fn take(&mut self, brought: Brought) -> Result<(), Done> {
        let Brought { node, what } = brought;
        match what {
            What::Telling(status) => {
                self.windows.expect(node);
                self.status(status).await?;
            }
            What::Window(start, window) => self.windows.add(node, start, *window, Instant::now()),
            What::State(status) => {
                self.windows.leave(node);
                self.status(status).await?;
            }
            What::Ended => {
                self.windows.leave(node);
                self.asked.leave(node);
            }
        }
        Ok(())
    }

    /// Asks whose addresses are, unless that was lately; what is not heard now is as it was.
    async fn ask_addresses(&mut self) {
        if self.heard.is_some_and(|heard| heard.elapsed() < ADDRESSES_ASKED_EACH) {
            return;
        }
        self.heard = Some(Instant::now());
        if let Ok(newer) = addresses(&self.asked.all(), self.asked.asker(), GRACE).await {
            self.addresses = newer;
        }
    }

    /// Sends a window of all nodes.
    async fn tell(&mut self, together: Together) -> Result<(), Done> {
        for number in &together.without {
            let Some(node) = self.asked.get(*number) else { continue };
            let (state, node_name) = (NodeState::Behind.into(), node.name().to_string());
            let message = "its window has not come in time: figures lack it".to_owned();
            self.status(NodeStatus { state, message, node_name, ..NodeStatus::default() }).await?;
        }
        let mut end = together.end();
        let mut notes = Vec::new();
        let mut summaries = Vec::new();
        for window in together.windows {
            notes.extend(window.notes.into_iter().map(|note| (window.name.to_string(), note)));
            summaries.extend(window.summaries.into_iter().map(|one| (Arc::clone(&window.name), one)));
        }
        let summaries = join::edges(summaries, &self.addresses);
        let told = if let Some(told) = &mut self.told {
            told.next(summaries, &mut end)
        } else {
            (end.summaries, end.total) = (summaries.len() as u64, summaries.len() as u64);
            Ok(summaries.into_iter().map(|one| v1::Summary { key: 0, ..one }).collect())
        };
        let Ok(told) = told else {
            let _gone = self.out.send(Err(too_many())).await.is_err();
            return Err(Done);
        };
        for summary in told {
            let node_name = summary.node_name.clone();
            let summary = match &self.mask {
                Some(mask) => mask.apply(summary),
                None => summary,
            };
            self.send(node_name, Payload::Summary(summary)).await?;
        }
        for (node_name, note) in notes {
            self.send(node_name, note).await?;
        }
        self.send(String::new(), Payload::WindowEnd(end)).await
    }

    async fn status(&self, status: NodeStatus) -> Result<(), Done> {
        self.send(status.node_name.clone(), Payload::NodeStatus(status)).await
    }

    async fn send(&self, node_name: String, payload: Payload) -> Result<(), Done> {
        let message = WatchSummariesResponse { payload: Some(payload), node_name, time: Some(now()) };
        self.out.send(Ok(message)).await.map_err(|_closed| Done)
    }
}

fn too_many() -> Status {
    Status::resource_exhausted(
        "changes: there are too many summaries to compare with; ask for whole windows, or for fewer",
    )
}
