//! A request by HTTP.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message as _;

use super::packed::Packed;
use super::{Answer, MOST_ANSWER, Signal, Transport};
use crate::export::state::chain;

/// What a body is.
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

impl Transport {
    pub(super) async fn post(&self, signal: Signal, request: Packed) -> Answer {
        let request = match self.request(signal, request) {
            Ok(request) => request,
            Err(error) => return Answer::Refused { reason: chain(&error) },
        };
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Answer::later(chain(&error)),
        };
        let (head, body) = response.into_parts();
        let body = match Limited::new(body, MOST_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            // What is to be known is in the status. A proxy may have a page of any length to say.
            Err(_) => Bytes::new(),
        };
        if head.status.is_success() {
            let told = ExportLogsServiceResponse::decode(body).unwrap_or_default();
            return Answer::taken(told.partial_success.as_ref());
        }
        Answer::of_http(head.status, &head.headers, &body)
    }

    fn request(
        &self,
        signal: Signal,
        Packed { body, gzip }: Packed,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder().method(Method::POST).uri(self.uri(signal)?);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
            headers.insert(header::CONTENT_TYPE, PROTOBUF);
            if gzip {
                headers.insert(header::CONTENT_ENCODING, GZIP);
            }
        }
        request.body(Full::new(body))
    }

    /// The signal's path below the endpoint's.
    fn uri(&self, signal: Signal) -> Result<Uri, http::Error> {
        let endpoint = &self.receiver.endpoint;
        let path = endpoint.path().trim_end_matches('/');
        let query = endpoint.query().map_or(String::new(), |query| format!("?{query}"));
        let path = format!("{path}/v1/{}{query}", signal.word());
        let mut parts = endpoint.clone().into_parts();
        parts.path_and_query = Some(path.parse()?);
        Ok(Uri::from_parts(parts)?)
    }
}
