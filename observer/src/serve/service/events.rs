//! One stream of events: what the queue brings, converted when the client is ready for it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use observer_proto::{Carried, EventsPayload, EventsResponse, served as v1};
use tokio_stream::Stream;
use tonic::Status;

use super::{Settings, connected, refused, sent_at, stopping};
use crate::event::{Event, Loss, Now};
use crate::serve::queue::{Item, Source};
use crate::serve::wire;

/// The answer to `WatchEvents`.
#[derive(Debug)]
pub(crate) struct EventStream {
    source: Source,
    node_name: Arc<str>,
    greeting: v1::NodeStatus,
    /// Of the past, still to be sent.
    newest: VecDeque<Arc<Event>>,
    /// The last messages, once the queue has ended.
    ending: Option<VecDeque<EventsPayload>>,
}

impl EventStream {
    pub(super) fn new(source: Source, settings: &Settings) -> Self {
        Self {
            source,
            node_name: settings.node_name.as_str().into(),
            greeting: connected(settings, "new events follow"),
            newest: VecDeque::new(),
            ending: None,
        }
    }

    fn response(&self, payload: Carried) -> EventsResponse {
        EventsResponse { payload, node_name: Arc::clone(&self.node_name), time: Some(sent_at()) }
    }

    /// What one item says; `None` for one that says nothing by itself.
    fn payload(&mut self, item: Item) -> Result<Option<Carried>, Status> {
        match item {
            Item::Connected => Ok(Some(Carried::Own((&self.greeting).into()))),
            Item::Refused { subscribers } => Err(refused(subscribers)),
            Item::Events(past) => {
                self.newest = past.newest.into();
                Ok(None)
            }
            Item::Event(published) => Ok(Some(Carried::Shared(published))),
            Item::Lost(lost) => Ok(Some(Carried::Own((&wire::lost(&lost.0, lost.1)).into()))),
            Item::Folded(folded) => Ok(Some(Carried::Own((&wire::folded(&folded.0, folded.1)).into()))),
            Item::Windows(..) | Item::Window(..) => Ok(None),
        }
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
            if let Some(event) = this.newest.pop_front() {
                let payload = (&wire::event(&event, &this.node_name)).into();
                return Poll::Ready(Some(Ok(this.response(Carried::Own(payload)))));
            }
            if let Some(ending) = &mut this.ending {
                let payload = ending.pop_front();
                return Poll::Ready(payload.map(|payload| Ok(this.response(Carried::Own(payload)))));
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
