//! One stream of events: what the queue brings, converted when the client is ready for it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use observer_proto::{Carried, EventsPayload, EventsResponse, Mask, served as v1};
use tokio_stream::Stream;
use tokio_util::sync::PollSender;
use tonic::Status;

use super::recorded::{RecordedPage, Recording};
use super::{Settings, connected, following, refused, sent_at, stopping};
use crate::event::{Event, Loss, Now};
use crate::serve::access::{Scope, Seat};
use crate::serve::queue::{Item, Source};
use crate::serve::{Request, Rest};
use crate::wire;

/// The answer to `WatchEvents`.
#[derive(Debug)]
pub(crate) struct EventStream {
    /// What the event loop calls it.
    id: u64,
    source: Source,
    requests: PollSender<Request>,
    node_name: Arc<str>,
    greeting: v1::NodeStatus,
    /// What is told of an event; `None`: all.
    mask: Option<Mask>,
    /// Of the past, still to be sent.
    past: VecDeque<Arc<Event>>,
    /// There is more of it, to be asked for then.
    more: bool,
    /// New events are wanted as well.
    follow: bool,
    /// All of the past is there, which is to be said behind it.
    caught_up: bool,
    /// What is recorded, where it may have to be read.
    recording: Reading,
    /// Read of it, still to be sent.
    recorded: VecDeque<EventsPayload>,
    /// What is told of what happened.
    scope: Scope,
    /// Its client's place for it.
    _seat: Seat,
    /// The last messages, once the queue has ended.
    ending: Option<VecDeque<EventsPayload>>,
}

impl EventStream {
    pub(super) fn new(
        id: u64,
        source: Source,
        requests: PollSender<Request>,
        settings: &Settings,
        mask: Option<Mask>,
        (scope, seat): (Scope, Seat),
    ) -> Self {
        Self {
            id,
            source,
            requests,
            node_name: settings.node_name.as_str().into(),
            greeting: connected(settings, "new events follow"),
            mask: mask.map(EventsPayload::mask),
            past: VecDeque::new(),
            more: false,
            follow: false,
            caught_up: false,
            recording: Reading::Done,
            recorded: VecDeque::new(),
            scope,
            _seat: seat,
            ending: None,
        }
    }

    /// Reads what is recorded, where the memory does not reach back far enough, and says where new events begin.
    pub(super) fn with(self, recording: Option<Recording>, follow: bool) -> Self {
        let recording = recording.map_or(Reading::Done, |one| Reading::Ready(Box::new(one)));
        Self { follow, recording, ..self }
    }

    /// Goes on reading what is recorded, and asks for the rest behind its end. `None` where that is not its turn.
    fn read_on(&mut self, context: &mut Context<'_>) -> Poll<Option<()>> {
        match std::mem::replace(&mut self.recording, Reading::Done) {
            Reading::Asked(recording) => {
                self.recording = Reading::Page(Box::pin(recording.next()));
                Poll::Ready(Some(()))
            }
            Reading::Page(mut page) => {
                let Poll::Ready((recording, read)) = page.as_mut().poll(context) else {
                    self.recording = Reading::Page(page);
                    return Poll::Pending;
                };
                self.recorded = read.payloads.into();
                self.recording = if read.ended {
                    Reading::Rest(recording.rest(self.id))
                } else {
                    Reading::Asked(Box::new(recording))
                };
                Poll::Ready(Some(()))
            }
            Reading::Rest(rest) => {
                let Poll::Ready(reserved) = self.requests.poll_reserve(context) else {
                    self.recording = Reading::Rest(rest);
                    return Poll::Pending;
                };
                // Where nobody takes it, the daemon stops, and the queue ends.
                if reserved.is_ok() {
                    let _stopping = self.requests.send_item(Request::ReadRest(rest)).is_err();
                }
                Poll::Ready(Some(()))
            }
            other @ (Reading::Ready(_) | Reading::Done) => {
                self.recording = other;
                Poll::Ready(None)
            }
        }
    }

    /// What of an event is told to this client alone.
    fn seen(&self, event: &Event) -> Option<Carried> {
        let event = self.scope.event(event)?;
        let whole = EventsPayload::from(&wire::event(&event, &self.node_name));
        Some(Carried::Own(match &self.mask {
            None => whole,
            Some(mask) => whole.masked(mask),
        }))
    }

