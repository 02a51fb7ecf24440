//! What happened as the messages that clients get, and these as lines.

use std::sync::Arc;

use observer_proto::served::watch_summaries_response::Payload as SummaryPayload;
use observer_proto::v1::watch_incidents_response::Payload as IncidentPayload;
use observer_proto::{EventsResponse, served, v1};
use prost::Message as _;

use crate::client::write_encoded;
use crate::event::{Loss, LossSource, Now, Window};
use crate::export::feed::{Link, Told};
use crate::export::message::{begun, concerns, of_event, of_incident, response, sent_at, stopping};
use crate::filter::Filters;
use crate::serve::Merged;
use crate::wire;

/// Makes lines of what happened.
#[derive(Debug)]
pub(super) struct Messages {
    /// Lines that are still to be written.
    pub(super) lines: Vec<u8>,
    /// Events are wanted.
    events: bool,
    node_name: Arc<str>,
    start_time: prost_types::Timestamp,
    summaries: Filters,
    incidents: Filters,
    windows: Merged,
}

impl Messages {
    pub(super) fn new(link: &Link, events: bool, summaries: Filters, incidents: Filters) -> Self {
        Self {
            lines: Vec::new(),
            events,
            node_name: Arc::clone(&link.node_name),
            start_time: wire::timestamp(link.start_time),
            summaries,
            incidents,
            windows: Merged::new(link.window.as_nanos() as u64),
        }
    }

    /// New events follow, as a stream of them begins.
    pub(super) fn connected(&mut self, after: u64) {
        if self.events {
            let told = begun(self.start_time, after);
            self.event(&response(told, &self.node_name));
        }
    }

    /// As a stream of events ends where the daemon stops.
    pub(super) fn stopping(&mut self) {
        if self.events {
            self.event(&response(stopping(), &self.node_name));
        }
    }

    /// Adds a line, or several.
    pub(super) fn take(&mut self, told: &Told) {
        match told {
            Told::Lost(loss, now) if self.is_of_windows(loss) => {
                self.summary(SummaryPayload::Lost(wire::lost(loss, *now)));
            }
            Told::Event(_) | Told::Folded(..) | Told::Lost(..) => {
                if let Some(message) = of_event(told, &self.node_name) {
                    self.event(&message);
                }
            }
            Told::Window(window, now) => {
                for window in self.windows.add(window) {
                    self.window(window, *now);
                }
            }
            Told::Incident(incident) if concerns(&self.incidents, incident) => {
                self.incident(IncidentPayload::Incident(v1::Incident::clone(incident)));
            }
            Told::Deleted(incident) if concerns(&self.incidents, incident) => {
                self.incident(IncidentPayload::Deleted(incident.id.clone()));
            }
            Told::Incident(_) | Told::Deleted(_) | Told::Missed(_) => {}
        }
    }

    /// It is told as streams of summaries tell it.
    fn is_of_windows(&self, loss: &Loss) -> bool {
        !self.events || (loss.source == LossSource::Subscriber && loss.kind == "windows")
    }

    fn window(&mut self, mut window: Window, now: Now) {
        window.show_idle();
        let summaries = wire::summaries(&window, &self.summaries, now);
        let end = wire::window_end(&window, summaries.len(), now);
        for (_, summary) in summaries {
            self.summary(SummaryPayload::Summary(summary));
        }
        self.summary(SummaryPayload::WindowEnd(end));
    }

    fn event(&mut self, message: &EventsResponse) {
        self.line("WatchEventsResponse", &message.encode_to_vec());
    }

    fn summary(&mut self, payload: SummaryPayload) {
        let node_name = self.node_name.to_string();
        let message =
            served::WatchSummariesResponse { payload: Some(payload), node_name, time: Some(sent_at()) };
        self.line("WatchSummariesResponse", &message.encode_to_vec());
    }

    fn incident(&mut self, payload: IncidentPayload) {
        let message = of_incident(payload, &self.node_name);
        self.line("WatchIncidentsResponse", &message.encode_to_vec());
    }

    /// One line; what cannot be told as one is left out, which a test excludes.
    fn line(&mut self, name: &str, message: &[u8]) {
        let length = self.lines.len();
        if let Err(error) = write_encoded(&mut self.lines, name, message) {
            self.lines.truncate(length);
            log::error!("a {name} is no JSON: {error}");
        }
    }
}
