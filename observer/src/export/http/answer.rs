//! What is answered to a request.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::busy::Busy;
use super::negotiation::{format, takes_gzip};
use super::ready::{self, Verdict};
use crate::export::metrics::keeper::Kept;
use crate::export::metrics::prometheus::{EncodeError, Format, encode};
use crate::export::state::{Reason, State};

/// Pictures that are made, or wait to be read by their clients, at a time: each may be some MiB.
const PICTURES: usize = 4;
/// How long a scrape waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer is handed over in pieces of this, as its client reads it.
const PIECE: usize = 64 * 1024;
/// Smaller answers are not compressed.
const WORTH_COMPRESSING: usize = 1024;

const PLAIN: &str = "text/plain; charset=utf-8";

/// Answers requests.
#[derive(Debug)]
pub(super) struct Answers {
    kept: Kept,
    state: State,
    native: bool,
    pictures: Arc<Semaphore>,
}

/// An answer's body, which keeps its place among the pictures until it is read, or given up.
#[derive(Debug)]
pub(super) struct Answer {
    rest: Bytes,
    _place: Option<OwnedSemaphorePermit>,
    /// Of its connection; not any more once this is gone.
    busy: Option<Arc<Busy>>,
}

impl Answer {
    /// It keeps a connection busy.
    pub(super) fn of(mut self, busy: Arc<Busy>) -> Self {
        self.busy = Some(busy);
        self
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(busy) = &self.busy {
            busy.end();
        }
    }
}

impl Answers {
    pub(super) fn new(kept: Kept, state: State, native: bool) -> Self {
        Self { kept, state, native, pictures: Arc::new(Semaphore::new(PICTURES)) }
    }

    /// The answer to a request, whose body nobody reads.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Answer> {
        let path = request.uri().path();
        if !["/metrics", "/healthz", "/readyz"].contains(&path) {
            return plain(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz here\n");
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed here\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/healthz" => told(ready::lives(&self.kept)),
            "/readyz" => told(ready::is_ready(&self.kept).await),
            _ => self.metrics(request.headers()).await,
        }
    }

    /// So many more pictures may be made now.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.pictures.available_permits()
    }

    async fn metrics(&self, headers: &HeaderMap) -> Response<Answer> {
        let Ok(Ok(place)) = timeout(PATIENCE, Arc::clone(&self.pictures).acquire_owned()).await else {
            self.state.lose(Reason::Queue, 1);
            let busy = "too many scrapes at a time; ask again later\n";
            return plain(StatusCode::SERVICE_UNAVAILABLE, busy);
        };
        let (format, gzip, native) = (format(headers), takes_gzip(headers), self.native);
        let picture = self.kept.picture().await;
        let made = tokio::task::spawn_blocking(move || {
            let text = encode(picture, format, native)?;
            let (text, gzip) =
                if gzip && text.len() >= WORTH_COMPRESSING { compressed(text) } else { (text, false) };
            // It is made to its end also where its client is gone by then, so it keeps its place until then.
            Ok::<_, EncodeError>((text, gzip, place))
        });
        match made.await {
            Ok(Ok((text, gzip, place))) => {
                self.state.sent(1);
                picture_of(text, format, gzip, place)
            }
            Ok(Err(error)) => plain(StatusCode::INTERNAL_SERVER_ERROR, self.state.failed(&error)),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, self.state.failed(&error)),
        }
    }
}

fn picture_of(text: Vec<u8>, format: Format, gzip: bool, place: OwnedSemaphorePermit) -> Response<Answer> {
    let mut answer = Response::new(Answer { rest: text.into(), _place: Some(place), busy: None });
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

/// In gzip; as it is where that cannot be done, which memory never refuses.
fn compressed(text: Vec<u8>) -> (Vec<u8>, bool) {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    match encoder.write_all(&text).and_then(|()| encoder.finish()) {
        Ok(compressed) => (compressed, true),
        Err(_never) => (text, false),
    }
}

fn told(verdict: Verdict) -> Response<Answer> {
    match verdict {
        Ok(well) => plain(StatusCode::OK, well),
        Err(matter) => plain(StatusCode::SERVICE_UNAVAILABLE, matter),
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Answer> {
    let mut answer = Response::new(Answer { rest: text.into(), _place: None, busy: None });
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN));
    answer
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
