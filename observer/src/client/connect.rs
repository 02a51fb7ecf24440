//! Connects to a daemon and calls it, with every failure told in the client's own words.

mod incidents;
mod recording;
mod remembering;
mod secured;
mod target;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use observer_proto::v1::incidents_client::IncidentsClient;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{
    DebugRequest, DebugResponse, ExplainRequest, ExplainResponse, GetStatusRequest, ListConnectionsRequest,
    ListConnectionsResponse, ListListenersRequest, ListListenersResponse, ListWorkloadsRequest,
    ListWorkloadsResponse, Status, WatchEventsRequest, WatchEventsResponse, WatchSummariesRequest,
    WatchSummariesResponse,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};

use super::Error;
use crate::replay;

pub(crate) use target::{Server, Target, Tls};

use remembering::Remembering;
use secured::Secured;

/// A list of a busy node's connections is larger than the 4 MiB that gRPC expects.
const MAX_MESSAGE: usize = 64 << 20;

/// The daemon at a silent connection is asked so often whether it is still there, and may take so long to answer.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(10);

/// How long the daemon watches before it gives verdicts, at most.
const WATCHING: Duration = Duration::from_secs(3);

/// A connection to a daemon.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    grpc: ObserverClient<Channel>,
    incidents: IncidentsClient<Channel>,
    server: Server,
    timeout: Duration,
}

/// How many bytes may come that nobody has read yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread {
    /// Of each call.
    pub(crate) call: u32,
    /// Of all calls of a connection.
    pub(crate) connection: u32,
}

/// A stream of answers.
pub(crate) struct Answers<T> {
    stream: tonic::Streaming<T>,
    call: &'static str,
    server: Server,
}

impl Client {
    /// Connects, within the timeout that also holds for every first answer.
    pub(crate) async fn connect(target: Target) -> Result<Self, Error> {
        let (server, timeout) = (target.server.clone(), target.timeout);
        let channel = Self::open(target, None).await?;
        let incidents = IncidentsClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let grpc = ObserverClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        Ok(Self { grpc, incidents, server, timeout })
    }

    /// The connection alone. One that falls silent is found out, and ends. Without a bound of its own, 2 MiB of each
    /// call may be unread, and 5 MiB of all.
    pub(crate) async fn open(target: Target, unread: Option<Unread>) -> Result<Channel, Error> {
        let Target { server, tls, timeout } = target;
        let refused = |reason: String| Error::Tls { server: server.clone(), reason };
        let unreachable = |source| Error::Unreachable { server: server.clone(), source };
        // The transport would hide the reason in a chain of its own errors: so the socket is opened
        // here, and handed over.
        let opened = match &server {
            Server::Unix(_) | Server::Loopback(_) | Server::File(_) if !tls.is_empty() => {
                return Err(refused(
                    "TLS is for tls:// addresses alone: leave the TLS options out, or name such an address"
                        .to_owned(),
                ));
            }
            Server::Unix(path) => {
                let socket = within(timeout, UnixStream::connect(path)).await.map_err(unreachable)?;
                channel(socket, timeout, Some(KEEPALIVE), unread).await
            }
            Server::Loopback(address) => {
                let socket = within(timeout, TcpStream::connect(address)).await.map_err(unreachable)?;
                channel(socket, timeout, Some(KEEPALIVE), unread).await
            }
            Server::File(path) => channel(replay::within(path.clone()).await?, timeout, None, unread).await,
            Server::Secured { host, port } => {
                let secured = Secured::read(host, &tls).map_err(refused)?;
                let place = (host.as_str(), *port);
                let socket = within(timeout, TcpStream::connect(place)).await.map_err(unreachable)?;
                // That something was read is told at once, or the daemon waits with more.
                socket.set_nodelay(true).map_err(unreachable)?;
                let unsafe_ = |source| Error::Certificates { server: server.clone(), source };
                let socket = within(timeout, secured.connect(socket)).await.map_err(unsafe_)?;
                channel(socket, timeout, Some(KEEPALIVE), unread).await
            }
        };
        opened.map_err(|source| Error::Handshake { server: server.clone(), source })
    }

    /// Watches events.
    pub(crate) async fn watch_events(
        &self,
        request: WatchEventsRequest,
    ) -> Result<Answers<WatchEventsResponse>, Error> {
        let mut grpc = self.grpc.clone();
        self.stream("watching events", grpc.watch_events(request)).await
    }

    /// Watches summaries.
    pub(crate) async fn watch_summaries(
        &self,
        request: WatchSummariesRequest,
    ) -> Result<Answers<WatchSummariesResponse>, Error> {
        let mut grpc = self.grpc.clone();
        self.stream("watching summaries", grpc.watch_summaries(request)).await
    }

