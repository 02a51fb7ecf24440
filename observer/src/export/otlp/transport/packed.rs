//! Requests as they go over the wire. Compressing takes a while, so it is done once, however often a request is sent.

use std::io::{self, Write as _};

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::config::exporters::{Protocol, Receiver};

/// What gRPC has before a message: whether it is compressed, and its length.
pub(super) const PREFIX: usize = 5;

/// A request that is ready to be sent; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::export::otlp) struct Packed {
    pub(super) body: Bytes,
    pub(super) gzip: bool,
}

impl Packed {
    /// As that receiver takes it.
    pub(in crate::export::otlp) fn new(receiver: &Receiver, request: Bytes) -> Self {
        // Writing to memory does not fail. If it did, the request would do as it is.
        let smaller = receiver.gzip.then(|| compressed(&request).ok()).flatten();
        let gzip = smaller.is_some();
        let message = smaller.unwrap_or(request);
        let body = match receiver.protocol {
            Protocol::Http => message,
            Protocol::Grpc => framed(&message, gzip),
        };
        Self { body, gzip }
    }
}

fn framed(message: &Bytes, gzip: bool) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(gzip.into());
    // Requests are of a few MiB at the most.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

fn compressed(request: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(request.len() / 4), Compression::fast());
    encoder.write_all(request)?;
    encoder.finish().map(Bytes::from)
}
