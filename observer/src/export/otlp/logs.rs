//! Events and incidents as log records.

mod details;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use observer_proto::v1;
use observer_proto::v1::WatchEventsResponse;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use prost::Message as _;

use super::attributes::{Attributes, any};
use super::ids::{SAMPLED, SpanName};
use crate::client::{Chosen, Format, Lines, Look, Paint, Painter, TimeFormat, escape};
use crate::event::{Event, EventType, WallTime, Workload};
use crate::export::feed::Told;
use crate::export::message::{concerns, of_event};
use crate::export::metrics::own::trigger_name;
use crate::filter::{Filters, told_workload};
use crate::inventory::host;
use crate::wire::wall_time;

/// Makes records.
pub(super) struct Logs {
    filters: Filters,
    of_incidents: Filters,
    node_name: Arc<str>,
    lines: Lines,
    /// Incidents that were told as open.
    open: BTreeSet<String>,
}

/// A record, and whose it is.
pub(super) type Record = (Option<Arc<Workload>>, LogRecord);

impl Logs {
    /// Of events that pass the first filters, and incidents that pass the others.
    pub(super) fn new([filters, of_incidents]: [Filters; 2], node_name: &Arc<str>) -> Self {
        let look = Look {
            format: Format::Compact,
            painter: Painter { enabled: false },
            width: None,
            times: TimeFormat::None,
            zone: TimeZone::UTC,
            chosen: Chosen::All,
        };
        Self {
            filters,
            of_incidents,
            node_name: Arc::clone(node_name),
            lines: Lines::new(&look),
            open: BTreeSet::new(),
        }
    }

    /// A record is made of that event.
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.filters.event(event)
    }

    /// The record of what happened, with the span that it belongs to; `None` for what is no log.
    pub(super) fn of(&mut self, told: &Told, span: Option<SpanName>) -> Option<Record> {
        match told {
            Told::Event(published) => {
                let event = &published.event;
                if !self.wants(event) {
                    return None;
                }
                let mut attributes = details::attributes(event);
                attributes.number("observer.event.sequence", event.sequence);
                let of = event.event_type();
                let record = self.record(told, Some(of), attributes)?;
                let record = LogRecord { time_unix_nano: event.time.0, ..record };
                Some((event.workload.clone(), with_span(record, span)))
            }
            Told::Folded(folded, _) if !self.filters.folded(folded) => None,
            Told::Folded(folded, now) => {
                let mut attributes = Attributes::default();
                attributes.number("observer.count", folded.counts.iter().map(|(_, count)| count).sum());
                let record = self.record(told, None, attributes)?;
                let time_unix_nano = now.wall_of(folded.until).0;
                let event_name = "observer.folded".to_owned();
                Some((folded.workload.clone(), LogRecord { time_unix_nano, event_name, ..record }))
            }
            Told::Lost(loss, now) => {
                let mut attributes = Attributes::default();
                attributes.text("observer.lost.kind", loss.kind);
                attributes.number("observer.count", loss.count);
                let record = self.record(told, None, attributes)?;
                let event_name = "observer.lost".to_owned();
                Some((None, LogRecord { time_unix_nano: now.wall_of(loss.until).0, event_name, ..record }))
            }
            Told::Incident(incident) if concerns(&self.of_incidents, incident) => {
                self.incident(incident, span)
            }
            Told::Deleted(incident) => {
                self.open.remove(&incident.id);
                None
            }
            Told::Incident(_) | Told::Missed(_) | Told::Window(..) => None,
        }
    }

    fn record(&mut self, told: &Told, of: Option<EventType>, attributes: Attributes) -> Option<LogRecord> {
        let bytes = of_event(told, &self.node_name)?.encode_to_vec();
        let message = WatchEventsResponse::decode(bytes.as_slice()).ok()?;
        let line = self.lines.line(&message)?;
        let severity = severity(of, line.paint);
        Some(record(severity, &line.text, of.map_or("", EventType::name), attributes))
    }

    /// Incidents are told when they are opened and when they are closed.
    fn incident(&mut self, incident: &v1::Incident, span: Option<SpanName>) -> Option<Record> {
        let is_open = incident.state() == v1::IncidentState::Open;
        let is_news =
            if is_open { self.open.insert(incident.id.clone()) } else { self.open.remove(&incident.id) };
        if !is_news {
            return None;
        }
        let (severity, what, time) = if is_open {
            (SeverityNumber::Error, "opened", &incident.open_time)
        } else {
            (SeverityNumber::Info, "closed", &incident.close_time)
        };
        let mut attributes = Attributes::default();
        attributes.text("observer.incident.id", &incident.id);
        attributes.text("observer.incident.title", &incident.title);
        if let Some(firing) = incident.firings.first() {
            attributes.text("observer.incident.trigger", trigger_name(firing.kind()));
            attributes.text("observer.trigger.reason", &firing.reason);
        }
        let text = format!("incident {} {what}: {}", escape(&incident.id), escape(&incident.title));
        let name = if is_open { "incident.opened" } else { "incident.closed" };
        let WallTime(time_unix_nano) = time.as_ref().map(wall_time).unwrap_or_default();
        let record = LogRecord { time_unix_nano, ..record(severity, &text, name, attributes) };
        let workload = incident.workloads.first().map(|one| Arc::new(told_workload(one)));
        Some((workload, with_span(record, span)))
    }
}

fn record(severity: SeverityNumber, text: &str, name: &str, attributes: Attributes) -> LogRecord {
    let severity_text = severity.as_str_name().trim_start_matches("SEVERITY_NUMBER_");
    LogRecord {
        observed_time_unix_nano: host::now().wall.0,
        severity_number: severity.into(),
        severity_text: severity_text.to_owned(),
        body: Some(any(text)),
        attributes: attributes.into_inner(),
        event_name: format!("observer.{name}"),
        ..LogRecord::default()
    }
}

fn with_span(record: LogRecord, span: Option<SpanName>) -> LogRecord {
    let Some(SpanName { trace, span }) = span else { return record };
    LogRecord { trace_id: trace.0.to_vec(), span_id: span.0.to_vec(), flags: SAMPLED, ..record }
}

/// How much something matters.
const fn severity(of: Option<EventType>, paint: Paint) -> SeverityNumber {
    match (of, paint) {
        (Some(EventType::OomKill | EventType::ContainerCrashLoop), _) | (_, Paint::Failure) => {
            SeverityNumber::Error
        }
        (None, _) | (_, Paint::Warning) => SeverityNumber::Warn,
        (Some(_), Paint::Plain | Paint::Good | Paint::Dim | Paint::Bold) => SeverityNumber::Info,
    }
}

#[cfg(test)]
mod tests;
