//! Who is no daemon of this relay's: one with another's certificate, an older one that would show all to everybody, a relay, and
//! somebody who does not speak gRPC. Each is said with its reason, shows nothing, and harms nobody else.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use observer_proto::v1;
use observer_proto::v1::incidents_server::{Incidents, IncidentsServer};
use observer_proto::v1::observer_server::{Observer, ObserverServer};
use observer_tests::authority::Authority;
use observer_tests::client::{json, run};
use observer_tests::nodes::{Nodes, Options};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Testbed, eventually};
use serde_json::Value;
use tokio::net::UnixListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A daemon as it was before relays: it does not know that somebody is asked for.
struct Older;

#[tonic::async_trait]
impl Observer for Older {
    type DebugStream = Items<v1::DebugResponse>;
    type WatchEventsStream = Items<v1::WatchEventsResponse>;
    type WatchSummariesStream = Items<v1::WatchSummariesResponse>;

    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let status = v1::Status {
            version: "0.0.1".to_owned(),
            node_name: "older".to_owned(),
            ..v1::Status::default()
        };
        Ok(Response::new(v1::GetStatusResponse { status: Some(status) }))
    }

    async fn list_workloads(
        &self,
        _: Request<v1::ListWorkloadsRequest>,
    ) -> Result<Response<v1::ListWorkloadsResponse>, Status> {
        let secret = v1::Workload { name: "secret".to_owned(), ..v1::Workload::default() };
        let workloads = vec![v1::WorkloadStatus { workload: Some(secret), ..v1::WorkloadStatus::default() }];
        Ok(Response::new(v1::ListWorkloadsResponse { workloads, ..v1::ListWorkloadsResponse::default() }))
    }

    async fn watch_events(
        &self,
        _: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let secret = v1::Event { sequence: 1, node_name: "secret".to_owned(), ..v1::Event::default() };
        let payload = Some(v1::watch_events_response::Payload::Event(secret));
        let message = v1::WatchEventsResponse { payload, ..v1::WatchEventsResponse::default() };
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(message)))))
    }

    async fn watch_summaries(
        &self,
        _: Request<v1::WatchSummariesRequest>,
    ) -> Result<Response<Self::WatchSummariesStream>, Status> {
        Err(Status::unimplemented("older"))
    }

    async fn explain(&self, _: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        Err(Status::unimplemented("older"))
    }

    async fn list_connections(
        &self,
        _: Request<v1::ListConnectionsRequest>,
    ) -> Result<Response<v1::ListConnectionsResponse>, Status> {
        Err(Status::unimplemented("older"))
    }

    async fn list_listeners(
        &self,
        _: Request<v1::ListListenersRequest>,
    ) -> Result<Response<v1::ListListenersResponse>, Status> {
        Err(Status::unimplemented("older"))
    }

    async fn debug(&self, _: Request<v1::DebugRequest>) -> Result<Response<Self::DebugStream>, Status> {
        Err(Status::unimplemented("older"))
    }
}

/// Its incidents: whether anybody had one opened.
#[derive(Clone, Default)]
struct OldIncidents(Arc<AtomicBool>);

#[tonic::async_trait]
impl Incidents for OldIncidents {
    type WatchIncidentsStream = Items<v1::WatchIncidentsResponse>;
    type ExportIncidentStream = Items<v1::ExportIncidentResponse>;

    async fn list_incidents(
        &self,
        _: Request<v1::ListIncidentsRequest>,
    ) -> Result<Response<v1::ListIncidentsResponse>, Status> {
        let secret = v1::Incident { id: "secret".to_owned(), ..v1::Incident::default() };
        let incidents = vec![secret];
        Ok(Response::new(v1::ListIncidentsResponse { incidents, ..v1::ListIncidentsResponse::default() }))
    }

    async fn open_incident(
        &self,
        _: Request<v1::OpenIncidentRequest>,
    ) -> Result<Response<v1::OpenIncidentResponse>, Status> {
        self.0.store(true, Ordering::Relaxed);
        let incident = Some(v1::Incident { id: "secret".to_owned(), ..v1::Incident::default() });
        Ok(Response::new(v1::OpenIncidentResponse { incident, ..v1::OpenIncidentResponse::default() }))
    }

    async fn get_incident(
        &self,
        _: Request<v1::GetIncidentRequest>,
    ) -> Result<Response<v1::GetIncidentResponse>, Status> {
        Err(Status::unimplemented("older"))
    }

    async fn watch_incidents(
        &self,
        _: Request<v1::WatchIncidentsRequest>,
    ) -> Result<Response<Self::WatchIncidentsStream>, Status> {
        Err(Status::unimplemented("older"))
    }

    async fn close_incident(
        &self,
        _: Request<v1::CloseIncidentRequest>,
    ) -> Result<Response<v1::CloseIncidentResponse>, Status> {
        Err(Status::unimplemented("older"))
    }

    async fn delete_incident(
        &self,
        _: Request<v1::DeleteIncidentRequest>,
    ) -> Result<Response<v1::DeleteIncidentResponse>, Status> {
        Err(Status::unimplemented("older"))
    }

    async fn export_incident(
        &self,
        _: Request<v1::ExportIncidentRequest>,
    ) -> Result<Response<Self::ExportIncidentStream>, Status> {
        Err(Status::unimplemented("older"))
    }