    /// Lists the live connections.
    pub(crate) async fn connections(
        &self,
        request: ListConnectionsRequest,
    ) -> Result<ListConnectionsResponse, Error> {
        let mut grpc = self.grpc.clone();
        self.answer("listing connections", grpc.list_connections(request)).await
    }

    /// Asks for verdicts. The daemon watches for a while before it answers.
    pub(crate) async fn explain(&self, request: ExplainRequest) -> Result<ExplainResponse, Error> {
        let mut grpc = self.grpc.clone();
        let patient = Self { timeout: self.timeout + WATCHING, ..self.clone() };
        patient.answer("asking for verdicts", grpc.explain(request)).await
    }

    /// Lists the listening sockets.
    pub(crate) async fn listeners(
        &self,
        request: ListListenersRequest,
    ) -> Result<ListListenersResponse, Error> {
        let mut grpc = self.grpc.clone();
        self.answer("listing listeners", grpc.list_listeners(request)).await
    }

    /// Opens a debugging session.
    pub(crate) async fn debug(&self, request: DebugRequest) -> Result<Answers<DebugResponse>, Error> {
        let mut grpc = self.grpc.clone();
        let call = "opening a debugging session";
        self.stream(call, async move { grpc.debug(request).await }).await
    }

    /// Lists the workloads.
    pub(crate) async fn workloads(
        &self,
        request: ListWorkloadsRequest,
    ) -> Result<ListWorkloadsResponse, Error> {
        let mut grpc = self.grpc.clone();
        self.answer("listing workloads", grpc.list_workloads(request)).await
    }

    /// Asks for the daemon's state.
    pub(crate) async fn status(&self) -> Result<Status, Error> {
        let mut grpc = self.grpc.clone();
        let response = self.answer("asking for the status", grpc.get_status(GetStatusRequest {})).await?;
        Ok(response.status.unwrap_or_default())
    }

    async fn stream<T>(
        &self,
        call: &'static str,
        request: impl Future<Output = Result<tonic::Response<tonic::Streaming<T>>, tonic::Status>>,
    ) -> Result<Answers<T>, Error> {
        let stream = self.answer(call, request).await?;
        Ok(Answers { stream, call, server: self.server.clone() })
    }

    async fn answer<T>(
        &self,
        call: &'static str,
        request: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, request).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Error::Call { call, server: self.server.clone(), status: status.into() }),
            Err(_elapsed) => {
                Err(Error::TimedOut { call, server: self.server.clone(), timeout: self.timeout })
            }
        }
    }
}

impl<T> Answers<T> {
    /// The next message, or `None` at the stream's end. `idle` is called before there is a wait.
    pub(crate) async fn next(
        &mut self,
        idle: &mut impl FnMut() -> io::Result<()>,
    ) -> io::Result<Option<Result<T, Error>>> {
        let stream = &mut self.stream;
        let ready = std::future::poll_fn(|context| {
            std::task::Poll::Ready(tokio_stream::Stream::poll_next(std::pin::Pin::new(&mut *stream), context))
        })
        .await;
        let message = match ready {
            std::task::Poll::Ready(message) => message,
            std::task::Poll::Pending => {
                idle()?;
                stream.next().await
            }
        };
        Ok(message.map(|result| {
            result.map_err(|status| Error::Call {
                call: self.call,
                server: self.server.clone(),
                status: status.into(),
            })
        }))
    }
}

/// A channel over a socket that is open already; when that ends, so does the channel.
async fn channel<S>(
    socket: S,
    timeout: Duration,
    asked_each: Option<Duration>,
    unread: Option<Unread>,
) -> Result<Channel, tonic::transport::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (socket, broke) = Remembering::new(socket);
    let once = Mutex::new(Some(TokioIo::new(socket)));
    let connector = tower::service_fn(move |_uri| {
        let socket = once.lock().ok().and_then(|mut socket| socket.take());
        let broke = broke.clone();
        async move { socket.ok_or_else(|| broke.error()) }
    });
    // The name is never looked up: the connector does not ask for it.
    let mut endpoint = Endpoint::from_static("http://observer")
        .connect_timeout(timeout)
        .initial_stream_window_size(unread.map(|unread| unread.call))
        .initial_connection_window_size(unread.map(|unread| unread.connection));
    if let Some(interval) = asked_each {
        endpoint = endpoint
            .http2_keep_alive_interval(interval)
            .keep_alive_timeout(KEEPALIVE_PATIENCE)
            .keep_alive_while_idle(true);
    }
    endpoint.connect_with_connector(connector).await
}

async fn within<T>(timeout: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result,
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    }
}
