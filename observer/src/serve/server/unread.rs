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
}
