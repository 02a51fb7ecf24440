//! Windows that are recorded, read for one stream of summaries.

use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::Status;

use crate::event::WallTime;
use crate::record::{OfTime, Reader, RecordedWindows};

/// One who reads windows.
#[derive(Debug)]
pub(super) struct PastWindows {
    reader: Reader,
    windows: RecordedWindows,
    /// What was handed over is written.
    written: bool,
}

/// What was read at once; `None`: there is no more.
type Page = (PastWindows, Option<Vec<OfTime>>);

/// How far they were read.
pub(super) enum Past {
    Ready(Box<PastWindows>),
    Reading(Pin<Box<dyn Future<Output = Page> + Send>>),
    Done,
}

impl std::fmt::Debug for Past {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Ready(_) => "ready",
            Self::Reading(_) => "reading",
            Self::Done => "done",
        })
    }
}

impl Past {
    /// The next windows, and what is missing between them; `None` where there are no more.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<OfTime>>> {
        loop {
            match std::mem::replace(self, Self::Done) {
                Self::Done => return Poll::Ready(None),
                Self::Ready(past) => *self = Self::Reading(Box::pin(past.next())),
                Self::Reading(mut page) => {
                    let Poll::Ready((past, windows)) = page.as_mut().poll(context) else {
                        *self = Self::Reading(page);
                        return Poll::Pending;
                    };
                    if windows.is_some() {
                        *self = Self::Ready(Box::new(past));
                    }
                    return Poll::Ready(windows);
                }
            }
        }
    }
}

impl PastWindows {
    /// The one who reads what is asked for: since when, and until when.
    pub(super) async fn asked(
        reader: Option<&Reader>,
        asked: Option<(WallTime, Option<WallTime>)>,
    ) -> Result<Option<Self>, Status> {
        let Some((since, until)) = asked else { return Ok(None) };
        if let Some(reader) = reader {
            reader.opened().await;
        }
        let reader = reader.filter(|reader| reader.store().is_some()).ok_or_else(|| {
            Status::failed_precondition("since: nothing is recorded here; `observer status` says why")
        })?;
        let windows = RecordedWindows::of([since, until.unwrap_or(WallTime(u64::MAX))]);
        Ok(Some(Self { reader: reader.clone(), windows, written: false }))
    }

    async fn next(mut self) -> Page {
        let reader = self.reader.clone();
        if !self.written {
            reader.commit().await;
            self.written = true;
        }
        reader
            .turn(move || {
                let Some(store) = self.reader.store() else { return (self, None) };
                let windows = self.windows.next(&store).unwrap_or_else(|error| {
                    log::error!("cannot read recorded windows: {error}");
                    None
                });
                (self, windows)
            })
            .await
    }
}
