//! Requests on their way in: of each connection, and of all together, no more is held than is allowed, and nothing is
//! made of one that would become much larger than it came.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::Status;
use tonic::service::Routes;
use tower::Service;

use super::unread::Unread;

/// The longest request; the longest filter list allowed fits.
pub(crate) const LONGEST_REQUEST_BYTES: usize = 1024 * 1024;
/// What precedes a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// A request has to be here after so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// So much may be on its way over each connection, whatever the others have.
const SHARE_BYTES: usize = 32 * 1024;
/// And beyond that over all connections of a listener.
const POOL_BYTES: usize = 8 * 1024 * 1024;
/// Fields of a request; each may become some 400 bytes, where a filter that says nothing came in two.
const MOST_FIELDS: usize = 256;
/// Fields of all messages in a request; each may become some 30 bytes.
const MOST_VALUES: usize = 8 * 1024;
/// Of answers that are lists so much may wait for the client of a connection to read it, whatever the others have.
const UNREAD_SHARE_BYTES: usize = 128 * 1024;
/// And beyond that for all clients of a listener. A list has 4 MiB at the most.
const UNREAD_POOL_BYTES: usize = 32 * 1024 * 1024;
/// Calls that answer with a stream, whose queue has bounds of its own.
const STREAMS: [&str; 3] = ["WatchEvents", "WatchSummaries", "WatchIncidents"];
/// The paths of the services whose every call is one request.
const OWN_PATHS: &str = "/observer.v1.";

/// The service, receiving requests for one connection.
#[derive(Clone, Debug)]
pub(super) struct Receiving {
    routes: Routes,
    share: Arc<Semaphore>,
    unread: Arc<Semaphore>,
    pool: Pool,
}

/// What all connections have together.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    requests: Arc<Semaphore>,
    unread: Arc<Semaphore>,
}

impl Default for Pool {
    fn default() -> Self {
        let [requests, unread] = [POOL_BYTES, UNREAD_POOL_BYTES].map(|bytes| Arc::new(Semaphore::new(bytes)));
        Self { requests, unread }
    }
}

impl Receiving {
    /// For a new connection.
    pub(super) fn new(routes: Routes, pool: &Pool) -> Self {
        let [share, unread] = [SHARE_BYTES, UNREAD_SHARE_BYTES].map(|bytes| Arc::new(Semaphore::new(bytes)));
        Self { routes, share, unread, pool: pool.clone() }
    }
}

impl<B> Service<http::Request<B>> for Receiving
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Routes always are.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut routes = self.routes.clone();
        if !request.uri().path().starts_with(OWN_PATHS) {
            // The standard services: each bounds its own messages, and some have many in a call.
            return Box::pin(routes.call(request.map(tonic::body::Body::new)));
        }
        let streams = STREAMS.iter().any(|name| request.uri().path().ends_with(name));
        let mut held = Held::of(&self.share, &self.pool.requests);
        let mut unread = Held::of(&self.unread, &self.pool.unread);
        let (parts, body) = request.into_parts();
        Box::pin(async move {
            let received = timeout(PATIENCE, receive(body, &mut held)).await;
            match received.unwrap_or_else(|_elapsed| Err(late())) {
                // What is held is held until there is an answer, as what was made of it is.
                Ok(message) => {
                    let answer = routes.call(http::Request::from_parts(parts, Full::new(message))).await?;
                    if streams {
                        return Ok(answer);
                    }
                    let (parts, mut body) = answer.into_parts();
                    let first = body.frame().await.and_then(Result::ok);
                    let bytes = first.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
                    if !unread.take(bytes) {
                        return Ok(too_much_unread().into_http());
                    }
                    let body = tonic::body::Body::new(Unread::new(first, body, unread));
                    Ok(http::Response::from_parts(parts, body))
                }
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

/// What a request or an answer has of its connection's share and of what all have.
pub(super) struct Held {
    free: [Arc<Semaphore>; 2],
    taken: [Option<OwnedSemaphorePermit>; 2],
}

impl Held {
    /// Nothing yet.
    pub(super) fn of(share: &Arc<Semaphore>, pool: &Arc<Semaphore>) -> Self {
        Self { free: [share, pool].map(Arc::clone), taken: [None, None] }
    }

    /// Takes so many bytes more, if there are as many.
    fn take(&mut self, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        self.free.iter().zip(&mut self.taken).any(|(free, taken)| {
            let Ok(more) = Arc::clone(free).try_acquire_many_owned(bytes) else { return false };
            match taken {
                Some(taken) => taken.merge(more),
                None => *taken = Some(more),
            }
            true
        })
    }
}

/// The one message of a call with its prefix, or why there will be none.
async fn receive<B>(mut body: B, held: &mut Held) -> Result<Bytes, Status>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut message = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::from_error(error.into()))?;
        let Ok(data) = frame.into_data() else { break };
        if message.len() + data.len() > PREFIX_BYTES + LONGEST_REQUEST_BYTES {
            return Err(too_long());
        }
        if !held.take(data.len()) {
            return Err(Status::resource_exhausted(
                "too many large requests are on their way; try again later",
            ));
        }
        message.extend_from_slice(&data);
        match claimed(&message) {
            Some(length) if length > LONGEST_REQUEST_BYTES => return Err(too_long()),
            Some(length) if message.len() > PREFIX_BYTES + length => return Err(not_one()),
            Some(_) | None => {}
        }
    }
    if claimed(&message).is_none_or(|length| message.len() < PREFIX_BYTES + length) {
        return Err(not_one());
    }
    let [fields, values] = count(message.get(PREFIX_BYTES..).unwrap_or_default());
    if fields > MOST_FIELDS || values > MOST_VALUES {
        return Err(Status::invalid_argument(format!(
            "the request has {fields} fields with {values} values: at most {MOST_FIELDS} and {MOST_VALUES} are allowed",
        )));
    }
    Ok(message.freeze())
}

