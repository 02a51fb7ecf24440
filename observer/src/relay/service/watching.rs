//! A stream of incidents over all nodes: as they come.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use observer_proto::v1::watch_incidents_response::Payload;
use observer_proto::v1::{NodeState, NodeStatus, WatchIncidentsRequest, WatchIncidentsResponse};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::super::call::{Asker, is_of_request, missing};
use super::super::node::{Node, Up, now, words};
use super::super::nodes::{Known, Nodes};
use super::Answered;
use crate::serve::Seat;

/// Messages for the client to read.
const READY: usize = 256;

/// One node's part.
#[derive(Clone)]
pub(super) struct Watching {
    asker: Asker,
    request: WatchIncidentsRequest,
    patience: Duration,
    out: mpsc::Sender<Result<WatchIncidentsResponse, Status>>,
}

/// Whoever asked has gone, or was told that he may not.
struct Gone;

impl Watching {
    /// Opens the stream.
    pub(super) fn open(
        asker: Asker,
        seat: Seat,
        request: WatchIncidentsRequest,
        nodes: &Nodes,
        patience: Duration,
    ) -> Answered<WatchIncidentsResponse> {
        let (out, answers) = mpsc::channel(READY);
        let watching = Self { asker, request, patience, out };
        let known = nodes.follow();
        tokio::spawn(async move {
            let _seat = seat;
            // Whoever has gone needs no more.
            let _gone = watching.all(known).await.is_err();
        });
        Box::pin(ReceiverStream::new(answers))
    }

    async fn all(&self, mut known: tokio::sync::watch::Receiver<Known>) -> Result<(), Gone> {
        let message = "open incidents of all nodes follow, then what changes".to_owned();
        let state = NodeState::Connected.into();
        self.status(NodeStatus { state, message, ..NodeStatus::default() }).await?;
        let mut parts = JoinSet::new();
        let mut asked = HashSet::new();
        loop {
            let now = known.borrow_and_update().clone();
            asked.retain(|address| now.nodes.iter().any(|node| Arc::as_ptr(node) as usize == *address));
            for node in now.nodes.iter() {
                if asked.insert(Arc::as_ptr(node) as usize) {
                    let (part, node) = (self.clone(), Arc::clone(node));
                    parts.spawn(async move { _ = part.one(node).await.is_err() });
                }
            }
            while parts.try_join_next().is_some() {}
            tokio::select! {
                changed = known.changed() => changed.map_err(|_stopping| Gone)?,
                () = self.out.closed() => return Err(Gone),
            }
        }
    }

    async fn one(&self, node: Arc<Node>) -> Result<(), Gone> {
        let mut up = node.up(self.patience).await;
        // It is not said again and again.
        let mut told = String::new();
        loop {
            match up {
                Ok(is) => {
                    let why = self.stream(&is, &mut told).await?;
                    if told != why {
                        told.clone_from(&why);
                        self.status(missing(&is.name, why)).await?;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(status) => {
                    let gone = status.state() == NodeState::Gone;
                    if status.state() != NodeState::Unspecified {
                        self.status(status).await?;
                    }
                    if gone {
                        return Ok(());
                    }
                }
            }
            up = node.up_again().await;
        }
    }

    /// One stream of the daemon's; says why it ended.
    async fn stream(&self, up: &Up, told: &mut String) -> Result<String, Gone> {
        let mut incidents = up.incidents.clone();
        let answer = incidents.watch_incidents(self.asker.request(self.request.clone())).await;
        let mut stream = match answer.and_then(|answer| self.asker.heeded(answer)) {
            Ok(stream) => stream,
            Err(status) if is_of_request(&status) => {
                let _gone = self.out.send(Err(status)).await.is_err();
                return Err(Gone);
            }
            Err(status) => return Ok(words(&status)),
        };
        told.clear();
        self.status(up.status()).await?;
        loop {
            match stream.message().await {
                Ok(Some(message)) => match &message.payload {
                    Some(Payload::NodeStatus(status)) if status.state() == NodeState::Stopping => {
                        return Ok("its daemon is stopping".to_owned());
                    }
                    Some(Payload::NodeStatus(_)) | None => {}
                    Some(Payload::Incident(_) | Payload::Deleted(_)) => {
                        self.out.send(Ok(message)).await.map_err(|_closed| Gone)?;
                    }
                },
                Ok(None) => return Ok("its stream has ended".to_owned()),
                Err(status) => return Ok(words(&status)),
            }
        }
    }

    async fn status(&self, status: NodeStatus) -> Result<(), Gone> {
        let node_name = status.node_name.clone();
        let payload = Some(Payload::NodeStatus(status));
        let message = WatchIncidentsResponse { payload, node_name, time: Some(now()) };
        self.out.send(Ok(message)).await.map_err(|_closed| Gone)
    }
}
