//! A request by gRPC: one message, and one that answers it.
//!
//! tonic's client would compress a request on the threads that serve others and each time that it is sent, and would call an
//! answer that is too long a failure, though the receiver has taken the request.

use bytes::{Buf as _, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::packed::{PREFIX, Packed};
use super::{Answer, MOST_ANSWER, Signal, Transport};
use crate::export::state::chain;

/// What a body is.
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// More about an error, in base64.
const DETAILS: &str = "grpc-status-details-bin";

/// The methods' paths.
const fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

impl Transport {
    pub(super) async fn call(&self, signal: Signal, request: Packed) -> Answer {
        let request = match self.message(signal, request) {
            Ok(request) => request,
            Err(error) => return Answer::Refused { reason: chain(&error) },
        };
        match self.client.request(request).await {
            Ok(response) => answered(response).await,
            Err(error) => Answer::later(chain(&error)),
        }
    }

    fn message(
        &self,
        signal: Signal,
        Packed { body, gzip }: Packed,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut parts = self.receiver.endpoint.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static(path(signal)));
        let uri = Uri::from_parts(parts)?;
        let mut request = Request::builder().method(Method::POST).version(Version::HTTP_2).uri(uri);
        let timeout = format!("{}m", self.receiver.timeout.as_millis());
        request = request.header(TIMEOUT, timeout);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
            headers.insert(header::CONTENT_TYPE, GRPC);
            headers.insert(header::TE, TRAILERS);
            if gzip {
                headers.insert(ENCODING, GZIP);
            }
        }
        request.body(Full::new(body))
    }
}

/// What an answer means.
async fn answered(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    // What is refused needs no message, and is told at once.
    if let Some(status) = status(&head.headers) {
        return of(&status, None);
    }
    if head.status != StatusCode::OK {
        return Answer::of_http(head.status, &head.headers, b"");
    }
    let content = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !content.starts_with(GRPC.as_bytes()) {
        let content = String::from_utf8_lossy(content);
        return Answer::Refused { reason: format!("the receiver does not speak gRPC: it sends {content:?}") };
    }
    let (message, trailers) = match read(body).await {
        Ok(read) => read,
        Err(error) => return Answer::later(chain(&error)),
    };
    match (status(&trailers), message) {
        (Some(status), message) => of(&status, message),
        (None, Some(message)) => taken(message),
        (None, None) => {
            Answer::Refused { reason: "the answer has neither a message nor a status".to_owned() }
        }
    }
}

fn of(status: &Status, message: Option<Bytes>) -> Answer {
    if status.code() == Code::Ok { taken(message.unwrap_or_default()) } else { Answer::of_status(status) }
}

/// What it took it has taken, whatever it says of that.
fn taken(message: Bytes) -> Answer {
    // The answers are the same for all signals but for the names of their fields.
    let told = ExportLogsServiceResponse::decode(message).unwrap_or_default();
    Answer::taken(told.partial_success.as_ref())
}

/// Reads to the end, which is where the status is: the message, an empty one where it is not what it ought to be, and the
/// trailers.
async fn read(mut body: Incoming) -> Result<(Option<Bytes>, HeaderMap), hyper::Error> {
    let (mut kept, mut trailers, mut is_any) = (BytesMut::new(), HeaderMap::new(), false);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                is_any |= !data.is_empty();
                // One that is too long is read, and not kept.
                let room = (PREFIX + MOST_ANSWER + 1).saturating_sub(kept.len());
                kept.extend_from_slice(data.get(..data.len().min(room)).unwrap_or_default());
            }
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok((is_any.then(|| unframed(kept.freeze())), trailers))
}

/// The message; nothing where it is too long, not whole, or compressed, which it was not asked to be.
fn unframed(mut kept: Bytes) -> Bytes {
    if kept.len() < PREFIX {
        return Bytes::new();
    }
    let (is_compressed, length) = (kept.get_u8() != 0, kept.get_u32() as usize);
    if is_compressed || length > MOST_ANSWER || length > kept.len() {
        return Bytes::new();
    }
    kept.split_to(length)
}

/// The status among these headers.
fn status(headers: &HeaderMap) -> Option<Status> {
    let mut map = MetadataMap::from_headers(headers.clone());
    // tonic takes it for granted that they are in base64.
    if map.get_bin(DETAILS).is_some_and(|details| details.to_bytes().is_err()) {
        map.remove_bin(DETAILS);
    }
    Status::from_header_map(&map.into_headers())
}
