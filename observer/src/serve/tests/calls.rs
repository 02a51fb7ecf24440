//! Calls by a client over a unix socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::watch_summaries_response::Payload as SummaryPayload;
use tokio::sync::{mpsc, oneshot};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::aggregate::{self, Aggregator};
use crate::event::examples::{WALL_NS, connect, event, pod, tcp};
use crate::event::{BootTime, Now, WallTime};
use crate::serve::{
    ClientLimits, ConnectionList, Limits, ListenerList, Listeners, Request, SecurityFiles, Service, Settings,
    Subscribers, WorkloadList,
};

pub(super) const SECOND: u64 = 1_000_000_000;

fn now(seconds: u64) -> Now {
    Now { boot: BootTime(seconds * SECOND), wall: WallTime(WALL_NS + seconds * SECOND) }
}

/// A daemon whose loop has seen one connection in each of its first three seconds. `stop` ends it.
pub(super) struct Daemon {
    pub(super) path: PathBuf,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

pub(super) fn start() -> Daemon {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("observer.sock");
    let mut listeners = Listeners::new(SecurityFiles::default()).unwrap();
    listeners.unix(&path).unwrap();
    let (requests, inbox) = mpsc::channel(16);
    let service = Service::new(Settings::new("node-1".into()), requests);
    let (stop, stopped) = oneshot::channel();
    let (shut_down, shutdown) = oneshot::channel::<()>();
    tokio::spawn(event_loop(inbox, stopped, shut_down));
    let done = tokio::spawn(async move {
        let ended =
            listeners.serve(service.routes(), ClientLimits::default(), async { drop(shutdown.await) }).await;
        ended.unwrap();
    });
    Daemon { path, stop, done, _directory: directory }
}

pub(in crate::serve) async fn event_loop(
    mut inbox: mpsc::Receiver<Request>,
    mut stopped: oneshot::Receiver<()>,
    shut_down: oneshot::Sender<()>,
) {
    let mut aggregator = Aggregator::new(aggregate::Settings::default(), BootTime(0));
    let mut subscribers = Subscribers::new("node-1", Limits::default(), now(0));
    let (web, db) = (pod(1, "shop", "web"), pod(2, "data", "db"));
    for second in 0..3 {
        let tcp = tcp(second + 1, true, "10.0.0.2:5432", Some(&db));
        let event = Arc::new(event(&web, second * SECOND + 5, connect(&tcp)));
        aggregator.record(&event);
        subscribers.publish(&[event]);
        for window in aggregator.advance(BootTime((second + 1) * SECOND)) {
            subscribers.publish_window(&window, now(second + 1));
        }
    }
    loop {
        let request = tokio::select! {
            _ = &mut stopped => break,
            Some(request) = inbox.recv() => request,
        };
        match request {
            Request::Events(request) => subscribers.add_events(request),
            Request::ReadOn(id) => subscribers.read_on(id),
            Request::ReadRest(rest) => subscribers.read_rest(&rest),
            Request::Summaries(request) => subscribers.add_summaries(request),
            Request::Connections { filters, order, limit, reply } => {
                let sampled = aggregator.sampled();
                let matches = |one: &_| filters.connection(one, sampled);
                let (connections, total) = aggregator.connections(matches, order, limit);
                drop(reply.send(ConnectionList { connections, total, sampled, now: now(3) }));
            }
            Request::Workloads { filters: _, reply } => {
                drop(reply.send(WorkloadList { workloads: Vec::new(), now: now(3) }));
            }
            Request::Listeners { filters, reply } => {
                let listeners = aggregator.listeners(|one| filters.listener(one));
                drop(reply.send(ListenerList { listeners, sampled: aggregator.sampled(), now: now(3) }));
            }
            Request::Debug(ask) => drop(ask.reply.send(Err(crate::session::Refusal::NothingMatches))),
            // Nobody answers: as if the loop had ended meanwhile.
            Request::Status { reply } => drop(reply),
            Request::Past { reply, .. } => drop(reply),
            Request::OpenIncident { reply, .. } => drop(reply),
            Request::CloseIncident { reply, .. } => drop(reply),
            Request::DeleteIncident { reply, .. } => drop(reply),
        }
    }
    subscribers.stop();
    drop(shut_down);
}

pub(super) async fn channel(path: &Path) -> Channel {
    Endpoint::try_from(format!("unix://{}", path.display())).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn events_connect_then_come_and_end_with_the_daemon() {
    let daemon = start();
    let mut client = ObserverClient::new(channel(&daemon.path).await);
    let request = v1::WatchEventsRequest { last: 2, follow: true, ..v1::WatchEventsRequest::default() };
    let mut stream = client.watch_events(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(first.node_name, "node-1");
    let Some(Payload::NodeStatus(status)) = first.payload else { panic!("no status first") };
    assert_eq!(status.state(), v1::NodeState::Connected);
    let message = stream.message().await.unwrap().unwrap();
    let Some(Payload::History(reach)) = message.payload else { panic!("no reach") };
    assert!(!reach.another_run && reach.oldest.is_some(), "{reach:?}");
    for sequence in [SECOND + 5, 2 * SECOND + 5] {
        let message = stream.message().await.unwrap().unwrap();
        let Some(Payload::Event(event)) = message.payload else { panic!("no event") };
        assert_eq!((event.sequence, event.r#type()), (sequence, v1::EventType::TcpConnect));
    }
    let message = stream.message().await.unwrap().unwrap();
    let Some(Payload::NodeStatus(status)) = message.payload else { panic!("not told that it follows") };
    assert_eq!(status.state(), v1::NodeState::Following);
    daemon.stop.send(()).unwrap();
    let last = stream.message().await.unwrap().unwrap();
    let Some(Payload::NodeStatus(status)) = last.payload else { panic!("no status last") };
    assert_eq!(status.state(), v1::NodeState::Stopping);
    assert!(stream.message().await.unwrap().is_none(), "the stream ends without an error");
    drop((stream, client));
    daemon.done.await.unwrap();
    assert!(!daemon.path.exists());
}

#[tokio::test]
async fn summaries_are_merged_to_the_window_that_was_asked_for() {
    let daemon = start();
    let mut client = ObserverClient::new(channel(&daemon.path).await);
    let window = Some(prost_types::Duration { seconds: 2, nanos: 0 });
    let request = v1::WatchSummariesRequest { window, ..v1::WatchSummariesRequest::default() };
    let mut stream = client.watch_summaries(request).await.unwrap().into_inner();
    let mut told = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        told.push(match message.payload.unwrap() {
            SummaryPayload::Summary(summary) => {
                let tcp = summary.tcp.unwrap();
                assert_eq!((tcp.opened, tcp.live, summary.window_ns), (2, 3, 2 * SECOND));
                assert_eq!(tcp.handshake_latency.unwrap().p99_ns, 1_000_000);
                if summary.edge.is_some() { "edge" } else { "workload" }
            }
            SummaryPayload::Lost(_) => "lost",
            SummaryPayload::Gap(_) => "gap",
            SummaryPayload::NodeStatus(_) => "connected",
            SummaryPayload::WindowEnd(end) => {
                assert_eq!((end.summaries, end.window_ns), (2, 2 * SECOND));
                let start = end.window_start.unwrap();
                assert_eq!(start.seconds as u64 * SECOND, WALL_NS + SECOND);
                "end"
            }
        });
    }
    assert_eq!(told, ["connected", "workload", "edge", "end"]);
}

#[tokio::test]
async fn lists_are_filtered_and_bad_requests_refused() {
    let daemon = start();
    let mut client = ObserverClient::new(channel(&daemon.path).await);
    let request = v1::ListConnectionsRequest { limit: 2, ..v1::ListConnectionsRequest::default() };
    let listed = client.list_connections(request).await.unwrap().into_inner();
    assert_eq!((listed.connections.len(), listed.total), (2, 3));
    let request =
        v1::ListConnectionsRequest { allow: vec![by_port(1)], ..v1::ListConnectionsRequest::default() };
    assert_eq!(client.list_connections(request).await.unwrap().into_inner().total, 0);

    let request = v1::WatchEventsRequest { deny: vec![by_port(0)], ..v1::WatchEventsRequest::default() };
    let error = client.watch_events(request).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(error.message(), "deny[0].ports: 0 is not allowed: a port from 1 to 65535");
    for (seconds, nanos) in [(0, 0), (3_601, 0), (1, 5), (-1, 0)] {
        let window = Some(prost_types::Duration { seconds, nanos });
        let request = v1::WatchSummariesRequest { window, ..v1::WatchSummariesRequest::default() };
        let error = client.watch_summaries(request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(error.message().ends_with("whole seconds from 1 to 3600"), "{error}");
    }
    let error = client.get_status(v1::GetStatusRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
}

/// Names of the services that reflection tells of, by one version of it.
macro_rules! reflected {
    ($daemon:expr, $version:ident) => {{
        use pb::server_reflection_request::MessageRequest;
        use pb::server_reflection_response::MessageResponse;
        use tonic_reflection::pb::$version as pb;
        let channel = channel(&$daemon.path).await;
        let mut client = pb::server_reflection_client::ServerReflectionClient::new(channel);
        let message_request = Some(MessageRequest::ListServices(String::new()));
        let request = pb::ServerReflectionRequest { host: String::new(), message_request };
        let answers = client.server_reflection_info(tokio_stream::iter([request])).await;
        let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
        match answer.message_response.unwrap() {
            MessageResponse::ListServicesResponse(list) => {
                list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test]
async fn both_versions_of_reflection_tell_of_the_services() {
    let daemon = start();
    for names in [reflected!(daemon, v1), reflected!(daemon, v1alpha)] {
        for name in ["observer.v1.Observer", "observer.v1.Incidents", "grpc.health.v1.Health"] {
            assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
        }
    }
}

#[tokio::test]
async fn health_is_served() {
    let daemon = start();
    let mut health = HealthClient::new(channel(&daemon.path).await);
    let request = HealthCheckRequest { service: "observer.v1.Observer".into() };
    let answer = health.check(request).await.unwrap().into_inner();
    assert_eq!(answer.status, 1, "SERVING");
}