    async fn compare_windows(
        &self,
        _: Request<v1::CompareWindowsRequest>,
    ) -> Result<Response<v1::CompareWindowsResponse>, Status> {
        Err(Status::unimplemented("older"))
    }
}

/// Serves it for as long as the test lasts.
async fn older(path: &Path, incidents: OldIncidents) -> Result<()> {
    let incoming = UnixListenerStream::new(UnixListener::bind(path)?);
    let (health, service) = tonic_health::server::health_reporter();
    health.set_serving::<ObserverServer<Older>>().await;
    let server = tonic::transport::Server::builder()
        .add_service(ObserverServer::new(Older))
        .add_service(IncidentsServer::new(incidents))
        .add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_named_and_show_nothing() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let nodes = Nodes::new("relay-strangers")?;
    let foreign_folder = tempfile::tempdir()?;
    let foreign = Authority::new(foreign_folder.path(), "foreign")?;
    let well = nodes.start(testbed, "well", Options::default()).await?;
    let impostor = Options { authority: Some(&foreign), ..Options::default() };
    let impostor = nodes.start(testbed, "impostor", impostor).await?;
    let own = well.pod(testbed, "own").await?;
    own.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;

    let folder = tempfile::tempdir()?;
    let [old, mute] = ["older.sock", "mute.sock"].map(|name| folder.path().join(name));
    let old_incidents = OldIncidents::default();
    older(&old, old_incidents.clone()).await?;
    let listener = UnixListener::bind(&mute)?;
    let mute_task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let words = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            // Whoever hears that hangs up.
            let _gone = tokio::io::AsyncWriteExt::write_all(&mut stream, words).await.is_err();
        }
    });
    let at = |path: &Path| format!("unix://{}", path.display());
    let other = Daemon::relay().args(["--node".to_owned(), at(&old)]).start().await?;
    let all = [well.address()?, impostor.address()?, at(&old), at(&mute), at(other.socket())];
    let relay = nodes
        .relay()
        .args(["--node-timeout", "2s"])
        .args(all.iter().map(|one| format!("--node={one}")))
        .start()
        .await?;

    let told = eventually(PATIENCE, "what is wrong with each", || async {
        let status = json(relay.socket(), ["status"]).await?.pop().context("no status")?;
        let told = status["relay"]["nodes"].as_array().cloned().unwrap_or_default();
        let heard = |node: &Value| node["message"] != "it is being connected to";
        Ok(if told.len() == 5 && told.iter().all(heard) { Ok(told) } else { Err(status.to_string()) })
    })
    .await?;
    let of = |address: &str| {
        let found = told.iter().find(|node| node["address"] == address).cloned().unwrap_or_default();
        (
            found["state"].as_str().unwrap_or_default().to_owned(),
            found["message"].as_str().unwrap_or_default().to_owned(),
        )
    };
    ensure!(of(&all[0]).0 == "NODE_STATE_CONNECTED", "{told:?}");
    let (state, why) = of(&all[1]);
    ensure!(state == "NODE_STATE_UNAVAILABLE" && why.contains("certificate"), "{told:?}");
    let (state, why) = of(&all[2]);
    ensure!(state == "NODE_STATE_CONNECTED" && why.contains("version 0.0.1"), "{told:?}");
    ensure!(of(&all[3]).0 == "NODE_STATE_UNAVAILABLE", "{told:?}");
    let (state, why) = of(&all[4]);
    ensure!(state == "NODE_STATE_UNAVAILABLE" && why.contains("that is a relay"), "{told:?}");

    // What the older one would show to everybody is shown to nobody; the rest is.
    let output = run(relay.socket(), ["workloads", "-o", "json"]).await?;
    let (shown, said) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(output.status.success() && !shown.contains("secret") && shown.contains(own.name()), "{shown}");
    ensure!(said.contains("older") && said.contains("does not know how to answer for others"), "{said}");
    // Nor is anything done there, by anybody: who it would be for is not heeded.
    let output = run(relay.socket(), ["incident", "open", "--pod", own.name()]).await?;
    let opened = String::from_utf8(output.stdout)?;
    ensure!(output.status.success() && opened.contains("opened on well"), "{opened}");
    ensure!(opened.contains("older did not answer: its daemon does not know how"), "{opened}");
    ensure!(!opened.contains("secret") && !old_incidents.0.load(Ordering::Relaxed), "{opened}");
    let stream = relay.follow(["events", "-f"])?;
    let refused = |line: &Value| {
        let status = &line["node_status"];
        status["node_name"] == "older" && status["state"] == "NODE_STATE_UNAVAILABLE"
    };
    stream.wait_for("that the older one shows nothing", PATIENCE, refused).await?;
    let to = format!("{}:8080", own.ip()?);
    own.container("out", ["workload", "connect", "--to", &to]).start().await?;
    stream.wait_for("an event of the other", PATIENCE, |line| line["event"]["type"] == "tcp_connect").await?;
    ensure!(
        stream.matching(|line| line["event"]["node_name"] == "secret").is_empty(),
        "{}",
        stream.account()
    );

    mute_task.abort();
    own.remove().await?;
    for node in [well, impostor] {
        drop(node.daemon);
        node.place.remove().await?;
    }
    Ok(())
}
