//! The connections of clients: accepted from a socket, served by HTTP/2, ended in order.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt as _};
use tonic::service::Routes;
use tower::ServiceExt as _;

use super::door::Door;
use super::security::Current;
use crate::serve::access::{Caller, Clients};

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

/// What all connections have in common.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) routes: Routes,
    pub(super) security: Current,
    pub(super) clients: Arc<Clients>,
    /// Says when no new call is to be taken; or whoever would say it is gone.
    pub(super) stopping: watch::Receiver<bool>,
}

/// Serves each client that comes, until the daemon stops. Then no new call is taken; done once all open ones are.
pub(super) async fn serve<D: Door>(
    door: D,
    mut incoming: impl Stream<Item = io::Result<D::Raw>> + Unpin,
    mut site: Site,
) {
    let (door, open) = (Arc::new(door), GracefulShutdown::new());
    loop {
        let accepted = tokio::select! {
            _ = site.stopping.wait_for(|stop| *stop) => break,
            accepted = incoming.next() => accepted,
        };
        match accepted {
            Some(Ok(raw)) => {
                let (door, site, open) = (Arc::clone(&door), site.clone(), open.watcher());
                tokio::spawn(async move { attend(&*door, raw, site, open).await });
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

/// Lets one client in and serves it until it goes, or may not stay.
async fn attend<D: Door>(door: &D, raw: D::Raw, mut site: Site, open: Watcher) {
    let security = Arc::clone(&site.security.borrow_and_update());
    let entered = tokio::select! {
        entered = door.enter(raw, &security) => entered,
        _ = site.stopping.wait_for(|stop| *stop) => return,
    };
    let (stream, guest) = match entered {
        Ok(entered) => entered,
        Err(error) => return site.clients.turned_away(&error),
    };
    let caller = Arc::new(Caller::new(&guest.identity, security.scope(&guest.identity), &site.clients));
    drop(security);
    let of_connection = Arc::clone(&caller);
    let service = site.routes.map_request(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&of_connection));
        request
    });
    let connection = http().serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = pin!(open.watch(connection));
    loop {
        tokio::select! {
            ended = &mut connection => {
                // A client that goes without a word is none of the daemon's troubles.
                if let Err(error) = ended {
                    log::debug!("a client's connection ended: {error}");
                }
                return;
            }
            changed = site.security.changed() => {
                if changed.is_err() {
                    // Nothing changes any more: the daemon stops.
                    let _ended = connection.await.is_err();
                    return;
                }
            }
            () = guest.until_asked_again() => {}
        }
        let security = site.security.borrow_and_update();
        if !guest.is_welcome(&security) || security.scope(&guest.identity).as_ref() != caller.scope() {
            return caller.shown_out();
        }
    }
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
