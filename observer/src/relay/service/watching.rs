//! A stream of incidents over all nodes: as they come.

use std::sync::Arc;
use std::time::Duration;

use observer_proto::v1::watch_incidents_response::Payload;
use observer_proto::v1::{NodeState, NodeStatus, WatchIncidentsRequest, WatchIncidentsResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::super::call::{Asker, Filters};
use super::super::chosen::Chosen;
use super::super::node::{Up, now};
use super::super::nodes::Nodes;
use super::Answered;
use super::asked::{Asked, Happens, Who};
use super::part::{End, Gone, Of, Part, run, stopping};
use crate::serve::Seat;

/// Messages for the client to read.
const READY: usize = 256;

/// One client's stream.
pub(super) struct Watching {
    asked: Asked,
    request: Arc<WatchIncidentsRequest>,
    out: Out,
}

/// Where the client reads.
#[derive(Clone)]
struct Out(mpsc::Sender<Result<WatchIncidentsResponse, Status>>);

/// One node's part.
struct Watched {
    of: Of,
    request: Arc<WatchIncidentsRequest>,
    out: Out,
}

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
        let asked = Asked::new(nodes, Who { asker, chosen: Chosen::default(), patience, follow: true });
        let watching = Self { asked, request: Arc::new(request), out: Out(out) };
        tokio::spawn(async move {
            let _seat = seat;
            // Whoever has gone needs no more.
            let _gone = watching.run().await.is_err();
        });
        Box::pin(ReceiverStream::new(answers))
    }

    async fn run(mut self) -> Result<(), Gone> {
        for status in self.asked.greeting() {
            self.out.status(status).await?;
        }
        self.join();
        loop {
            tokio::select! {
                happens = self.asked.happens() => match happens.map_err(|_stopping| Gone)? {
                    Happens::Found => self.join(),
                    Happens::Fell(_, status) => self.out.status(status).await?,
                },
                () = self.out.0.closed() => return Err(Gone),
            }
        }
    }

    /// Asks the nodes that are new.
    fn join(&mut self) {
        for (number, of) in self.asked.join() {
            let watched = Watched { of, request: Arc::clone(&self.request), out: self.out.clone() };
            self.asked.begin(number, run(watched));
        }
    }
}

impl Part for Watched {
    fn of(&mut self) -> &mut Of {
        &mut self.of
    }

    async fn stream(&mut self, up: &Up, _nothing_chosen: Filters) -> Result<End, Gone> {
        let mut incidents = up.incidents.clone();
        let call =
            incidents.watch_incidents(self.of.asker.request(WatchIncidentsRequest::clone(&self.request)));
        let mut stream = match self.of.open(call).await {
            Ok(stream) => stream,
            Err(end) => return Ok(end),
        };
        self.out.status(up.status()).await?;
        loop {
            let message = match self.of.next(&mut stream).await {
                Ok(message) => message,
                Err(end) => return Ok(end),
            };
            match &message.payload {
                Some(Payload::NodeStatus(status)) if status.state() == NodeState::Stopping => {
                    return Ok(stopping());
                }
                Some(Payload::NodeStatus(_)) | None => {}
                Some(Payload::Incident(_) | Payload::Deleted(_)) => self.out.send(Ok(message)).await?,
            }
        }
    }

    async fn state(&mut self, status: NodeStatus) -> Result<(), Gone> {
        self.out.status(status).await
    }

    async fn cut_off(&mut self) -> Result<(), Gone> {
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Gone> {
        Ok(())
    }
}

impl Out {
    async fn status(&self, status: NodeStatus) -> Result<(), Gone> {
        let node_name = status.node_name.clone();
        let payload = Some(Payload::NodeStatus(status));
        self.send(Ok(WatchIncidentsResponse { payload, node_name, time: Some(now()) })).await
    }

    async fn send(&self, message: Result<WatchIncidentsResponse, Status>) -> Result<(), Gone> {
        self.0.send(message).await.map_err(|_closed| Gone)
    }
}
