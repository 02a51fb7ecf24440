//! Windows that are recorded, read for one stream of summaries.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::event::{WallTime, Window};
use crate::record::{Identities, Kind, Place, Reader, Store, StoreError};
use crate::wire::wall_time;

/// One who reads windows.
#[derive(Debug)]
pub(super) struct PastWindows {
    reader: Reader,
    since: WallTime,
    until: WallTime,
    place: Option<Place>,
    identities: Identities,
}

/// What was read at once: some windows, and whether these were the last ones.
type Page = (PastWindows, Vec<Window>, bool);

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
    /// The next windows; `None` where there are no more.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<Window>>> {
        loop {
            match std::mem::replace(self, Self::Done) {
                Self::Done => return Poll::Ready(None),
                Self::Ready(past) => *self = Self::Reading(Box::pin(past.next())),
                Self::Reading(mut page) => {
                    let Poll::Ready((past, windows, ended)) = page.as_mut().poll(context) else {
                        *self = Self::Reading(page);
                        return Poll::Pending;
                    };
                    if !ended {
                        *self = Self::Ready(Box::new(past));
                    }
                    return Poll::Ready(Some(windows));
                }
            }
        }
    }
}

impl PastWindows {
    pub(super) fn new(reader: Reader, since: WallTime, until: Option<WallTime>) -> Self {
        let until = until.unwrap_or(WallTime(u64::MAX));
        Self { reader, since, until, place: None, identities: Identities::default() }
    }

    async fn next(mut self) -> Page {
        let reader = self.reader.clone();
        if self.place.is_none() {
            reader.commit().await;
        }
        reader
            .turn(move || {
                let Some(store) = self.reader.store() else { return (self, Vec::new(), true) };
                let (windows, ended) = self.read(&store).unwrap_or_else(|error| {
                    log::error!("cannot read recorded windows: {error}");
                    (Vec::new(), true)
                });
                (self, windows, ended)
            })
            .await
    }

    fn read(&mut self, store: &Store) -> Result<(Vec<Window>, bool), StoreError> {
        let place = match self.place {
            Some(place) => place,
            None => store.at(Kind::Windows, self.since)?,
        };
        let Some((after, told)) = store.windows(place)? else { return Ok((Vec::new(), true)) };
        self.place = Some(after);
        let start = |window: &observer_proto::v1::RecordedWindow| {
            window.start.as_ref().map_or(WallTime(0), wall_time)
        };
        let ended = told.last().is_some_and(|window| start(window) >= self.until);
        let wanted = told.iter().filter(|window| (self.since..self.until).contains(&start(window)));
        let windows = wanted.map(|window| self.identities.window(after.run, window)).collect();
        Ok((windows, ended))
    }
}
