//! Requests of any bytes, sent to the service as the server would.
//!
//! An input is a method's name, a line's end, and the request as JSON; or `raw` before the name, and the bytes of what is
//! sent after it, with gRPC's prefix and all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use observer_proto::v1::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tower::Service as _;

use super::reflected;
use super::requests::{Pool, Receiving};
use crate::serve::access::ClientLimits;
use crate::serve::tests::{caller, calls::event_loop};
use crate::serve::{Service, Settings};

/// What a call may answer at once is read; what follows later is not waited for.
const AT_ONCE: Duration = Duration::from_millis(3);
/// Messages of a stream that are read.
const READ: usize = 16;

const WORDS: [&str; 55] = [
    "WatchEvents",
    "WatchSummaries",
    "ListConnections",
    "ListListeners",
    "ListWorkloads",
    "Explain",
    "GetStatus",
    "ListIncidents",
    "GetIncident",
    "WatchIncidents",
    "OpenIncident",
    "CloseIncident",
    "DeleteIncident",
    "\"id\":\"20261128-112027-1\"",
    "\"note\":\"why\"",
    "raw ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"allow\":",
    "\"deny\":",
    "\"follow\":true",
    "\"last\":",
    "\"first\":",
    "\"since\":\"2023-11-14T22:13:21Z\"",
    "\"until\":\"2023-11-14T22:13:22Z\"",
    "\"window\":\"5s\"",
    "\"limit\":",
    "\"order\":",
    "\"resume\":{\"start_time\":\"2023-11-14T22:13:21Z\",\"sequence\":1}",
    "\"pods\":[\"shop/web\"]",
    "\"namespaces\":[\"shop\"]",
    "\"ports\":[5432]",
    "\"types\":[\"tcp_connect\"]",
    "\"types\":[99]",
    "\"labels\":[\"app in (web, db)\"]",
    "\"addresses\":[\"10.0.0.0/8\"]",
    "\"port_ranges\":[{\"first\":1,\"last\":9}]",
    "\"min_latency\":\"0.001s\"",
    "\"failure_only\":true",
    "\"services\":[\"shop/db\"]",
    "\"node_names\":[\"node-1\"]",
    "4294967295",
    "18446744073709551615",
    "-1",
    "null",
    "\"\"",
    "\x0a\x00",
    "\x00\x00\x00\x00\x02\x0a\x00",
    "\x00\x00\x00\x10\x00",
    "\x18\x01",
    "\x20\x03",
    "{}",
];

/// The frame that an input stands for, and where it goes; `None` where it stands for none.
fn request(pool: &DescriptorPool, input: &[u8]) -> Option<(MethodDescriptor, Bytes)> {
    let line = input.iter().position(|byte| *byte == b'\n')?;
    let (name, body) = (std::str::from_utf8(&input[..line]).ok()?, &input[line + 1..]);
    let method = |name: &str| {
        let own = pool.services().filter(|service| service.package_name() == "observer.v1");
        let mut methods = own.flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.find(|method| method.name() == name)
    };
    if let Some(name) = name.strip_prefix("raw ") {
        return Some((method(name)?, Bytes::copy_from_slice(body)));
    }
    let method = method(name)?;
    let mut text = serde_json::Deserializer::from_slice(body);
    let message = DynamicMessage::deserialize(method.input(), &mut text).ok()?.encode_to_vec();
    let length = u32::try_from(message.len()).ok()?.to_be_bytes();
    Some((method, [&[0], length.as_slice(), &message].concat().into()))
}

#[test]
fn fuzz_requests() {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (requests, inbox) = mpsc::channel(16);
    let service = Service::new(Settings::new("node-1".into()), requests);
    let mut service = Receiving::new(reflected(service.routes()).unwrap(), &Pool::default());
    let (_stop, stopped) = oneshot::channel();
    let (shut_down, _shutdown) = oneshot::channel();
    // As often as the fuzzer does.
    let caller = Arc::new(caller(ClientLimits { streams: usize::MAX, calls_a_second: u32::MAX }));
    let running = runtime.spawn(event_loop(inbox, stopped, shut_down));
    crate::fuzz::run("requests", &WORDS, |input| {
        let Some((method, body)) = request(&pool, input) else { return };
        let service_name = method.parent_service().full_name().to_owned();
        let request = http::Request::post(format!("/{service_name}/{}", method.name()))
            .header("content-type", "application/grpc")
            .extension(Arc::clone(&caller))
            .body(Full::new(body))
            .unwrap();
        runtime.block_on(async {
            let call = service.call(request);
            let Ok(Ok(response)) = tokio::time::timeout(AT_ONCE, call).await else { return };
            assert_eq!(response.status(), 200);
            let code = tonic::Status::from_header_map(response.headers()).map(|status| status.code());
            assert_ne!(code, Some(tonic::Code::Unauthenticated));
            let mut body = response.into_body();
            let read = async {
                for _ in 0..READ {
                    let Some(frame) = body.frame().await else { break };
                    frame.unwrap();
                }
            };
            // What follows later is left.
            drop(tokio::time::timeout(AT_ONCE, read).await);
        });
        assert!(!running.is_finished(), "the event loop has ended");
    });
}
