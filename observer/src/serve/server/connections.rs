//! The connections of clients: accepted from a socket, served by HTTP/2, ended in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt as _};
use tonic::service::Routes;

use super::greeting::{Greeted, Strangers};
use super::requests::{Pool, Receiving};

/// An idle client is asked so often whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(20);
/// Calls at a time over one connection.
const CALLS_PER_CONNECTION: u32 = 256;
/// What may wait in a stream for its client to read. More waits in the subscriber's queue, which counts it and drops the
/// oldest: hyper's own default of 400 KiB takes 40 MiB with a hundred clients that do not read.
const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// What a client may send on one call, and on one connection, before the server has read it.
const CALL_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// The longest list of headers of a call.
const HEADERS_BYTES: u32 = 16 * 1024;
/// Calls that a client began and took back before they were looked at. With one more the connection ends: it does nothing
/// else (CVE-2023-44487).
const CALLS_TAKEN_BACK: usize = 20;
/// That there are too many clients is said so often at the most.
const REFUSALS_TOLD: Duration = Duration::from_secs(10);
/// Between two attempts to accept where the daemon may open no more files, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Serves each client that comes, `most` at a time, until `stopping` says so (or whoever would say it is gone). Then no new
/// call is taken; done once all open ones are.
pub(super) async fn serve<I>(
    mut incoming: impl Stream<Item = io::Result<I>> + Unpin,
    routes: Routes,
    most: usize,
    mut stopping: watch::Receiver<bool>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut clients = Clients::new(routes, most);
    let mut strangers = Strangers::new(most / 2);
    loop {
        let full = strangers.full_until();
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(greeted) = strangers.next() => {
                if let Some(stream) = greeted {
                    clients.add(stream);
                }
                continue;
            }
            () = tokio::time::sleep_until(full.unwrap_or_else(Instant::now)), if full.is_some() => continue,
            accepted = incoming.next(), if full.is_none() => accepted,
        };
        match accepted {
            Some(Ok(stream)) => strangers.add(stream),
            // The client was gone before it was accepted.
            Some(Err(error)) if is_of_client(&error) => {}
            Some(Err(error)) => {
                log::warn!("cannot accept a client: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None => break,
        }
    }
    // Whoever comes now is refused, and does not wait for an answer.
    drop((incoming, strangers));
    clients.open.shutdown().await;
}

/// The clients of a listener.
struct Clients {
    http: http2::Builder<TokioExecutor>,
    routes: Routes,
    open: GracefulShutdown,
    pool: Pool,
    most: usize,
    places: Arc<Semaphore>,
    /// Refused since that was said last, and when that was.
    refused: (u64, Option<Instant>),
}

impl Clients {
    fn new(routes: Routes, most: usize) -> Self {
        let places = Arc::new(Semaphore::new(most));
        let (open, pool) = (GracefulShutdown::new(), Pool::default());
        Self { http: http(), routes, open, pool, most, places, refused: (0, None) }
    }

    /// Serves one, or refuses it where there are too many.
    fn add<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&mut self, stream: Greeted<I>) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return self.refuse() };
        let service = TowerToHyperService::new(Receiving::new(self.routes.clone(), &self.pool));
        let connection = self.open.watch(self.http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A client that goes without a word is none of the daemon's troubles.
            if let Err(error) = connection.await {
                log::debug!("a client's connection ended: {error}");
            }
            drop(place);
        });
    }

    fn refuse(&mut self) {
        let (count, told) = &mut self.refused;
        *count += 1;
        if told.is_none_or(|told| told.elapsed() >= REFUSALS_TOLD) {
            log::warn!("refused {count} clients: {} are connected, as many as may be", self.most);
            self.refused = (0, Some(Instant::now()));
        }
    }
}

fn http() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_PATIENCE)
        .max_concurrent_streams(CALLS_PER_CONNECTION)
        .max_pending_accept_reset_streams(CALLS_TAKEN_BACK)
        .max_header_list_size(HEADERS_BYTES)
        .initial_stream_window_size(CALL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    http
}

fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
