//! One node's part in a stream of summaries: window by window.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{
    NodeState, NodeStatus, Summary, WatchSummariesRequest, WatchSummariesResponse, WindowEnd,
};
use tokio::sync::mpsc;

use super::super::super::call::Filters;
use super::super::super::merge::NodeNumber;
use super::super::super::node::Up;
use super::super::super::windows::NodeWindow;
use super::super::part::{End, Gone, Of, Part, stopping};

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
    /// A window, and its start by the relay's clock.
    Window(i128, Box<NodeWindow>),
    /// It tells nothing for now.
    State(NodeStatus),
    /// Nothing more comes.
    Ended,
}

/// One node's part.
pub(super) struct Telling {
    pub(super) of: Of,
    pub(super) number: NodeNumber,
    /// Without filters.
    pub(super) request: WatchSummariesRequest,
    pub(super) sender: mpsc::Sender<Brought>,
}

/// The window that is not complete yet.
#[derive(Default)]
struct Open {
    /// Of a stream of changes: all summaries as they are now, by key.
    all: BTreeMap<u64, Summary>,
    window: NodeWindow,
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
        let mut open = Open::default();
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

    async fn state(&mut self, status: NodeStatus) -> Result<(), Gone> {
        self.send(What::State(status)).await
    }

    async fn cut_off(&mut self) -> Result<(), Gone> {
        // What is past was asked for once.
        (self.request.since, self.request.until) = (None, None);
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Gone> {
        self.send(What::Ended).await
    }
}

impl Telling {
    async fn take(
        &self,
        up: &Up,
        open: &mut Open,
        message: WatchSummariesResponse,
    ) -> Result<Option<End>, Gone> {
        match message.payload {
            Some(Payload::Summary(summary)) if self.request.changes => {
                open.all.insert(summary.key, summary);
            }
            Some(Payload::Summary(summary)) => open.window.summaries.push(summary),
            Some(Payload::Lost(lost)) => {
                self.of.node.counts.lost.fetch_add(lost.count, Ordering::Relaxed);
                open.window.notes.push(Payload::Lost(lost));
            }
            Some(Payload::Gap(gap)) => open.window.notes.push(Payload::Gap(gap)),
            Some(Payload::NodeStatus(status)) if status.state() == NodeState::Stopping => {
                return Ok(Some(stopping()));
            }
            Some(Payload::NodeStatus(_)) | None => {}
            Some(Payload::WindowEnd(end)) => self.window(up, open, end).await?,
        }
        Ok(None)
    }

    /// Sends a window that is complete.
    async fn window(&self, up: &Up, open: &mut Open, end: WindowEnd) -> Result<(), Gone> {
        let mut window = std::mem::take(&mut open.window);
        if self.request.changes {
            for key in &end.ended {
                open.all.remove(key);
            }
            // What did not change is of this window all the same.
            let of_this = |summary: &Summary| Summary {
                window_start: end.window_start,
                window_ns: end.window_ns,
                ..summary.clone()
            };
            window.summaries = open.all.values().map(of_this).collect();
        }
        window.name = Arc::clone(&up.name);
        let start = end
            .window_start
            .map_or(0, |time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos));
        window.end = end;
        self.send(What::Window(start - i128::from(up.clock_ahead_ns()), Box::new(window))).await
    }

    async fn send(&self, what: What) -> Result<(), Gone> {
        self.sender.send(Brought { node: self.number, what }).await.map_err(|_closed| Gone)
    }
}
