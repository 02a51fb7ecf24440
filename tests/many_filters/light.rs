//! Clients that only count what they get: of an event they read its number and nothing else, so that a hundred of them
//! take little of the machine that they share with the daemon.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper_util::rt::TokioIo;
use observer_proto::v1::{Filter, Lost, NodeStatus, WatchEventsRequest};
use observer_tests::losses::is_own;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Endpoint, Uri};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// What the kernel and HTTP/2 hold for a client that does not read is little beside the daemon's queue.
const WINDOW: u32 = 65_535;
/// How often a client that is made slow looks whether it may read.
const STEP: Duration = Duration::from_millis(20);

/// The parts of a `WatchEventsResponse` that count.
#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(message, optional, tag = "1")]
    event: Option<Event>,
    #[prost(message, optional, tag = "2")]
    lost: Option<Lost>,
    #[prost(message, optional, tag = "3")]
    status: Option<NodeStatus>,
    /// A notice of what was only counted, whatever it says.
    #[prost(bytes = "vec", optional, tag = "6")]
    folded: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(uint64, tag = "1")]
    sequence: u64,
}

/// What a client got so far.
#[derive(Debug, Default)]
pub(crate) struct Got {
    /// Events.
    pub(crate) events: AtomicU64,
    /// Events that it was told to have missed for being slow.
    pub(crate) missed: AtomicU64,
    /// Notices of anything else that was lost or only counted, and events out of order.
    pub(crate) wrong: AtomicU64,
    connected: AtomicBool,
}

/// A client. Dropping it ends its call.
#[derive(Debug)]
pub(crate) struct Light {
    got: Arc<Got>,
    /// It reads nothing while this is set.
    stands: Arc<AtomicBool>,
    reader: JoinHandle<Result<()>>,
}

impl Light {
    /// Follows, over a connection of its own; `slow` stops once it is connected.
    pub(crate) async fn start(
        socket: &Path,
        allow: Vec<Filter>,
        deny: Vec<Filter>,
        slow: bool,
    ) -> Result<Self> {
        let request = WatchEventsRequest { allow, deny, follow: true, ..WatchEventsRequest::default() };
        let (got, stands) = (Arc::new(Got::default()), Arc::new(AtomicBool::new(slow)));
        let reader = tokio::spawn(read(socket.to_owned(), request, Arc::clone(&got), Arc::clone(&stands)));
        let light = Self { got, stands, reader };
        observer_tests::eventually(observer_tests::wait::PATIENCE, "a client to be connected", async || {
            light.check()?;
            Ok(if light.got.connected.load(Ordering::Relaxed) { Ok(()) } else { Err("nothing") })
        })
        .await?;
        Ok(light)
    }

    /// Lets a slow one read.
    pub(crate) fn go_on(&self) {
        self.stands.store(false, Ordering::Relaxed);
    }

    /// Events, missed ones, and what should not be.
    pub(crate) fn got(&self) -> [u64; 3] {
        let Got { events, missed, wrong, connected: _ } = &*self.got;
        [events, missed, wrong].map(|count| count.load(Ordering::Relaxed))
    }

    /// It still runs.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(!self.reader.is_finished(), "a client's stream has ended");
        Ok(())
    }
}

impl Drop for Light {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(
    socket: PathBuf,
    request: WatchEventsRequest,
    got: Arc<Got>,
    stands: Arc<AtomicBool>,
) -> Result<()> {
    let channel = Endpoint::from_static("http://localhost")
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .connect_with_connector(service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await?;
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let path = PathAndQuery::from_static("/observer.v1.Observer/WatchEvents");
    let codec = ProstCodec::<WatchEventsRequest, Message>::default();
    let mut stream = client.server_streaming(tonic::Request::new(request), path, codec).await?.into_inner();
    let mut last = 0;
    loop {
        let Message { event, lost, status, folded } = stream.message().await?.context("the stream ended")?;
        if let Some(Event { sequence }) = event {
            got.events.fetch_add(1, Ordering::Relaxed);
            got.wrong.fetch_add(u64::from(sequence <= last), Ordering::Relaxed);
            last = sequence;
        }
        if let Some(lost) = lost.filter(is_own) {
            let is_mine = lost.source() == observer_proto::v1::LossSource::Subscriber;
            let to = if is_mine { &got.missed } else { &got.wrong };
            to.fetch_add(lost.count, Ordering::Relaxed);
        }
        if folded.is_some() {
            got.wrong.fetch_add(1, Ordering::Relaxed);
        }
        if status.is_some() {
            got.connected.store(true, Ordering::Relaxed);
        }
        while stands.load(Ordering::Relaxed) {
            tokio::time::sleep(STEP).await;
        }
    }
}
