//! The connections of clients: accepted from a socket, served by HTTP/2, ended in order.

use std::io;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt as _};
use tonic::service::Routes;

/// An idle client is asked so often whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(20);
/// Calls at a time over one connection.
const CALLS_PER_CONNECTION: u32 = 256;
/// What may wait in a stream for its client to read. More waits in the subscriber's queue, which counts it and drops the
/// oldest: hyper's own default of 400 KiB takes 40 MiB with a hundred clients that do not read.
const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// Between two attempts to accept where the daemon may open no more files, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Serves each client that comes, until `stopping` says so (or whoever would say it is gone). Then no new call is taken;
/// done once all open ones are.
pub(super) async fn serve<I>(
    mut incoming: impl Stream<Item = io::Result<I>> + Unpin,
    routes: Routes,
    mut stopping: watch::Receiver<bool>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (http, open) = (http(), GracefulShutdown::new());
    loop {
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            accepted = incoming.next() => accepted,
        };
        match accepted {
            Some(Ok(stream)) => {
                let service = TowerToHyperService::new(routes.clone());
                let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
                tokio::spawn(async move {
                    // A client that goes without a word is none of the daemon's troubles.
                    if let Err(error) = connection.await {
                        log::debug!("a client's connection ended: {error}");
                    }
                });
            }
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
    drop(incoming);
    open.shutdown().await;
}

fn http() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_PATIENCE)
        .max_concurrent_streams(CALLS_PER_CONNECTION)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    http
}

fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
