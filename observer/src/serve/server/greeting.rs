//! Those who have connected and not yet said who they are and that they speak HTTP/2: few, and not for long.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

/// What every client of HTTP/2 says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A client has so long to say it.
const PATIENCE: Duration = Duration::from_secs(10);
/// And so long where others wait to take its place.
const LEAST: Duration = Duration::from_secs(1);

/// The connections whose clients have said nothing yet. However many connect and say nothing, a client that speaks at once
/// is heard: the oldest one makes room. Dropping this closes them.
#[derive(Debug)]
pub(super) struct Strangers<G> {
    greeting: JoinSet<Option<G>>,
    oldest_first: VecDeque<(Instant, AbortHandle)>,
    most: usize,
    patience: [Duration; 2],
}

impl<G: Send + 'static> Strangers<G> {
    /// So many at the most.
    pub(super) fn new(most: usize) -> Self {
        let patience = [LEAST, PATIENCE];
        Self { greeting: JoinSet::new(), oldest_first: VecDeque::new(), most, patience }
    }

    /// When there is room for one more, unless it is now.
    pub(super) fn full_until(&mut self) -> Option<Instant> {
        if self.oldest_first.len() >= self.most {
            self.oldest_first.retain(|(_, stranger)| !stranger.is_finished());
        }
        let until = self.oldest_first.front()?.0 + self.patience[0];
        if self.oldest_first.len() < self.most {
            return None;
        }
        if until > Instant::now() {
            return Some(until);
        }
        let (_, oldest) = self.oldest_first.pop_front()?;
        oldest.abort();
        None
    }

    /// One more has connected, who is greeted so.
    pub(super) fn add(&mut self, greets: impl Future<Output = Option<G>> + Send + 'static) {
        let greeted = timeout(self.patience[1], greets);
        let stranger = self.greeting.spawn(async { greeted.await.ok().flatten() });
        self.oldest_first.push_back((Instant::now(), stranger));
    }

    /// Waits for one to be greeted, or to be let go: that gives `Some(None)`. `None` is that there are none.
    pub(super) async fn next(&mut self) -> Option<Option<G>> {
        // An error is that one was sent away.
        self.greeting.join_next().await.map(|greeted| greeted.ok().flatten())
    }
}

/// Hears what a client says first, and no more of it than is right.
pub(super) async fn greeted<I: AsyncRead + Unpin>(mut stream: I) -> Option<Greeted<I>> {
    let (mut said, mut heard) = ([0; PREFACE.len()], 0);
    while heard < said.len() {
        let more = stream.read(&mut said[heard..]).await.ok()?;
        heard += more;
        if more == 0 || said[..heard] != PREFACE[..heard] {
            return None;
        }
    }
    Some(Greeted { stream, read: 0 })
}

/// A connection whose client has said what it had to: the server reads that again.
#[derive(Debug)]
pub(super) struct Greeted<I> {
    stream: I,
    /// So much of the preface the server has read.
    read: usize,
}

impl<I: AsyncRead + Unpin> AsyncRead for Greeted<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &PREFACE[self.read..];
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.read += count;
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Greeted<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    async fn said(bytes: &[u8]) -> Option<Greeted<DuplexStream>> {
        let (mut client, server) = duplex(1024);
        client.write_all(bytes).await.unwrap();
        drop(client);
        greeted(server).await
    }

    #[tokio::test]
    async fn the_server_reads_all_that_was_said() {
        let mut stream = said(&[PREFACE.as_slice(), b"more"].concat()).await.unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, [PREFACE.as_slice(), b"more"].concat());
        assert!(said(b"GET / HTTP/1.1\r\n\r\nhello and more").await.is_none());
        assert!(said(&PREFACE[..23]).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_makes_room_and_silence_ends() {
        let mut strangers = Strangers::new(3);
        strangers.patience = [Duration::from_millis(100), Duration::from_secs(1)];
        let mut clients = Vec::new();
        for _ in 0..4 {
            if let Some(until) = strangers.full_until() {
                assert_eq!(clients.len(), 3);
                tokio::time::sleep_until(until).await;
                assert!(strangers.full_until().is_none());
            }
            let (client, server) = duplex(1024);
            strangers.add(greeted(server));
            clients.push(client);
        }
        assert!(strangers.next().await.unwrap().is_none(), "sent away");
        assert_eq!(clients[0].read(&mut [0]).await.unwrap(), 0, "the oldest one");
        clients[3].write_all(PREFACE).await.unwrap();
        assert!(strangers.next().await.unwrap().is_some(), "the newest one speaks");
        for _ in 1..3 {
            assert!(strangers.next().await.unwrap().is_none(), "said nothing for too long");
        }
        assert!(strangers.next().await.is_none() && strangers.full_until().is_none());
    }
}