    fn response(&self, payload: Carried) -> EventsResponse {
        EventsResponse { payload, node_name: Arc::clone(&self.node_name), time: Some(sent_at()) }
    }

    /// What one item says; `None` for one that says nothing by itself.
    fn payload(&mut self, item: Item) -> Result<Option<Carried>, Status> {
        match item {
            Item::Connected { after } => {
                self.greeting.after_sequence = after;
                Ok(Some(Carried::Own((&self.greeting).into())))
            }
            Item::Refused { subscribers } => Err(refused(subscribers)),
            Item::Elsewhere => {
                if let Reading::Ready(recording) = std::mem::replace(&mut self.recording, Reading::Done) {
                    self.recording = Reading::Asked(recording);
                }
                Ok(None)
            }
            Item::History(reach) => Ok(Some(Carried::Own((&v1::History::from(&*reach)).into()))),
            Item::Page(page) => {
                self.past = page.events.into();
                self.more = page.more;
                self.caught_up = self.follow && !page.more;
                Ok(None)
            }
            Item::Event(published) if self.scope.is_all() => Ok(Some(match &self.mask {
                None => Carried::Shared(published),
                Some(mask) => Carried::Own((*published).as_ref().masked(mask)),
            })),
            Item::Event(published) => Ok(self.seen(&published.event)),
            Item::Lost(lost) => Ok(Some(Carried::Own((&wire::lost(&lost.0, lost.1)).into()))),
            Item::Folded(folded) => Ok(Some(Carried::Own((&wire::folded(&folded.0, folded.1)).into()))),
            Item::Windows(..) | Item::Window(..) => Ok(None),
        }
    }
}

/// How far what is recorded was read.
enum Reading {
    /// It may have to be.
    Ready(Box<Recording>),
    /// The next page is wanted.
    Asked(Box<Recording>),
    /// It is being read.
    Page(Pin<Box<dyn Future<Output = (Recording, RecordedPage)> + Send>>),
    /// It was read; the rest is in memory.
    Rest(Rest),
    /// Nothing is to be read, or it was.
    Done,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Ready(_) => "ready",
            Self::Asked(_) => "asked",
            Self::Page(_) => "reading",
            Self::Rest(_) => "at its end",
            Self::Done => "done",
        })
    }
}

/// How a stream ends where the daemon does.
fn last_words(untold: &[(Loss, Now)]) -> VecDeque<EventsPayload> {
    let lost = untold.iter().map(|(loss, now)| EventsPayload::from(&wire::lost(loss, *now)));
    lost.chain([(&stopping()).into()]).collect()
}

impl Stream for EventStream {
    type Item = Result<EventsResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(payload) = this.recorded.pop_front() {
                return Poll::Ready(Some(Ok(this.response(Carried::Own(payload)))));
            }
            if this.ending.is_none() && ready!(this.read_on(context)).is_some() {
                continue;
            }
            if let Some(event) = this.past.pop_front() {
                let Some(payload) = this.seen(&event) else { continue };
                return Poll::Ready(Some(Ok(this.response(payload))));
            }
            if std::mem::take(&mut this.caught_up) {
                return Poll::Ready(Some(Ok(this.response(Carried::Own((&following()).into())))));
            }
            if let Some(ending) = &mut this.ending {
                let payload = ending.pop_front();
                return Poll::Ready(payload.map(|payload| Ok(this.response(Carried::Own(payload)))));
            }
            if this.more {
                // Where nobody takes it, the daemon stops, and the queue ends.
                if ready!(this.requests.poll_reserve(context)).is_ok() {
                    let _stopping = this.requests.send_item(Request::ReadOn(this.id)).is_err();
                }
                this.more = false;
            }
            let Some(item) = ready!(this.source.poll_next(context)) else {
                let untold = this.source.last_words();
                this.ending = Some(untold.map_or_else(VecDeque::new, |untold| last_words(&untold)));
                continue;
            };
            match this.payload(item) {
                Ok(None) => {}
                Ok(Some(payload)) => return Poll::Ready(Some(Ok(this.response(payload)))),
                Err(status) => {
                    this.ending = Some(VecDeque::new());
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
    }
}
