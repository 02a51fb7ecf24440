//! The API of a simulated node, as far as the relay is measured by it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use observer_proto::v1;
use observer_proto::v1::observer_server::Observer;
use observer_proto::v1::watch_summaries_response::Payload;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::node::Node;

/// Messages of a window that wait for a client.
const WAITING: usize = 64;

/// A node's service.
#[derive(Clone, Debug)]
pub(super) struct Service(pub(super) Arc<Node>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn not_simulated() -> Status {
    Status::unimplemented("it is not simulated")
}

#[tonic::async_trait]
impl Observer for Service {
    type DebugStream = Answers<v1::DebugResponse>;
    type WatchEventsStream = Answers<v1::WatchEventsResponse>;
    type WatchSummariesStream = Answers<v1::WatchSummariesResponse>;

    async fn watch_events(
        &self,
        call: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let node = Arc::clone(&self.0);
        let (first, later) = node.subscribe(call.into_inner().resume);
        let told = tokio_stream::iter(first).chain(ReceiverStream::new(later));
        Ok(Response::new(Box::pin(told.map(move |told| Ok(node.message(told))))))
    }

    async fn watch_summaries(
        &self,
        call: Request<v1::WatchSummariesRequest>,
    ) -> Result<Response<Self::WatchSummariesStream>, Status> {
        let window = call.into_inner().window.and_then(|window| Duration::try_from(window).ok());
        let (sender, answers) = mpsc::channel(WAITING);
        let node = Arc::clone(&self.0);
        tokio::spawn(windows(node, window.unwrap_or(Duration::from_secs(10)), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn get_status(
        &self,
        _call: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        Ok(Response::new(self.0.status()))
    }

    async fn explain(
        &self,
        _call: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        Err(not_simulated())
    }

    async fn list_connections(
        &self,
        _call: Request<v1::ListConnectionsRequest>,
    ) -> Result<Response<v1::ListConnectionsResponse>, Status> {
        Err(not_simulated())
    }

    async fn list_listeners(
        &self,
        _call: Request<v1::ListListenersRequest>,
    ) -> Result<Response<v1::ListListenersResponse>, Status> {
        Err(not_simulated())
    }

    async fn list_workloads(
        &self,
        _call: Request<v1::ListWorkloadsRequest>,
    ) -> Result<Response<v1::ListWorkloadsResponse>, Status> {
        Err(not_simulated())
    }

    async fn debug(&self, _call: Request<v1::DebugRequest>) -> Result<Response<Self::DebugStream>, Status> {
        Err(not_simulated())
    }
}

/// Tells window after window, until nobody listens.
async fn windows(
    node: Arc<Node>,
    length: Duration,
    sender: mpsc::Sender<Result<v1::WatchSummariesResponse, Status>>,
) {
    let length_ns = length.as_nanos() as u64;
    loop {
        let start = SystemTime::now().into();
        tokio::time::sleep(length).await;
        let summaries = node.content.summaries(start, length_ns);
        let count = summaries.len() as u64;
        let end = v1::WindowEnd {
            window_start: Some(start),
            window_ns: length_ns,
            summaries: count,
            total: count,
            ..v1::WindowEnd::default()
        };
        let payloads = summaries.into_iter().map(Payload::Summary).chain([Payload::WindowEnd(end)]);
        for payload in payloads {
            let time = Some(SystemTime::now().into());
            let node_name = node.name.clone();
            let message = v1::WatchSummariesResponse { payload: Some(payload), node_name, time };
            if sender.send(Ok(message)).await.is_err() {
                return;
            }
        }
    }
}
