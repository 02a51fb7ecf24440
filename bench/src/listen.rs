//! Clients that follow all events and count them, in a process of their own, so that what the daemon uses is its own.
//!
//! They read each message's kind and no more: a hundred clients share two processors with the daemon here, and what is
//! asked is how fast the daemon hands out.

use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use http::uri::PathAndQuery;
use observer_proto::v1::{Lost, WatchEventsRequest};
use observer_tests::channel;
use observer_tests::losses::is_own;
use prost::Message as _;
use prost::encoding::{decode_key, decode_varint};
use serde_json::json;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

/// The numbers of the payload's fields in `WatchEventsResponse`.
const EVENT: u32 = 1;
const LOST: u32 = 2;
const METHOD: &str = "/observer.v1.Observer/WatchEvents";

/// Whom to listen to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The daemon's socket
    #[arg(long)]
    socket: PathBuf,
    /// Clients, each with a connection of its own
    #[arg(long)]
    streams: usize,
}

/// What one client has seen.
#[derive(Debug, Default)]
struct Counts {
    events: AtomicU64,
    lost: AtomicU64,
    ended: AtomicU64,
}

/// Listens until its input ends, and answers each line of it with what all of them have seen.
#[allow(clippy::print_stdout, reason = "its answers are its output")]
pub(crate) async fn run(args: &Args) -> Result<()> {
    let mut clients = Vec::new();
    for _ in 0..args.streams {
        let counts = Arc::new(Counts::default());
        let stream = connect(&args.socket).await?;
        tokio::spawn(follow(stream, Arc::clone(&counts)));
        clients.push(counts);
    }
    println!("{}", json!({ "streams": clients.len() }));
    let said = tokio::task::spawn_blocking(move || {
        for line in io::stdin().lock().lines() {
            line?;
            let of = |figure: fn(&Counts) -> &AtomicU64| {
                clients.iter().map(move |counts| figure(counts).load(Ordering::Relaxed))
            };
            let events = of(|counts| &counts.events);
            println!(
                "{}",
                json!({
                    "events": events.clone().sum::<u64>(),
                    "least": events.min().unwrap_or(0),
                    "lost": of(|counts| &counts.lost).sum::<u64>(),
                    "ended": of(|counts| &counts.ended).sum::<u64>(),
                })
            );
        }
        io::Result::Ok(())
    });
    said.await??;
    Ok(())
}

/// Opens a stream and waits for the daemon's greeting, so that what happens from now on is in it.
async fn connect(socket: &Path) -> Result<tonic::Streaming<Seen>> {
    let mut client = tonic::client::Grpc::new(channel(socket).await?);
    client.ready().await?;
    let request = Request::new(WatchEventsRequest { follow: true, ..WatchEventsRequest::default() });
    let path = PathAndQuery::from_static(METHOD);
    let mut stream = client.server_streaming(request, path, Counting).await?.into_inner();
    stream.message().await?.context("no greeting")?;
    Ok(stream)
}

async fn follow(mut stream: tonic::Streaming<Seen>, counts: Arc<Counts>) {
    while let Ok(Some(seen)) = stream.message().await {
        match seen {
            Seen::Event => counts.events.fetch_add(1, Ordering::Relaxed),
            Seen::Lost(count) => counts.lost.fetch_add(count, Ordering::Relaxed),
            Seen::Other => 0,
        };
    }
    counts.ended.store(1, Ordering::Relaxed);
}

/// A message, as far as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Event,
    Lost(u64),
    Other,
}

/// Writes requests, and reads no more than the kind of an answer.
#[derive(Clone, Copy, Debug, Default)]
struct Counting;

impl Codec for Counting {
    type Encode = WatchEventsRequest;
    type Decode = Seen;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Counting {
    type Item = WatchEventsRequest;
    type Error = Status;

    fn encode(&mut self, item: WatchEventsRequest, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Counting {
    type Item = Seen;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Seen>, Status> {
        use bytes::Buf as _;
        let seen = kind(buffer).map_err(|error| Status::internal(error.to_string()))?;
        buffer.advance(buffer.remaining());
        Ok(Some(seen))
    }
}

/// The payload's fields come first, as their numbers are the least.
fn kind(buffer: &mut impl bytes::Buf) -> Result<Seen, prost::DecodeError> {
    if !buffer.has_remaining() {
        return Ok(Seen::Other);
    }
    let (field, _) = decode_key(buffer)?;
    match field {
        EVENT => Ok(Seen::Event),
        LOST => {
            let length = decode_varint(buffer)? as usize;
            let bytes = buffer.copy_to_bytes(length.min(buffer.remaining()));
            let lost = Lost::decode(bytes)?;
            Ok(if is_own(&lost) { Seen::Lost(lost.count) } else { Seen::Other })
        }
        _ => Ok(Seen::Other),
    }
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::watch_events_response::Payload;
    use observer_proto::v1::{Event, NodeStatus, WatchEventsResponse};

    use super::*;

    #[test]
    fn a_message_is_what_its_payload_is() {
        let seen = |payload| {
            let message = WatchEventsResponse {
                payload: Some(payload),
                node_name: "node".to_owned(),
                ..WatchEventsResponse::default()
            };
            kind(&mut message.encode_to_vec().as_slice()).unwrap()
        };
        assert_eq!(seen(Payload::Event(Event::default())), Seen::Event);
        assert_eq!(seen(Payload::Lost(Lost { count: 7, ..Lost::default() })), Seen::Lost(7));
        assert_eq!(seen(Payload::NodeStatus(NodeStatus::default())), Seen::Other);
    }
}
