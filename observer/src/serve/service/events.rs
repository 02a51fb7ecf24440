//! One stream of events: what the queue brings, converted when the client is ready for it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use observer_proto::v1;
use observer_proto::v1::watch_events_response::Payload;
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
    node_name: String,
    greeting: v1::NodeStatus,
    /// Of the past, still to be sent.
    newest: VecDeque<Arc<Event>>,
    /// The last messages, once the queue has ended.
    ending: Option<VecDeque<Payload>>,
}

impl EventStream {
    pub(super) fn new(source: Source, settings: &Settings) -> Self {
        Self {
            source,
            node_name: settings.node_name.clone(),
            greeting: connected(settings, "new events follow"),
            newest: VecDeque::new(),
            ending: None,
        }
    }

    fn response(&self, payload: Payload) -> v1::WatchEventsResponse {
        v1::WatchEventsResponse {
            payload: Some(payload),
            node_name: self.node_name.clone(),
            time: Some(sent_at()),
        }
    }

    fn event(&self, event: &Event) -> Payload {
        Payload::Event(wire::event(event, &self.node_name))
    }

    /// What one item says; `None` for one that says nothing by itself.
    fn payload(&mut self, item: Item) -> Result<Option<Payload>, Status> {
        match item {
            Item::Connected => Ok(Some(Payload::NodeStatus(self.greeting.clone()))),
            Item::Refused { subscribers } => Err(refused(subscribers)),
            Item::Events(newest) => {
                self.newest = newest.into();
                Ok(None)
            }
            Item::Event(event) => Ok(Some(self.event(&event))),
            Item::Lost(lost) => Ok(Some(Payload::Lost(wire::lost(&lost.0, lost.1)))),
            Item::Folded(notice, now) => Ok(Some(Payload::Folded(wire::folded(&notice, now)))),
            Item::Windows(..) | Item::Window(..) => Ok(None),
        }
    }
}

/// How a stream ends where the daemon does.
fn last_words(untold: &[(Loss, Now)]) -> VecDeque<Payload> {
    let lost = untold.iter().map(|(loss, now)| Payload::Lost(wire::lost(loss, *now)));
    lost.chain([Payload::NodeStatus(stopping())]).collect()
}

impl Stream for EventStream {
    type Item = Result<v1::WatchEventsResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(event) = this.newest.pop_front() {
                let payload = this.event(&event);
                return Poll::Ready(Some(Ok(this.response(payload))));
            }
            if let Some(ending) = &mut this.ending {
                let payload = ending.pop_front();
                return Poll::Ready(payload.map(|payload| Ok(this.response(payload))));
            }
            let Some(item) = ready!(this.source.items.poll_recv(context)) else {
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
