//! Tests of what receivers answer by gRPC.

use std::convert::Infallible;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use ::http::{Request, Response, StatusCode};
use bytes::BufMut as _;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;

use super::*;

/// What a receiver answers.
#[derive(Clone, Default)]
struct Told {
    status: StatusCode,
    headers: Vec<(&'static str, &'static str)>,
    /// The body as it goes over the wire.
    body: Vec<u8>,
    trailers: Vec<(&'static str, &'static str)>,
}

/// What it was sent.
type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

fn map(of: &[(&'static str, &'static str)]) -> HeaderMap {
    of.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.put_u32(message.len().try_into().unwrap());
    frame.extend_from_slice(message);
    frame
}

/// Has a receiver answer one request so, and gives what that means and what it was sent.
async fn asked(told: Told, gzip: bool, request: &[u8]) -> (Answer, Vec<(HeaderMap, Bytes)>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    let server = tokio::spawn(async move {
        let service = service_fn(|request: Request<Incoming>| {
            let (told, kept) = (told.clone(), Arc::clone(&kept));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                assert_eq!(head.uri.path(), "/opentelemetry.proto.collector.logs.v1.LogsService/Export");
                kept.lock().unwrap().push((head.headers, body));
                let parts = told.body.chunks(16 << 10).map(|part| Frame::data(Bytes::copy_from_slice(part)));
                let mut frames: Vec<Frame<Bytes>> = parts.collect();
                if !told.trailers.is_empty() {
                    frames.push(Frame::trailers(map(&told.trailers)));
                }
                let frames = frames.into_iter().map(Ok::<_, Infallible>);
                let mut response = Response::new(StreamBody::new(tokio_stream::iter(frames)));
                *response.status_mut() = told.status;
                response.headers_mut().extend(map(&told.headers));
                Ok::<_, Infallible>(response)
            }
        });
        let (stream, _) = listener.accept().await.unwrap();
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
    });
    let receiver = Receiver { protocol: Protocol::Grpc, gzip, ..receiver(&format!("http://{address}")) };
    let packed = Packed::new(&receiver, Bytes::copy_from_slice(request));
    let transport = Transport::new(receiver, secret("t0ken")).unwrap();
    let answer = transport.send(Signal::Logs, packed).await;
    server.abort();
    let seen = seen.lock().unwrap().clone();
    (answer, seen)
}

fn grpc(body: Vec<u8>, trailers: &[(&'static str, &'static str)]) -> Told {
    Told {
        headers: vec![("content-type", "application/grpc+proto")],
        body,
        trailers: trailers.to_vec(),
        ..Told::default()
    }
}

fn taken() -> Answer {
    Answer::Taken { rejected: 0, message: String::new() }
}

#[tokio::test]
async fn a_request_is_one_message() {
    let request = b"some request ".repeat(1000);
    for gzip in [true, false] {
        let (answer, seen) = asked(grpc(framed(b""), &[("grpc-status", "0")]), gzip, &request).await;
        assert_eq!(answer, taken());
        let [(headers, body)] = seen.as_slice() else { panic!("{seen:?}") };
        for (name, value) in [
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", "5000m"),
            ("authorization", "t0ken"),
        ] {
            assert_eq!(headers[name], value);
        }
        assert_eq!(headers.get("grpc-encoding").is_some_and(|of| of == "gzip"), gzip);
        assert_eq!(body[0], u8::from(gzip));
        assert_eq!(u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize, body.len() - 5);
        let mut message = body[5..].to_vec();
        if gzip {
            assert!(message.len() < 1000);
            message.clear();
            GzDecoder::new(&body[5..]).read_to_end(&mut message).unwrap();
        }
        assert_eq!(message, request);
    }
}

#[tokio::test]
async fn what_was_taken_is_not_sent_again_whatever_is_said_of_it() {
    let partial = ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: 3,
            error_message: "too old".to_owned(),
        }),
    };
    let ok = [("grpc-status", "0")];
    let told = Answer::Taken { rejected: 3, message: "too old".to_owned() };
    let mut wordy = partial.clone();
    wordy.partial_success.as_mut().unwrap().error_message = "words ".repeat(100_000);
    let mut compressed = framed(b"no gzip, which was not asked for either");
    compressed[0] = 1;
    let cases = [
        (grpc(framed(&partial.encode_to_vec()), &ok), told.clone()),
        (grpc(framed(&partial.encode_to_vec()), &[]), told),
        (grpc(framed(&wordy.encode_to_vec()), &ok), taken()),
        (grpc(framed(b"\xff\xff\xff"), &ok), taken()),
        (grpc(framed(b"cut off")[..7].to_vec(), &ok), taken()),
        (grpc(compressed, &ok), taken()),
        (grpc(Vec::new(), &ok), taken()),
        (Told { headers: vec![("grpc-status", "0")], ..Told::default() }, taken()),
    ];
    for (number, (told, expected)) in cases.into_iter().enumerate() {
        let (answer, seen) = asked(told, false, b"request").await;
        assert_eq!((answer, seen.len()), (expected, 1), "{number}");
    }
}

#[test]
fn the_answers_of_all_signals_are_alike() {
    let words = || "too old".to_owned();
    let logs = ExportLogsPartialSuccess { rejected_log_records: 3, error_message: words() };
    let metrics = ExportMetricsPartialSuccess { rejected_data_points: 3, error_message: words() };
    let traces = ExportTracePartialSuccess { rejected_spans: 3, error_message: words() };
    let all = [
        ExportLogsServiceResponse { partial_success: Some(logs) }.encode_to_vec(),
        ExportMetricsServiceResponse { partial_success: Some(metrics) }.encode_to_vec(),
        ExportTraceServiceResponse { partial_success: Some(traces) }.encode_to_vec(),
    ];
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
}

#[tokio::test]
async fn what_was_not_taken_is_known_by_its_status() {
    let later = |reason: &str| Answer::later(reason.to_owned());
    let refused = |reason: &str| Answer::Refused { reason: reason.to_owned() };
    let busy = [("grpc-status", "14"), ("grpc-message", "come%20again")];
    let unsound = [("grpc-status", "14"), ("grpc-status-details-bin", "@not base64@")];
    let long = framed(&b"words ".repeat(100_000));
    let page =
        Told { headers: vec![("content-type", "text/html")], body: b"<html>".to_vec(), ..Told::default() };
    let cases = [
        (Told { headers: busy.to_vec(), ..Told::default() }, later("Unavailable: come again")),
        (grpc(Vec::new(), &busy), later("Unavailable: come again")),
        (grpc(long.clone(), &busy), later("Unavailable: come again")),
        (grpc(long, &[("grpc-status", "3")]), refused("InvalidArgument: ")),
        (grpc(Vec::new(), &unsound), later("Unavailable: ")),
        (grpc(Vec::new(), &[]), refused("the answer has neither a message nor a status")),
        (page.clone(), refused("the receiver does not speak gRPC: it sends \"text/html\"")),
        (Told { status: StatusCode::NOT_FOUND, ..page.clone() }, refused("404 Not Found")),
        (Told { status: StatusCode::BAD_GATEWAY, ..page }, later("502 Bad Gateway")),
    ];
    for (number, (told, expected)) in cases.into_iter().enumerate() {
        let (answer, seen) = asked(told, false, b"request").await;
        assert_eq!((answer, seen.len()), (expected, 1), "{number}");
    }
}
