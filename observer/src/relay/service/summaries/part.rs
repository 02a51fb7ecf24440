//! One node's part in a stream of summaries: window by window.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{
    NodeState, NodeStatus, Summary, WatchSummariesRequest, WatchSummariesResponse, WindowEnd,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::super::super::call::{Asker, is_of_request, missing};
use super::super::super::chosen::Chosen;
use super::super::super::merge::NodeNumber;
use super::super::super::node::{Node, Up, words};
use super::super::super::windows::NodeWindow;

/// Between two tries at a daemon that is connected and refuses.
const PAUSE: Duration = Duration::from_secs(1);

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
    /// The request is refused.
    Refused(Status),
}

/// One node's part.
pub(super) struct Part {
    pub(super) node: Arc<Node>,
    pub(super) number: NodeNumber,
    pub(super) asker: Asker,
    pub(super) chosen: Chosen,
    /// Without filters.
    pub(super) request: WatchSummariesRequest,
    pub(super) patience: Duration,
    pub(super) sender: mpsc::Sender<Brought>,
    /// Why it tells nothing, as was said last: it is not said again.
    pub(super) told: String,
}

/// Whoever asked has gone.
struct Gone;

/// How a stream ended.
enum End {
    Whole,
    Broken(String),
    Refused(Status),
}

/// The window that is not complete yet.
#[derive(Default)]
struct Open {
    /// Of a stream of changes: all summaries as they are now, by key.
    all: BTreeMap<u64, Summary>,
    window: NodeWindow,
}

impl Part {
    /// Brings windows until all were told, or for as long as the node is found.
    pub(super) async fn run(mut self) {
        self.node.counts.streams.fetch_add(1, Ordering::Relaxed);
        // Whoever is gone has no need to hear of the end.
        let _gone = self.bring().await.is_err();
        self.node.counts.streams.fetch_sub(1, Ordering::Relaxed);
    }

    async fn bring(&mut self) -> Result<(), Gone> {
        let mut up = self.node.up(self.patience).await;
        loop {
            match up {
                Ok(is) => {
                    let Some(filters) = self.chosen.of(&is.name) else { return self.send(What::Ended).await };
                    (self.request.allow, self.request.deny) = filters;
                    let why = match self.stream(&is).await? {
                        End::Whole => return self.send(What::Ended).await,
                        End::Refused(status) if is_of_request(&status) => {
                            return self.send(What::Refused(status)).await;
                        }
                        End::Refused(status) => words(&status),
                        End::Broken(why) => why,
                    };
                    if self.told != why {
                        self.told.clone_from(&why);
                        self.send(What::State(missing(&is.name, why))).await?;
                    }
                    // What is past was asked for once.
                    (self.request.since, self.request.until) = (None, None);
                    if !self.request.follow {
                        return self.send(What::Ended).await;
                    }
                    sleep(PAUSE).await;
                }
                Err(status) => {
                    let gone = status.state() == NodeState::Gone;
                    let asked_elsewhere = status.state() == NodeState::Unspecified;
                    if !asked_elsewhere && self.chosen.of(&self.node.name()).is_some() {
                        self.send(What::State(status)).await?;
                    }
                    if !self.request.follow || gone {
                        return self.send(What::Ended).await;
                    }
                }
            }
            up = self.node.up_again().await;
        }
    }

    /// One stream of the daemon's.
    async fn stream(&mut self, up: &Up) -> Result<End, Gone> {
        let mut observer = up.observer.clone();
        let request = self.asker.request(self.request.clone());
        let mut stream = match timeout(self.patience, observer.watch_summaries(request)).await {
            Ok(Ok(answer)) => match self.asker.heeded(answer) {
                Ok(stream) => stream,
                Err(status) => return Ok(End::Refused(status)),
            },
            Ok(Err(status)) => return Ok(End::Refused(status)),
            Err(_elapsed) => {
                return Ok(End::Broken(format!("no answer within {} s", self.patience.as_secs_f64())));
            }
        };
        self.told.clear();
        self.send(What::Telling(up.status())).await?;
        let mut open = Open::default();
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) if self.request.follow => return Ok(End::Broken("its stream has ended".to_owned())),
                Ok(None) => return Ok(End::Whole),
                Err(status) if std::error::Error::source(&status).is_some() => {
                    return Ok(End::Broken(words(&status)));
                }
                Err(status) => return Ok(End::Refused(status)),
            };
            self.node.counts.messages.fetch_add(1, Ordering::Relaxed);
            if let Some(end) = self.take(up, &mut open, message).await? {
                return Ok(end);
            }
        }
    }

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
                self.node.counts.lost.fetch_add(lost.count, Ordering::Relaxed);
                open.window.notes.push(Payload::Lost(lost));
            }
            Some(Payload::Gap(gap)) => open.window.notes.push(Payload::Gap(gap)),
            Some(Payload::NodeStatus(status)) if status.state() == NodeState::Stopping => {
                return Ok(Some(End::Broken("its daemon is stopping".to_owned())));
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
