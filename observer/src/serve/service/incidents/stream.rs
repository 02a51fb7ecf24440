//! One stream of incidents.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use observer_proto::served::watch_incidents_response::Payload;
use observer_proto::{served, v1};
use tokio_stream::Stream;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tonic::Status;

use super::super::Settings;
use super::super::states::{connected, sent_at, stopping};
use super::seen::seen;
use super::{Chosen, transcoded};
use crate::filter::Scope;
use crate::serve::access::Seat;
use crate::serve::incidents::{Book, Change};

/// The answer to `WatchIncidents`.
#[derive(Debug)]
pub(crate) struct IncidentStream {
    book: Book,
    changes: BroadcastStream<Change>,
    node_name: String,
    scope: Scope,
    chosen: Chosen,
    /// Its client's place for it.
    _seat: Seat,
    /// To be sent.
    ready: VecDeque<Payload>,
    ended: bool,
}

impl IncidentStream {
    pub(super) fn new(
        book: &Book,
        settings: &Settings,
        (scope, chosen): (Scope, Chosen),
        seat: Seat,
    ) -> Self {
        let (open, changes) = book.watch();
        let greeting = connected(settings, "open incidents follow, then what changes");
        let mut stream = Self {
            book: book.clone(),
            changes: BroadcastStream::new(changes),
            node_name: settings.node_name.clone(),
            scope,
            chosen,
            _seat: seat,
            ready: VecDeque::from([Payload::NodeStatus(greeting)]),
            ended: false,
        };
        stream.show(&open);
        stream
    }

    fn show(&mut self, incidents: &[Arc<v1::Incident>]) {
        for incident in incidents {
            let told = self.told(incident);
            self.ready.extend(told.map(|told| Payload::Incident(transcoded(&told))));
        }
    }

    /// What of an incident is told, if anything: the filter knows no more of it than who asks may see.
    fn told(&self, incident: &v1::Incident) -> Option<v1::Incident> {
        seen(&self.scope, incident).filter(|seen| self.chosen.has(seen))
    }

    fn take(&mut self, change: Result<Change, BroadcastStreamRecvError>) {
        match change {
            Ok(Change::Put(incident)) => self.show(&[incident]),
            Ok(Change::Deleted(incident)) => {
                let is_told = self.told(&incident).is_some();
                self.ready.extend(is_told.then(|| Payload::Deleted(incident.id.clone())));
            }
            Ok(Change::Stopping) => {
                self.ready.push_back(Payload::NodeStatus(stopping()));
                self.ended = true;
            }
            // It reads slowly. How all of them are now says all that it missed but for what was deleted.
            Err(BroadcastStreamRecvError::Lagged(_)) => {
                let mut all = self.book.all();
                all.reverse();
                self.show(&all);
            }
        }
    }
}

impl Stream for IncidentStream {
    type Item = Result<served::WatchIncidentsResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(payload) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(served::WatchIncidentsResponse {
                    payload: Some(payload),
                    node_name: this.node_name.clone(),
                    time: Some(sent_at()),
                })));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.changes).poll_next(context)) {
                Some(change) => this.take(change),
                None => this.ended = true,
            }
        }
    }
}
