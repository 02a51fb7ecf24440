//! Windows of the past, read for one stream as fast as its client takes them.

use std::task::{Context, Poll};

use observer_proto::served as v1;
use tokio::sync::mpsc;
use tonic::Status;

use super::Service;
use super::asked::wall_time;
use super::replayed::unreadable;
use crate::event::{WallTime, Window};
use crate::record::{self, Store};

/// Windows that wait for the stream.
const QUEUED: usize = 16;

/// Those that are read.
#[derive(Debug)]
pub(super) struct PastWindows(mpsc::Receiver<Result<Window, Status>>);

impl PastWindows {
    fn read(store: Store, range: [WallTime; 2]) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUED);
        tokio::task::spawn_blocking(move || {
            let read = record::for_each_window(&store, range, |window| sender.blocking_send(Ok(window)).is_ok());
            if let Err(error) = read {
                let _gone = sender.blocking_send(Err(unreadable(&error))).is_err();
            }
        });
        Self(receiver)
    }

    /// The next one; `None` after the last.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Window, Status>>> {
        self.0.poll_recv(context)
    }
}

impl Service {
    /// The windows of the past that are asked for; `None` where none are. Of a recording that is replayed there is nothing
    /// else.
    pub(super) async fn past_windows(
        &self,
        request: &v1::WatchSummariesRequest,
        length_ns: u64,
    ) -> Result<Option<PastWindows>, Status> {
        let refused = |words: &str| Err(Status::invalid_argument(words.to_owned()));
        let v1::WatchSummariesRequest { follow, changes, since, until, window, .. } = request;
        if until.is_some() && (since.is_none() || *follow) {
            return refused("until is allowed with since, and without follow");
        }
        if since.is_some() && *changes {
            return refused("since and changes exclude each other; leave one of them out");
        }
        let since = since.map(|since| wall_time("since", since)).transpose()?;
        let until = until.map(|until| wall_time("until", until)).transpose()?.unwrap_or(WallTime(u64::MAX));
        let range = match (since, &self.replayed) {
            (Some(since), _) if since > until => return refused("since is later than until, so nothing can be between them"),
            (Some(since), _) => [since, until],
            (None, Some(replayed)) => replayed.newest(window.is_some().then_some(length_ns)),
            (None, None) => return Ok(None),
        };
        let store = self.recording().await?;
        Ok(Some(PastWindows::read(store, range)))
    }
}
