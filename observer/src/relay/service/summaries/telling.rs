//! One node's part in a stream of summaries: window by window.

mod open;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{NodeState, NodeStatus, WatchSummariesRequest, WatchSummariesResponse, WindowEnd};
use prost_types::Timestamp;
use tokio::sync::{Semaphore, mpsc};

use self::open::Open;
use super::super::super::call::Filters;
use super::super::super::merge::NodeNumber;
use super::super::super::node::Up;
use super::super::super::windows::NodeWindow;
use super::super::part::{End, Gone, Of, Part, stopping};
use super::{GRACE, wall};

/// What one node brings.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) node: NodeNumber,
    pub(super) what: What,
}

/// What it is.
#[derive(Debug)]
pub(super) enum What {
    /// Its windows follow.
    Telling(NodeStatus),
    /// A window.
    Window(Complete),
    /// It tells nothing for now, for this reason.
    State(NodeStatus),
    /// It tells nothing for now.
    Left,
    /// Nothing more comes.
    Ended,
}

/// A window, complete.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) window: Box<NodeWindow>,
    /// From when to when, by the daemon's clock in nanoseconds, and by how much that is ahead of the relay's.
    pub(super) time: [i128; 2],
    pub(super) ahead: i128,
    /// When its daemon was started.
    pub(super) started: Option<Timestamp>,
    /// It is the first one of the daemon's stream.
    pub(super) is_first: bool,
}

/// One node's part.
pub(super) struct Telling {
    pub(super) of: Of,
    pub(super) number: NodeNumber,
    /// Without filters.
    pub(super) request: WatchSummariesRequest,
    pub(super) sender: mpsc::Sender<Brought>,
    /// Places for windows that are told ahead of the other nodes'.
    pub(super) places: Arc<Semaphore>,
    /// The keys that were given to summaries of all nodes: no two have the same.
    pub(super) keys: Arc<AtomicU64>,
    /// Some of the past was told.
    pub(super) began: bool,
}

impl Part for Telling {
    fn of(&mut self) -> &mut Of {
        &mut self.of
    }

    async fn stream(&mut self, up: &Up, (allow, deny): Filters) -> Result<End, Gone> {
        let mut observer = up.observer.clone();
        let request = WatchSummariesRequest { allow, deny, ..self.request.clone() };
        let call = observer.watch_summaries(self.of.asker.request(request));
        let mut stream = match self.of.open(call).await {
            Ok(stream) => stream,
            Err(end) => return Ok(end),
        };
        self.send(What::Telling(up.status())).await?;
        let mut open = Open::new(self.request.changes);
        loop {
            let message = match self.of.next(&mut stream).await {
                Ok(message) => message,
                Err(end) => return Ok(end),
            };
            if let Some(end) = self.take(up, &mut open, message).await? {
                return Ok(end);
            }
        }
    }

    async fn state(&mut self, mut status: NodeStatus) -> Result<(), Gone> {
        // It is not asked for again.
        if self.request.since.is_some() {
            let rest = if self.began { "the rest of its past is missing" } else { "its past is missing" };
            status.message = format!("{}; {rest}", status.message);
        }
        self.send(What::State(status)).await
    }

    async fn cut_off(&mut self) -> Result<(), Gone> {
        // What is past was asked for once.
        (self.request.since, self.request.until) = (None, None);
        self.send(What::Left).await
    }

    async fn end(&mut self) -> Result<(), Gone> {
        self.send(What::Ended).await
    }
}

impl Telling {
    async fn take(
        &mut self,
        up: &Up,
        open: &mut Open,
        message: WatchSummariesResponse,
    ) -> Result<Option<End>, Gone> {
        match message.payload {
            Some(Payload::Summary(summary)) => open.take(summary, &self.keys),
            Some(Payload::Lost(lost)) => {
                self.of.node.counts.lost.fetch_add(lost.count, Ordering::Relaxed);
                open.note(Payload::Lost(lost));
            }
            Some(Payload::Gap(gap)) => open.note(Payload::Gap(gap)),
            Some(Payload::NodeStatus(status)) if status.state() == NodeState::Stopping => {
                return Ok(Some(stopping()));
            }
            Some(Payload::NodeStatus(_)) | None => {}
            Some(Payload::WindowEnd(end)) => self.window(up, open, end).await?,
        }
        Ok(None)
    }

    /// Sends a window that is complete.
    async fn window(&mut self, up: &Up, open: &mut Open, end: WindowEnd) -> Result<(), Gone> {
        let start = end.window_start.as_ref().map_or(0, super::nanos);
        let time = [start, start + i128::from(end.window_ns)];
        let ahead = i128::from(self.of.node.clock_ahead_ns());
        self.began = true;
        if time[1] - ahead + i128::try_from(GRACE.as_nanos()).unwrap_or(0) >= wall() {
            // That was the past.
            self.request.since = None;
        }
        // They are never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (window, is_first) = open.end(end);
        let window = Box::new(NodeWindow { name: Arc::clone(&up.name), _place: place, ..window });
        let started = up.start_time;
        self.send(What::Window(Complete { window, time, ahead, started, is_first })).await
    }

    async fn send(&self, what: What) -> Result<(), Gone> {
        self.sender.send(Brought { node: self.number, what }).await.map_err(|_closed| Gone)
    }
}
