//! The connections of clients: accepted where there is room, served by HTTP/1.1, ended in order.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::answer::Answers;
use super::busy::Busy;
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
/// Connections that are told to end, and may still read the rest of an answer.
const LEAVING: usize = 16;
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
    /// They are told to end; the oldest first.
    leaving: VecDeque<AbortHandle>,
    tasks: JoinSet<()>,
}

/// One connection, the oldest first.
#[derive(Debug)]
struct Open {
    task: AbortHandle,
    /// It was let in by this version of the certificates.
    version: u64,
    /// A request of it is being answered.
    busy: Arc<Busy>,
    /// It is to end as soon as all of its answer is sent.
    leave: CancellationToken,
}

impl Connections {
    pub(super) fn new(answers: Arc<Answers>, certificates: Option<Certificates>) -> Self {
        Self {
            answers,
            certificates,
            version: 0,
            open: VecDeque::new(),
            leaving: VecDeque::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Serves whoever comes, until the daemon stops.
    pub(super) async fn serve(mut self, listener: TcpListener, stopping: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = looks.tick(), if self.certificates.is_some() => {
                    self.look();
                    continue;
                }
                // Whoever is gone is forgotten.
                Some(_) = self.tasks.join_next() => continue,
                () = stopping.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) if self.has_room() => self.add(stream),
                // All are being answered: this one may come again.
                Ok(_) => {}
                Err(error) => {
                    log::debug!("cannot accept a client over HTTP: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        self.open.iter().for_each(|open| open.leave.cancel());
        let tasks = &mut self.tasks;
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL, all).await.is_err() {
            self.tasks.abort_all();
        }
    }

    /// Looks at the certificates. Whoever was let in by other ones has to come again, once he has his answer.
    fn look(&mut self) {
        if self.certificates.as_mut().is_some_and(Certificates::have_changed) {
            self.version += 1;
        }
        self.open.retain(|open| !open.task.is_finished());
        let (outdated, open) = self
            .open
            .drain(..)
            .partition(|open| open.version != self.version && open.busy.answer().is_none());
        self.open = open;
        let outdated: VecDeque<Open> = outdated;
        outdated.into_iter().for_each(|open| self.leave(open));
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
        let idle = self.open.iter().position(|open| open.busy.answer().is_none());
        let oldest = idle.and_then(|at| self.open.remove(at));
        oldest.map(|open| self.leave(open)).is_some()
    }

    /// Has one end. The last of its answer may still be on its way, so it is not cut off, unless too many are like that.
    fn leave(&mut self, open: Open) {
        open.leave.cancel();
        self.leaving.retain(|task| !task.is_finished());
        self.leaving.push_back(open.task);
        if self.leaving.len() > LEAVING
            && let Some(oldest) = self.leaving.pop_front()
        {
            oldest.abort();
        }
    }

    fn add(&mut self, stream: TcpStream) {
        let (busy, leave) = (Arc::<Busy>::default(), CancellationToken::new());
        let tls = self.certificates.as_ref().map(Certificates::current);
        let visit =
            Visit { answers: Arc::clone(&self.answers), busy: Arc::clone(&busy), leave: leave.clone() };
        let task = self.tasks.spawn(async move {
            // A client that goes without a word is none of the daemon's troubles.
            if let Err(error) = visit.enter(stream, tls).await {
                log::debug!("a client's connection over HTTP ended: {error}");
            }
        });
        self.open.push_back(Open { task, version: self.version, busy, leave });
    }
}

/// One client.
struct Visit {
    answers: Arc<Answers>,
    busy: Arc<Busy>,
    leave: CancellationToken,
}

impl Visit {
    async fn enter(self, stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return self.serve(stream).await };
        let greeting = timeout(GREETING, TlsAcceptor::from(tls).accept(stream));
        let Some(secured) = self.leave.run_until_cancelled(greeting).await else { return Ok(()) };
        let secured = secured??;
        self.serve(secured).await
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) -> io::Result<()> {
        let Self { answers, busy, leave } = self;
        let of_answers = Arc::clone(&busy);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (answers, busy) = (Arc::clone(&answers), Arc::clone(&of_answers));
            async move {
                busy.begin();
                Ok::<_, std::convert::Infallible>(answers.answer(request).await.map(|answer| answer.of(busy)))
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(SILENCE)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .half_close(false);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let late = || io::Error::new(io::ErrorKind::TimedOut, "it does not read its answer");
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(io::Error::other),
            () = unread(&busy) => return Err(late()),
            () = leave.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        timeout(UNREAD, connection).await.map_err(|_elapsed| late())?.map_err(io::Error::other)
    }
}

/// Done when an answer was on its way for too long.
async fn unread(busy: &Busy) {
    let mut since: Option<(u64, Instant)> = None;
    loop {
        tokio::time::sleep(UNREAD / 10).await;
        #[allow(clippy::disallowed_methods, reason = "it bounds the time of a client")]
        let now = Instant::now();
        since = busy.answer().map(|answer| since.filter(|(of, _)| *of == answer).unwrap_or((answer, now)));
        if since.is_some_and(|(_, since)| now.duration_since(since) >= UNREAD) {
            return;
        }
    }
}
