//! What happens, for one exporter: a client within the process, with a bounded queue whose losses are its own.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use observer_proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream as _;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::state::State;
use crate::event::{FoldNotice, Loss, LossSource, Now, WallTime, Window};
use crate::filter::Filters;
use crate::room::Room;
use crate::serve::{
    Book, Change, EventsRequest, Gauge, Item, Request, Sink, Source, SummariesRequest, queue,
};
use crate::status::Status;
use crate::wire::Published;

/// Base windows that may wait for an exporter.
const WINDOWS_QUEUED: usize = 64;

/// The daemon as exporters reach it; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) book: Book,
    pub(crate) node_name: Arc<str>,
    /// The daemon's start.
    pub(crate) start_time: WallTime,
    /// The summaries' window.
    pub(crate) window: Duration,
    /// How many events may wait for an exporter, and how many bytes of them.
    pub(crate) queue: (usize, usize),
    /// Streams so far.
    pub(crate) streams: Arc<AtomicU64>,
    /// The memory that the daemon may still take.
    pub(crate) room: Room,
    /// The daemon stops: nothing that may take long is to be begun.
    pub(crate) stopping: CancellationToken,
}

/// What an exporter takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Events that pass these filters, with what was only counted and what was lost.
    pub(crate) events: Option<Filters>,
    /// Each base window of a second. Live sockets are read each second then.
    pub(crate) windows: bool,
    /// Incidents: those that are open, and what changes.
    pub(crate) incidents: bool,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Event(Arc<Published>),
    Folded(Arc<FoldNotice>, Now),
    /// By this exporter, where its source is `Subscriber`; else by all.
    Lost(Loss, Now),
    Window(Arc<Window>, Now),
    /// It is so now.
    Incident(Arc<v1::Incident>),
    /// It was deleted.
    Deleted(Arc<v1::Incident>),
    /// Changes of incidents were missed: there are these now, and no others. Each is told on its own after this.
    Missed(Arc<[Arc<v1::Incident>]>),
}

/// Why there is no feed.
#[derive(Debug, thiserror::Error)]
enum Unfed {
    #[error("the daemon stops")]
    Stopping,
    #[error("{0} streams are open already, as many as the daemon allows")]
    Full(usize),
}

/// What happens, one after another.
#[derive(Debug)]
pub(crate) struct Feed {
    events: Option<Source>,
    windows: Option<Source>,
    incidents: Option<(Book, BroadcastStream<Change>)>,
    /// Only the stream of windows tells what all have lost.
    windows_alone: bool,
    /// To be told first.
    ready: VecDeque<Told>,
    /// The number of the event before the first one.
    pub(crate) after: u64,
}

impl Link {
    /// Subscribes, as often as that takes. `None` where the daemon stops.
    pub(crate) async fn subscribe(&self, wanted: &Wanted, state: &State) -> Option<Feed> {
        let mut backoff = Backoff::default();
        loop {
            match self.open(wanted).await {
                Ok(feed) => {
                    state.watch(feed.gauges());
                    return Some(feed);
                }
                Err(Unfed::Stopping) => return None,
                Err(full @ Unfed::Full(_)) => state.retrying(&full),
            }
            if !self.pause(backoff.next()).await {
                return None;
            }
        }
    }

    /// Waits. `false` where the daemon stops meanwhile.
    pub(crate) async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.stopping.cancelled() => false,
        }
    }

    /// The daemon's state; `None` where it stops.
    pub(crate) async fn status(&self) -> Option<(Status, Now)> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Status { reply }).await.ok()?;
        answer.await.ok()
    }

    async fn open(&self, wanted: &Wanted) -> Result<Feed, Unfed> {
        let mut feed = Feed {
            events: None,
            windows: None,
            incidents: None,
            windows_alone: wanted.windows && wanted.events.is_none(),
            ready: VecDeque::new(),
            after: 0,
        };
        if let Some(filters) = wanted.events.clone() {
            let (mut sink, source) = queue(self.queue.0, "events");
            sink.hold(self.queue.1);
            // Clients' streams are numbered from 0 upwards.
            let id = u64::MAX - self.streams.fetch_add(1, Ordering::Relaxed);
            let request = EventsRequest { id, filters, ask: None, follow: true, sink };
            let (source, after) = self.connected(Request::Events(request), source).await?;
            (feed.events, feed.after) = (Some(source), after);
        }
        if wanted.windows {
            let (sink, source) = queue(WINDOWS_QUEUED, "windows");
            feed.windows = Some(self.connected(windows(sink), source).await?.0);
        }
        if wanted.incidents {
            let (open, changes) = self.book.watch();
            feed.ready.extend(open.into_iter().map(Told::Incident));
            feed.incidents = Some((self.book.clone(), BroadcastStream::new(changes)));
        }
        Ok(feed)
    }

    /// Sends the request, and waits for the greeting of its stream.
    async fn connected(&self, request: Request, mut source: Source) -> Result<(Source, u64), Unfed> {
        self.requests.send(request).await.map_err(|_closed| Unfed::Stopping)?;
        match source.next().await {
            Some(Item::Connected { after }) => Ok((source, after)),
            Some(Item::Refused { subscribers }) => Err(Unfed::Full(subscribers)),
            Some(_) | None => Err(Unfed::Stopping),
        }
    }
}