/// The length that a message says it has, once it has said it.
fn claimed(message: &[u8]) -> Option<usize> {
    let length = message.get(1..PREFIX_BYTES)?.try_into().ok()?;
    Some(u32::from_be_bytes(length) as usize)
}

/// A message's fields, and the fields of the messages among them, as far as they can be read.
fn count(mut message: &[u8]) -> [usize; 2] {
    let [mut fields, mut values] = [0, 0];
    while let Ok((tag, kind)) = decode_key(&mut message) {
        fields += 1;
        if kind == WireType::LengthDelimited {
            let length = decode_varint(&mut message).map_or(usize::MAX, |length| length as usize);
            let Some(mut inner) = message.get(..length) else { break };
            while let Ok((tag, kind)) = decode_key(&mut inner) {
                values += 1;
                if skip_field(kind, tag, &mut inner, DecodeContext::default()).is_err() {
                    break;
                }
            }
            message.advance(length);
        } else if skip_field(kind, tag, &mut message, DecodeContext::default()).is_err() {
            break;
        }
    }
    [fields, values]
}

fn too_much_unread() -> Status {
    Status::resource_exhausted("too many long answers wait to be read; read them first, or try again later")
}

fn too_long() -> Status {
    Status::out_of_range(format!("the request is longer than {LONGEST_REQUEST_BYTES} bytes"))
}

fn not_one() -> Status {
    Status::invalid_argument("the request is not one whole message")
}

fn late() -> Status {
    Status::deadline_exceeded(format!("the request did not arrive within {} s", PATIENCE.as_secs()))
}

#[cfg(test)]
mod tests {
    use observer_proto::v1;
    use prost::Message as _;
    use tonic::Code;

    use super::*;

    fn held() -> Held {
        let [share, pool] = [SHARE_BYTES, POOL_BYTES].map(|bytes| Arc::new(Semaphore::new(bytes)));
        Held::of(&share, &pool)
    }

    fn framed(length: usize, message: &[u8]) -> Bytes {
        let length = u32::try_from(length).unwrap().to_be_bytes();
        [&[0], length.as_slice(), message].concat().into()
    }

    async fn sent(body: Bytes) -> Result<Bytes, Code> {
        receive(Full::new(body), &mut held()).await.map_err(|status| status.code())
    }

    #[tokio::test]
    async fn what_is_longer_than_allowed_or_says_so_is_refused() {
        let longest = framed(LONGEST_REQUEST_BYTES, &vec![0xff; LONGEST_REQUEST_BYTES]);
        assert_eq!(sent(longest.clone()).await, Ok(longest.clone()));
        assert_eq!(sent(framed(LONGEST_REQUEST_BYTES + 1, &[])).await, Err(Code::OutOfRange));
        assert_eq!(sent(framed(u32::MAX as usize, b"text")).await, Err(Code::OutOfRange));
        assert_eq!(sent([longest.as_ref(), b"m"].concat().into()).await, Err(Code::OutOfRange));
    }

    #[tokio::test]
    async fn what_is_not_one_whole_message_is_refused() {
        for body in
            [Bytes::new(), framed(4, b"tex"), framed(4, b"text and more"), Bytes::from_static(&[0; 10])]
        {
            assert_eq!(sent(body).await, Err(Code::InvalidArgument));
        }
        assert!(sent(framed(0, b"")).await.is_ok());
    }

    #[tokio::test]
    async fn what_would_become_much_larger_is_refused() {
        let filters = |count: usize, ports: usize| {
            let filter = v1::Filter { pods: vec![String::new(); ports], ..v1::Filter::default() };
            let request = v1::WatchEventsRequest { allow: vec![filter; count], ..Default::default() };
            let message = request.encode_to_vec();
            framed(message.len(), &message)
        };
        assert_eq!(sent(filters(MOST_FIELDS + 1, 0)).await, Err(Code::InvalidArgument));
        assert_eq!(sent(filters(2, MOST_VALUES / 2 + 1)).await, Err(Code::InvalidArgument));
        assert!(sent(filters(2, MOST_VALUES / 2)).await.is_ok());
        assert!(sent(filters(MOST_FIELDS, 1)).await.is_ok());
    }

    #[test]
    fn a_connections_share_is_its_own_and_the_rest_for_all() {
        let mut one = held();
        let mut other = Held { free: [Arc::new(Semaphore::new(SHARE_BYTES)), one.free[1].clone()], ..held() };
        assert!(one.take(SHARE_BYTES) && one.take(POOL_BYTES));
        assert!(!one.take(1) && other.take(1) && !other.take(SHARE_BYTES));
        drop(one);
        assert!(other.take(SHARE_BYTES), "it is given back");
    }
}
