//! The same service as a daemon's, over all nodes.

mod asked;
mod debug;
mod events;
mod following;
mod incidents;
mod lists;
mod part;
mod status;
mod summaries;
mod watching;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use observer_proto::v1;
use observer_proto::v1::incidents_server::IncidentsServer;
use observer_proto::v1::observer_server::{Observer, ObserverServer};
use prost::Message;
use tokio_stream::{Stream, StreamExt as _};
use tonic::service::Routes;
use tonic::{Request as Call, Response, Status};

use super::Settings;
use super::call::{self, Answers, Asker, Pace, Room, Turn, Visit};
use super::chosen::Chosen;
use super::nodes::Nodes;
use crate::serve::{Caller, LONGEST_ANSWER_BYTES, LONGEST_REQUEST_BYTES, Seat};

/// The service; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Service {
    nodes: Nodes,
    settings: Arc<Settings>,
    /// What calls over all nodes take together.
    room: Room,
    started: prost_types::Timestamp,
}

/// What a call over all nodes takes: a place of its client's, and one of all.
struct Place {
    _seat: Seat,
    _turn: Turn,
}

/// A stream of answers.
type Answered<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One daemon's stream, as it is; the client's place is its own for as long.
fn through<T: Send + 'static>(stream: tonic::Streaming<T>, seat: Seat) -> Answered<T> {
    Box::pin(stream.map(move |item| {
        let _seat = &seat;
        item
    }))
}

impl Service {
    /// Over these nodes.
    pub(super) fn new(nodes: Nodes, settings: Arc<Settings>) -> Self {
        Self { nodes, settings, room: Room::new(), started: super::node::now() }
    }

    /// Where its calls are found.
    pub(super) fn routes(self) -> Routes {
        let incidents = IncidentsServer::new(self.clone())
            .max_decoding_message_size(LONGEST_REQUEST_BYTES)
            .max_encoding_message_size(LONGEST_ANSWER_BYTES);
        let observer = ObserverServer::new(self)
            .max_decoding_message_size(LONGEST_REQUEST_BYTES)
            .max_encoding_message_size(LONGEST_ANSWER_BYTES);
        Routes::new(observer).add_service(incidents)
    }

    /// The nodes that there are; an error where there are none.
    fn nodes_now(&self) -> Result<Arc<Vec<Arc<super::node::Node>>>, Status> {
        let known = self.nodes.now();
        if known.nodes.is_empty() { Err(Status::unavailable(known.nobody())) } else { Ok(known.nodes) }
    }

    /// Asks all nodes of which something may pass, each for as long as it may usually take.
    async fn ask<T, F>(
        &self,
        asker: &Asker,
        chosen: &Chosen,
        call: impl Fn(Visit) -> F,
    ) -> Result<Answers<T>, Status>
    where
        T: Message + 'static,
        F: Future<Output = Result<T, Status>> + Send + 'static,
    {
        call::ask(asker, &self.nodes_now()?, chosen, Pace::usual(self.settings.patience), call).await
    }

    /// Lets a call begin: in whose name daemons are asked.
    fn admit<T>(&self, call: &Call<T>, name: &str) -> Result<(Asker, Arc<Caller>), Status> {
        let (scope, caller) = Caller::admit(call, name)?;
        Ok((Asker::new(&caller, &scope, self.room.clone())?, caller))
    }

    /// The same for a call that goes on for a while.
    fn seat<T>(&self, call: &Call<T>, name: &str) -> Result<(Asker, Seat), Status> {
        let (asker, caller) = self.admit(call, name)?;
        Ok((asker, caller.seat()?))
    }

    /// The same for a call that is answered by all nodes, of which there are so many at a time.
    async fn place<T>(&self, call: &Call<T>, name: &str) -> Result<(Asker, Place), Status> {
        let (asker, caller) = self.admit(call, name)?;
        let seat = caller.seat()?;
        let turn = self.room.turn(caller.name(), self.settings.patience).await?;
        Ok((asker, Place { _seat: seat, _turn: turn }))
    }
}

#[tonic::async_trait]
impl Observer for Service {
    type DebugStream = Answered<v1::DebugResponse>;
    type WatchEventsStream = Answered<v1::WatchEventsResponse>;
    type WatchSummariesStream = Answered<v1::WatchSummariesResponse>;

    async fn watch_events(
        &self,
        call: Call<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let (asker, seat) = self.seat(&call, "WatchEvents")?;
        let stream = events::Events::open(asker, seat, call.into_inner(), &self.nodes, &self.settings)?;
        Ok(Response::new(stream))
    }

    async fn watch_summaries(
        &self,
        call: Call<v1::WatchSummariesRequest>,
    ) -> Result<Response<Self::WatchSummariesStream>, Status> {
        let (asker, seat) = self.seat(&call, "WatchSummaries")?;
        let stream = summaries::Summaries::open(asker, seat, call.into_inner(), &self.nodes, &self.settings)?;
        Ok(Response::new(stream))
    }

    async fn explain(&self, call: Call<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        let (asker, _place) = self.place(&call, "Explain").await?;
        Ok(Response::new(self.verdicts(&asker, call.into_inner()).await?))
    }

    async fn list_connections(
        &self,
        call: Call<v1::ListConnectionsRequest>,
    ) -> Result<Response<v1::ListConnectionsResponse>, Status> {
        let (asker, _place) = self.place(&call, "ListConnections").await?;
        Ok(Response::new(self.connections(&asker, call.into_inner()).await?))
    }

    async fn list_listeners(
        &self,
        call: Call<v1::ListListenersRequest>,
    ) -> Result<Response<v1::ListListenersResponse>, Status> {
        let (asker, _place) = self.place(&call, "ListListeners").await?;
        Ok(Response::new(self.listeners(&asker, call.into_inner()).await?))
    }

    async fn list_workloads(
        &self,
        call: Call<v1::ListWorkloadsRequest>,
    ) -> Result<Response<v1::ListWorkloadsResponse>, Status> {
        let (asker, _place) = self.place(&call, "ListWorkloads").await?;
        Ok(Response::new(self.workloads(&asker, call.into_inner()).await?))
    }

    async fn get_status(
        &self,
        call: Call<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        Caller::admit(&call, "GetStatus")?;
        Ok(Response::new(v1::GetStatusResponse { status: Some(self.status()) }))
    }

    async fn debug(&self, call: Call<v1::DebugRequest>) -> Result<Response<Self::DebugStream>, Status> {
        let (asker, seat) = self.seat(&call, "Debug")?;
        Ok(Response::new(self.session(asker, seat, call.into_inner()).await?))
    }
}