/// A request for windows from now on.
fn windows(sink: Sink) -> Request {
    Request::Summaries(SummariesRequest { length_ns: 0, sink })
}

impl Feed {
    /// Adds what is there to the list, up to `most`, and waits where nothing is. `false` once there is nothing more.
    pub(crate) async fn batch(&mut self, into: &mut Vec<Told>, most: usize) -> bool {
        std::future::poll_fn(|context| {
            let before = into.len();
            loop {
                match self.poll_next(context) {
                    Poll::Ready(Some(told)) => into.push(told),
                    Poll::Ready(None) => return Poll::Ready(into.len() > before),
                    Poll::Pending if into.len() > before => return Poll::Ready(true),
                    Poll::Pending => return Poll::Pending,
                }
                if into.len() - before >= most {
                    return Poll::Ready(true);
                }
            }
        })
        .await
    }

    /// What seldom comes first, so that a flood of events cannot keep it waiting.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Told>> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Poll::Ready(Some(told));
            }
            if self.poll_incidents(context) || self.poll_items(context) {
                continue;
            }
            let ended = self.incidents.is_none() && self.windows.is_none() && self.events.is_none();
            return if ended { Poll::Ready(None) } else { Poll::Pending };
        }
    }

    /// Takes a change. `false` where there is none now.
    fn poll_incidents(&mut self, context: &mut Context<'_>) -> bool {
        let Some((book, changes)) = &mut self.incidents else { return false };
        match Pin::new(changes).poll_next(context) {
            Poll::Pending => return false,
            Poll::Ready(Some(Ok(Change::Put(incident)))) => self.ready.push_back(Told::Incident(incident)),
            Poll::Ready(Some(Ok(Change::Deleted(incident)))) => self.ready.push_back(Told::Deleted(incident)),
            // How all of them are now says all that was missed.
            Poll::Ready(Some(Err(BroadcastStreamRecvError::Lagged(_)))) => {
                let all: Arc<[_]> = book.all().into_iter().rev().collect();
                self.ready.push_back(Told::Missed(Arc::clone(&all)));
                self.ready.extend(all.iter().cloned().map(Told::Incident));
            }
            Poll::Ready(Some(Ok(Change::Stopping)) | None) => self.incidents = None,
        }
        true
    }

    /// Takes an item of a queue. `false` where there is none now.
    fn poll_items(&mut self, context: &mut Context<'_>) -> bool {
        for (source, of_windows) in [(&mut self.windows, true), (&mut self.events, false)] {
            let Some(queue) = source else { continue };
            let tells_losses = !of_windows || self.windows_alone;
            match queue.poll_next(context) {
                Poll::Pending => continue,
                Poll::Ready(Some(item)) => self.ready.extend(told(item, tells_losses)),
                Poll::Ready(None) => {
                    let untold = queue.last_words().unwrap_or_default();
                    let losses = untold.into_iter().map(|lost| Item::Lost(Box::new(lost)));
                    self.ready.extend(losses.filter_map(|lost| told(lost, tells_losses)));
                    *source = None;
                }
            }
            return true;
        }
        false
    }

    fn gauges(&self) -> Vec<Gauge> {
        self.events.iter().chain(&self.windows).map(Source::gauge).collect()
    }
}

/// What an item says to an exporter. What all have lost is told by one of its queues.
fn told(item: Item, tells_losses: bool) -> Option<Told> {
    match item {
        Item::Event(published) => Some(Told::Event(published)),
        Item::Folded(folded) => Some(Told::Folded(folded.0, folded.1)),
        Item::Window(window) => Some(Told::Window(window.0, window.1)),
        Item::Lost(lost) if tells_losses || lost.0.source == LossSource::Subscriber => {
            Some(Told::Lost(lost.0, lost.1))
        }
        // It asks for nothing that was before.
        Item::Lost(_)
        | Item::Connected { .. }
        | Item::Refused { .. }
        | Item::Elsewhere
        | Item::History(_)
        | Item::Page(_)
        | Item::Windows(_) => None,
    }
}

#[cfg(test)]
pub(super) mod tests;
