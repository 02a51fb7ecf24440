//! The connections of clients: accepted where there is room, served by HTTP/1.1, ended in order.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::answer::Answers;
use super::tls::Certificates;

/// Connections at a time.
const MOST: usize = 64;
/// A connection is closed where its client has not said all of a request for so long, or asks for nothing more.
const SILENCE: Duration = Duration::from_secs(90);
/// How long TLS may take to begin.
const GREETING: Duration = Duration::from_secs(10);
/// A connection whose client does not read its answer for so long is closed.
const UNREAD: Duration = Duration::from_secs(30);
/// The longest head of a request, and how many headers it may have.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;
/// The files of certificates are looked at so often.
const LOOK: Duration = Duration::from_secs(1);
/// Between two attempts to accept where the daemon may open no more files, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// At the end, clients that do not let go are left after this.
const FAREWELL: Duration = Duration::from_secs(1);

/// Who is connected.
#[derive(Debug)]
pub(super) struct Connections {
    answers: Arc<Answers>,
    certificates: Option<Certificates>,
    /// How often these have changed.
    version: u64,
    open: VecDeque<Open>,
}

/// One connection, the oldest first.
#[derive(Debug)]
struct Open {
    task: AbortHandle,
    /// It was let in by this version of the certificates.
    version: u64,
    /// A request of it is being answered.
    is_busy: Arc<AtomicBool>,
}

impl Connections {
    pub(super) fn new(answers: Arc<Answers>, certificates: Option<Certificates>) -> Self {
        Self { answers, certificates, version: 0, open: VecDeque::new() }
    }

    /// Serves whoever comes, until the daemon stops.
    pub(super) async fn serve(mut self, listener: TcpListener, stopping: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = looks.tick(), if self.certificates.is_some() => {
                    self.look();
                    continue;
                }
                () = stopping.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) if self.has_room() => self.add(stream, graceful.watcher()),
                // All are being answered: this one may come again.
                Ok(_) => {}
                Err(error) => {
                    log::debug!("cannot accept a client over HTTP: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        let _late = timeout(FAREWELL, graceful.shutdown()).await.is_err();
        for Open { task, .. } in self.open {
            task.abort();
        }
    }

    /// Looks at the certificates. Whoever was let in by other ones has to come again, once he has his answer.
    fn look(&mut self) {
        if self.certificates.as_mut().is_some_and(Certificates::have_changed) {
            self.version += 1;
        }
        let outdated = |open: &Open| open.version != self.version && !open.is_busy.load(Ordering::Relaxed);
        self.open.iter().filter(|open| outdated(open)).for_each(|open| open.task.abort());
        self.open.retain(|open| !open.task.is_finished());
    }

    /// Whether there is room for one more: the oldest one that asks for nothing makes it.
    fn has_room(&mut self) -> bool {
        if self.open.len() < MOST {
            return true;
        }
        self.open.retain(|open| !open.task.is_finished());
        if self.open.len() < MOST {
            return true;
        }
        let idle = self.open.iter().position(|open| !open.is_busy.load(Ordering::Relaxed));
        let oldest = idle.and_then(|at| self.open.remove(at));
        oldest.map(|open| open.task.abort()).is_some()
    }

    fn add(&mut self, stream: TcpStream, watcher: Watcher) {
        let is_busy = Arc::new(AtomicBool::new(false));
        let tls = self.certificates.as_ref().map(Certificates::current);
        let visit = Visit { answers: Arc::clone(&self.answers), is_busy: Arc::clone(&is_busy), watcher };
        let task = tokio::spawn(async move {
            // A client that goes without a word is none of the daemon's troubles.
            if let Err(error) = visit.enter(stream, tls).await {
                log::debug!("a client's connection over HTTP ended: {error}");
            }
        });
        self.open.push_back(Open { task: task.abort_handle(), version: self.version, is_busy });
    }
}

/// One client.
struct Visit {
    answers: Arc<Answers>,
    is_busy: Arc<AtomicBool>,
    watcher: Watcher,
}

impl Visit {
    async fn enter(self, stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return self.serve(stream).await };
        let secured = timeout(GREETING, TlsAcceptor::from(tls).accept(stream)).await??;
        self.serve(secured).await
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) -> io::Result<()> {
        let Self { answers, is_busy, watcher } = self;
        let of_answers = Arc::clone(&is_busy);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (answers, is_busy) = (Arc::clone(&answers), Arc::clone(&of_answers));
            async move {
                is_busy.store(true, Ordering::Relaxed);
                Ok::<_, std::convert::Infallible>(
                    answers.answer(request).await.map(|answer| answer.of(is_busy)),
                )
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(SILENCE)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .half_close(false);
        let connection = watcher.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection => ended.map_err(io::Error::other),
            () = unread(&is_busy) => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not read its answer")),
        }
    }
}

/// Done when an answer was on its way for too long.
async fn unread(is_busy: &AtomicBool) {
    let mut since: Option<Instant> = None;
    loop {
        tokio::time::sleep(UNREAD / 10).await;
        #[allow(clippy::disallowed_methods, reason = "it bounds the time of a client")]
        let now = Instant::now();
        since = since.or(Some(now)).filter(|_| is_busy.load(Ordering::Relaxed));
        if since.is_some_and(|since| now.duration_since(since) >= UNREAD) {
            return;
        }
    }
}
