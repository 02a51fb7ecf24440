//! A server for tests: the API over a unix socket, with answers that the request chooses.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use observer_proto::v1::observer_server::{Observer, ObserverServer};
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::watch_summaries_response::Payload as SummaryPayload;
use observer_proto::v1::{
    DebugRequest, DebugResponse, ExplainRequest, ExplainResponse, GetStatusRequest, GetStatusResponse,
    ListConnectionsRequest, ListConnectionsResponse, ListListenersRequest, ListListenersResponse,
    ListWorkloadsRequest, ListWorkloadsResponse, Lost, NodeState, NodeStatus, Status, Summary,
    WatchEventsRequest, WatchEventsResponse, WatchSummariesRequest, WatchSummariesResponse, WindowEnd,
};
use tokio::net::UnixListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response};

/// Serves at this path for as long as the runtime lasts.
pub(crate) fn serve(path: &Path) {
    let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
    let server = tonic::transport::Server::builder().add_service(ObserverServer::new(Fake));
    tokio::spawn(server.serve_with_incoming(incoming));
}

type Reply<T> = Result<Response<T>, tonic::Status>;
type Items<T> = Pin<Box<dyn Stream<Item = Result<T, tonic::Status>> + Send>>;

/// Answers as the request's `last` says: 0 an event, a lost notice and the end; 3 an event and no
/// end; others fail.
struct Fake;

#[tonic::async_trait]
impl Observer for Fake {
    type WatchEventsStream = Items<WatchEventsResponse>;
    type WatchSummariesStream = Items<WatchSummariesResponse>;
    type DebugStream = Items<DebugResponse>;

    async fn watch_events(&self, request: Request<WatchEventsRequest>) -> Reply<Self::WatchEventsStream> {
        let event = super::response(super::connect());
        let message = event.clone();
        let with = move |payload| WatchEventsResponse { payload: Some(payload), ..message.clone() };
        let mut stopping = NodeStatus::default();
        stopping.set_state(NodeState::Stopping);
        let lost = Lost { count: 3, kind: "tcp_close".to_owned(), ..Lost::default() };
        if request.get_ref().follow {
            // The stream ends by itself, but not before a follower has seen a window.
            let (send, receive) = tokio::sync::mpsc::channel(1);
            tokio::spawn(async move {
                let last = with(Payload::NodeStatus(stopping));
                send.send(Ok(event)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(300)).await;
                send.send(Ok(last)).await.unwrap();
            });
            return Ok(Response::new(Box::pin(ReceiverStream::new(receive))));
        }
        let items = match request.get_ref().last {
            0 => vec![
                Ok(event.clone()),
                Ok(with(Payload::Lost(lost))),
                Ok(with(Payload::NodeStatus(stopping))),
            ],
            1 => vec![Ok(event), Err(tonic::Status::unavailable("stopped\x1b[2J"))],
            2 => return Err(tonic::Status::invalid_argument("port 0: allowed are 1 to 65535")),
            3 => {
                let stream =
                    tokio_stream::StreamExt::chain(tokio_stream::iter([Ok(event)]), tokio_stream::pending());
                return Ok(Response::new(Box::pin(stream)));
            }
            _ => std::future::pending().await,
        };
        Ok(Response::new(Box::pin(tokio_stream::iter(items))))
    }

    async fn watch_summaries(&self, _: Request<WatchSummariesRequest>) -> Reply<Self::WatchSummariesStream> {
        let with = |payload| WatchSummariesResponse {
            payload: Some(payload),
            node_name: "node1".to_owned(),
            time: Some(super::AT),
        };
        let summary =
            Summary { workload: Some(super::pod("shop", "cart-7d9f", "app")), ..Summary::default() };
        let end =
            WindowEnd { window_start: Some(super::AT), window_ns: 10_000_000_000, ..WindowEnd::default() };
        let items = [SummaryPayload::Summary(summary), SummaryPayload::WindowEnd(end)].map(with).map(Ok);
        Ok(Response::new(Box::pin(tokio_stream::iter(items))))
    }

    async fn list_connections(&self, _: Request<ListConnectionsRequest>) -> Reply<ListConnectionsResponse> {
        Err(tonic::Status::permission_denied("uid 1000 may not"))
    }

    async fn explain(&self, _: Request<ExplainRequest>) -> Reply<ExplainResponse> {
        Err(tonic::Status::unimplemented(""))
    }

    async fn list_listeners(&self, _: Request<ListListenersRequest>) -> Reply<ListListenersResponse> {
        Err(tonic::Status::unimplemented(""))
    }

    async fn list_workloads(&self, _: Request<ListWorkloadsRequest>) -> Reply<ListWorkloadsResponse> {
        Err(tonic::Status::unimplemented(""))
    }

    async fn debug(&self, _: Request<DebugRequest>) -> Reply<Self::DebugStream> {
        Err(tonic::Status::unimplemented(""))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Reply<GetStatusResponse> {
        let status = Status { version: "0.1.0".to_owned(), ..Status::default() };
        Ok(Response::new(GetStatusResponse { status: Some(status) }))
    }
}
