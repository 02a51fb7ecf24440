//! HTTP/2 by hand, for clients that do not keep to it: frames of any kind, in any order, and nothing read unless asked.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::PATIENCE;

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The kinds of frames.
pub const DATA: u8 = 0;
/// See there.
pub const HEADERS: u8 = 1;
/// See there.
pub const RST_STREAM: u8 = 3;
/// See there.
pub const SETTINGS: u8 = 4;
/// See there.
pub const PING: u8 = 6;
/// See there.
pub const CONTINUATION: u8 = 9;

/// The sender says no more on the stream.
pub const END_STREAM: u8 = 1;
/// There are no more headers.
pub const END_HEADERS: u8 = 4;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a call of a method of `observer.v1.Observer`, compressed by no more than the static table.
pub fn call(method: &str) -> Vec<u8> {
    // POST and http.
    let mut block = vec![0x83, 0x86];
    block.extend(literal(4, &format!("/observer.v1.Observer/{method}")));
    block.extend(literal(1, "localhost"));
    // The name has number 31 of the static table, which takes two bytes.
    block.extend([0x0f, 0x10, 16]);
    block.extend(b"application/grpc");
    block.extend(b"\x00\x02te\x08trailers");
    block
}

/// A header whose name is in the static table.
fn literal(name: u8, value: &str) -> Vec<u8> {
    let mut block = vec![name, value.len() as u8];
    block.extend(value.as_bytes());
    block
}

/// A message as gRPC frames it, whatever length it claims to have.
pub fn message(claimed: u32, bytes: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend(claimed.to_be_bytes());
    framed.extend(bytes);
    framed
}

/// A connection.
#[derive(Debug)]
pub struct Frames(TcpStream);

impl Frames {
    /// Connects and says nothing.
    pub async fn silent(to: SocketAddr) -> Result<Self> {
        Ok(Self(TcpStream::connect(to).await?))
    }

    /// Connects and begins as HTTP/2 wants it.
    pub async fn greeted(to: SocketAddr) -> Result<Self> {
        Self::with_settings(to, &[]).await
    }

    /// The same with settings of its own: their numbers and values.
    pub async fn with_settings(to: SocketAddr, settings: &[(u16, u32)]) -> Result<Self> {
        let mut stream = Self::silent(to).await?;
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        stream.say(&[PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()).await;
        Ok(stream)
    }

    /// Says something, unless the other side has ended it or reads no more: whether it was taken.
    pub async fn say(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Waits until the other side ends it.
    pub async fn ended(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        let read = async { while self.0.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
        tokio::time::timeout(PATIENCE, read).await.context("the daemon does not end it")
    }

    /// Waits for a frame of that kind on that stream.
    pub async fn hears(&mut self, kind: u8, stream: u32) -> Result<()> {
        let heard = async {
            loop {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await?;
                let [_, high, middle, low, of, _flags, a, b, c, d] = [&[0], head.as_slice()].concat()[..]
                else {
                    continue;
                };
                let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
                self.0.read_exact(&mut payload).await?;
                if (of, u32::from_be_bytes([a, b, c, d])) == (kind, stream) {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.context("no such frame")?
    }
}
