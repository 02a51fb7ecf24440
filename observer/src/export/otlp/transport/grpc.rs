//! A request by gRPC.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::Extensions;
use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::{Answer, MOST_ANSWER, Signal, Transport};

/// The methods' paths.
const fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

impl Transport {
    pub(super) async fn call(&self, signal: Signal, request: Bytes) -> Answer {
        let mut grpc = Grpc::with_origin(self.client.clone(), self.receiver.endpoint.clone())
            .max_decoding_message_size(MOST_ANSWER)
            .accept_compressed(CompressionEncoding::Gzip);
        if self.receiver.gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        if let Err(error) = grpc.ready().await {
            return Answer::later(super::chain(&error));
        }
        let metadata = MetadataMap::from_headers(self.headers.clone());
        let mut request = Request::from_parts(metadata, Extensions::default(), request);
        request.set_timeout(self.receiver.timeout);
        match grpc.unary(request, PathAndQuery::from_static(path(signal)), Encoded).await {
            Ok(response) => Answer::taken(response.get_ref().partial_success.as_ref()),
            Err(status) => Answer::of_status(&status),
        }
    }
}

/// Requests are bytes already. The answers are the same for all signals but for the names of their fields.
#[derive(Clone, Copy, Debug)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = ExportLogsServiceResponse;
    type Encoder = Self;
    type Decoder = Answers<ExportLogsServiceResponse>;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        Answers(PhantomData)
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

/// Reads an answer.
#[derive(Clone, Copy, Debug)]
struct Answers<T>(PhantomData<T>);

impl<T: prost::Message + Default> Decoder for Answers<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        // What it took it has taken, whatever it says of that.
        Ok(Some(T::decode(bytes).unwrap_or_default()))
    }
}
