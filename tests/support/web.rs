//! A client of HTTP that does what it is told and no more.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::daemon::Daemon;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, in small letters.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request with these further lines in its head, and reads all of the answer.
pub async fn ask(at: SocketAddr, method: &str, path: &str, lines: &[&str]) -> Result<Answer> {
    let mut stream = TcpStream::connect(at).await?;
    let (first, host) = (format!("{method} {path} HTTP/1.0"), format!("Host: {at}"));
    let head = [&[first.as_str(), &host], lines, &["", ""]].concat();
    let request = head.join("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await?;
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").context("no end of the head")?;
    let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer { status, head, body: all[end + 4..].to_vec() })
}

/// Gets a page.
pub async fn get(at: SocketAddr, path: &str) -> Result<Answer> {
    ask(at, "GET", path, &[]).await
}

/// Where a daemon serves its metrics.
pub fn metrics_address(daemon: &Daemon) -> Result<SocketAddr> {
    let said = daemon.stderr();
    let line = said.lines().find_map(|line| line.split_once("metrics are at ")).context("it does not say")?;
    let address = line.1.trim().split("://").nth(1).and_then(|rest| rest.split('/').next());
    Ok(address.context("no address")?.parse()?)
}

/// A text as it may stand in a query.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            other => encoded += &format!("%{other:02X}"),
        }
    }
    encoded
}
