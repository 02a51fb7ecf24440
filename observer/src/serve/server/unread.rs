//! Answers on their way to a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tonic::Status;

use super::requests::Held;

/// An answer that takes its bytes until it is read, or given up.
pub(super) struct Unread {
    first: Option<Frame<Bytes>>,
    rest: tonic::body::Body,
    _held: Held,
}

impl Unread {
    /// One whose first part is there already.
    pub(super) const fn new(first: Option<Frame<Bytes>>, rest: tonic::body::Body, held: Held) -> Self {
        Self { first, rest, _held: held }
    }
}

impl Body for Unread {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    /// A refusal has no body: its headers have to say that they are the end.
    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_refusal_is_its_headers_alone() {
        let free = Arc::new(Semaphore::new(1));
        let refused = Unread::new(None, tonic::body::Body::empty(), Held::of(&free, &free));
        assert!(refused.is_end_stream());
        let first = Some(Frame::data(Bytes::from_static(b"answer")));
        assert!(!Unread::new(first, tonic::body::Body::empty(), Held::of(&free, &free)).is_end_stream());
    }
}
