//! A connection that remembers how it broke: in TLS 1.3 the other side's refusal comes only then, and the transport would
//! say no more than that it is gone.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How a connection broke, if it did.
#[derive(Clone, Debug, Default)]
pub(super) struct Broke(Arc<Mutex<Option<String>>>);

/// The connection.
#[derive(Debug)]
pub(super) struct Remembering<S> {
    inner: S,
    broke: Broke,
}

impl Broke {
    /// The error of whoever wants to go on with it.
    pub(super) fn error(&self) -> io::Error {
        let words = self.0.lock().ok().and_then(|broke| broke.clone());
        io::Error::new(io::ErrorKind::NotConnected, words.unwrap_or_else(|| "the daemon hung up".to_owned()))
    }
}

impl<S> Remembering<S> {
    pub(super) fn new(inner: S) -> (Self, Broke) {
        let broke = Broke::default();
        (Self { inner, broke: broke.clone() }, broke)
    }

    fn note<T>(&self, result: &Poll<io::Result<T>>) {
        if let Poll::Ready(Err(error)) = result
            && let Ok(mut broke) = self.broke.0.lock()
        {
            // The first one says why.
            broke.get_or_insert_with(|| error.to_string());
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Remembering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.note(&result);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Remembering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
