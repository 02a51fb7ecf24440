//! One client's connection, served by HTTP/2 until it goes, or may not stay.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service as _;

use super::door::Guest;
use super::greeting::Greeted;
use super::requests::Receiving;
use super::security::Current;
use crate::serve::access::{self, Caller};

/// An idle client is asked so often whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(20);
/// Calls at a time over one connection.
const CALLS_PER_CONNECTION: u32 = 256;
/// The same of a relay, whose clients share one.
const CALLS_OF_A_RELAY: u32 = 1024;
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

/// What a connection is made of.
pub(super) trait Served: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Served for S {}

/// A client that was let in.
pub(super) struct Visit {
    pub(super) guest: Guest,
    pub(super) caller: Arc<Caller>,
    pub(super) security: Current,
}

impl Visit {
    /// Serves its connection.
    pub(super) async fn serve(mut self, stream: Greeted<impl Served>, service: Receiving, open: Watcher) {
        let of_connection = Arc::clone(&self.caller);
        let service = tower::service_fn(move |mut request: http::Request<Incoming>| {
            let named = access::named(request.headers(), &of_connection);
            // That it was heeded: the relay shows nobody anything else.
            let heeded = request.headers().get(access::CALLER).cloned();
            request.extensions_mut().insert(named.unwrap_or_else(|| Arc::clone(&of_connection)));
            let answer = service.clone().call(request);
            async move {
                let mut answer = answer.await?;
                if let Some(heeded) = heeded {
                    answer.headers_mut().insert(access::CALLER, heeded);
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let calls = if self.caller.relays() { CALLS_OF_A_RELAY } else { CALLS_PER_CONNECTION };
        let connection =
            http(calls).serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = pin!(open.watch(connection));
        let mut settled = false;
        loop {
            tokio::select! {
                ended = &mut connection => {
                    // A client that goes without a word is none of the daemon's troubles.
                    if let Err(error) = ended {
                        log::debug!("a client's connection ended: {error}");
                    }
                    return;
                }
                // Nothing changes any more where the daemon stops.
                changed = self.security.changed(), if !settled => settled = changed.is_err(),
                () = self.guest.until_asked_again() => {}
            }
            if !self.may_stay() {
                return self.caller.shown_out();
            }
        }
    }

    /// It may see what it could see when it came in, and nothing that it has shown is revoked or expired.
    fn may_stay(&mut self) -> bool {
        let security = self.security.borrow_and_update();
        self.guest.is_welcome(&security)
            && security.scope(&self.guest.identity).as_ref() == self.caller.scope()
            && security.may_relay(&self.guest.identity) == self.caller.relays()
    }
}

fn http(calls: u32) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_PATIENCE)
        .max_concurrent_streams(calls)
        .max_pending_accept_reset_streams(CALLS_TAKEN_BACK)
        .max_header_list_size(HEADERS_BYTES)
        .initial_stream_window_size(CALL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    http
}
