//! What happened as a message for people: how much it matters, a line, and fields.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{Incident, IncidentState, WatchEventsResponse, Workload};
use observer_proto::{EventsResponse, v1};
use prost::Message as _;
use prost_types::Timestamp;

use crate::client::{
    Chosen, Format as Shown, Lines, Look, Paint, Painter, TimeFormat, escape, write_encoded,
};
use crate::config::exporters::{Format, Severity, Syslog};
use crate::event::EventType;
use crate::export::feed::Told;
use crate::export::message::{concerns, of_event, of_incident, response, sent_at, stopping};
use crate::filter::Filters;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) severity: Severity,
    /// The event's type, or what else it is.
    pub(super) kind: String,
    /// When it happened, as RFC 3339 has it.
    pub(super) time: String,
    /// The line, without anything that could steer a terminal.
    pub(super) text: String,
    /// More of it, by names as the journal has them.
    pub(super) fields: Vec<(&'static str, String)>,
}

/// Makes messages of what happened.
pub(super) struct Entries {
    least: Severity,
    format: Format,
    node_name: Arc<str>,
    incidents: Filters,
    /// Incidents that are open and were told.
    open: BTreeSet<String>,
    lines: Lines,
}

impl Entries {
    pub(super) fn new(settings: &Syslog, node_name: &Arc<str>, incidents: Filters) -> Self {
        let look = Look {
            format: Shown::Compact,
            painter: Painter { enabled: false },
            width: None,
            times: TimeFormat::None,
            zone: TimeZone::UTC,
            chosen: Chosen::All,
        };
        Self {
            least: settings.min_severity,
            format: settings.format,
            node_name: Arc::clone(node_name),
            incidents,
            open: BTreeSet::new(),
            lines: Lines::new(&look),
        }
    }

    /// The message; `None` where it is not worth one, or matters too little.
    pub(super) fn of(&mut self, told: &Told) -> Option<Entry> {
        match told {
            Told::Event(published) => {
                let of = published.event.event_type();
                // They are the most, and need not be put into words to be left out.
                if self.least < Severity::Info && is_routine(of) {
                    return None;
                }
                self.event(&of_event(told, &self.node_name)?, Some(of))
            }
            Told::Folded(..) | Told::Lost(..) => self.event(&of_event(told, &self.node_name)?, None),
            Told::Incident(incident) => self.incident(incident),
            Told::Deleted(incident) => {
                self.open.remove(&incident.id);
                None
            }
            Told::Window(..) | Told::Missed(_) => None,
        }
    }

    /// The last message.
    pub(super) fn stopping(&mut self) -> Option<Entry> {
        self.event(&response(stopping(), &self.node_name), None)
    }

    fn event(&mut self, response: &EventsResponse, of: Option<EventType>) -> Option<Entry> {
        let bytes = response.encode_to_vec();
        let message = WatchEventsResponse::decode(bytes.as_slice()).ok()?;
        let line = self.lines.line(&message)?;
        let severity = severity(of, line.paint);
        if severity > self.least {
            return None;
        }
        let (kind, fields) = match &message.payload {
            Some(Payload::Event(event)) => (event.r#type().as_str_name(), of_an_event(event)),
            Some(Payload::Lost(_)) => ("lost", Vec::new()),
            Some(Payload::Folded(folded)) => ("folded", of_workload(folded.workload.as_ref())),
            Some(Payload::NodeStatus(_) | Payload::History(_) | Payload::Gap(_)) | None => {
                ("node_status", Vec::new())
            }
        };
        let text = match self.format {
            Format::Text => line.text,
            Format::Json => json("WatchEventsResponse", &bytes)?,
        };
        Some(self.entry(severity, kind, line.time, text, fields))
    }

    /// Incidents are told when they are opened and when they are closed.
    fn incident(&mut self, incident: &Incident) -> Option<Entry> {
        if !concerns(&self.incidents, incident) {
            return None;
        }
        let (is_news, severity, time, what) = match incident.state() {
            IncidentState::Open => {
                let is_news = self.open.insert(incident.id.clone());
                (is_news, Severity::Err, incident.open_time, "opened")
            }
            IncidentState::Closed | IncidentState::Unspecified => {
                let was_open = self.open.remove(&incident.id);
                (was_open, Severity::Notice, incident.close_time, "closed")
            }
        };
        if !is_news || severity > self.least {
            return None;
        }
        let text = match self.format {
            Format::Text => {
                format!("incident {} {what}: {}", escape(&incident.id), escape(&incident.title))
            }
            Format::Json => {
                let payload = v1::watch_incidents_response::Payload::Incident(incident.clone());
                let message = of_incident(payload, &self.node_name);
                json("WatchIncidentsResponse", &message.encode_to_vec())?
            }
        };
        let mut fields = of_workload(incident.workloads.first());
        fields.push(("OBSERVER_INCIDENT", incident.id.clone()));
        Some(self.entry(severity, "incident", time, text, fields))
    }

    fn entry(
        &self,
        severity: Severity,
        kind: &str,
        time: Option<Timestamp>,
        text: String,
        mut fields: Vec<(&'static str, String)>,
    ) -> Entry {
        let time = time.unwrap_or_else(sent_at);
        let instant = jiff::Timestamp::new(time.seconds, time.nanos).unwrap_or_default();
        let time = format!("{instant:.6}");
        fields.push(("OBSERVER_EVENT_TYPE", kind.to_owned()));
        fields.push(("OBSERVER_NODE", self.node_name.to_string()));
        fields.push(("OBSERVER_TIME", time.clone()));
        for (_, value) in &mut fields {
            *value = escape(value).into_owned();
        }
        Entry { severity, kind: kind.to_owned(), time, text, fields }
    }
}

/// Nothing of that type fails.
fn is_routine(of: EventType) -> bool {
    matches!(
        of,
        EventType::ProcessExec | EventType::TcpConnect | EventType::TcpAccept | EventType::TcpResponse
    )
}

/// How much something matters.
fn severity(of: Option<EventType>, paint: Paint) -> Severity {
    match (of, paint) {
        (Some(EventType::OomKill | EventType::ContainerCrashLoop), _) => Severity::Err,
        (None, Paint::Failure | Paint::Warning) | (Some(_), Paint::Failure) => Severity::Warning,
        (Some(_), Paint::Warning) | (None, _) => Severity::Notice,
        (Some(_), _) => Severity::Info,
    }
}

fn of_an_event(event: &v1::Event) -> Vec<(&'static str, String)> {
    let mut fields = of_workload(event.workload.as_ref());
    fields.push(("OBSERVER_SEQUENCE", event.sequence.to_string()));
    if let Some(process) = &event.process {
        fields.push(("OBSERVER_PID", process.pid.to_string()));
        fields.push(("OBSERVER_COMM", process.comm.clone()));
    }
    fields
}

fn of_workload(workload: Option<&Workload>) -> Vec<(&'static str, String)> {
    let Some(of) = workload else { return Vec::new() };
    let all = [
        ("OBSERVER_WORKLOAD", &of.name),
        ("OBSERVER_NAMESPACE", &of.namespace),
        ("OBSERVER_POD", &of.pod),
        ("OBSERVER_CONTAINER", &of.container),
        ("OBSERVER_CONTAINER_ID", &of.container_id),
    ];
    all.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, value.clone()))
        .collect()
}

/// A message of the API as JSON.
fn json(name: &str, message: &[u8]) -> Option<String> {
    let mut line = Vec::new();
    write_encoded(&mut line, name, message).ok()?;
    let text = String::from_utf8(line).ok()?;
    Some(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests;
