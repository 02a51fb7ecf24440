//! A span, before it is one of OTLP's.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event as Note, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::super::attributes::Attributes;
use super::super::ids::{SAMPLED, SpanId, SpanName};
use crate::event::{WallTime, Workload};

/// A span, and whose it is.
#[derive(Clone, Debug)]
pub(in crate::export::otlp) struct Told {
    pub(in crate::export::otlp) workload: Option<Arc<Workload>>,
    pub(in crate::export::otlp) span: Span,
}

/// What a span is made of.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) name: SpanName,
    pub(super) parent: Option<SpanId>,
    pub(super) kind: SpanKind,
    pub(super) title: String,
    pub(super) start: WallTime,
    pub(super) end: WallTime,
    pub(super) attributes: Attributes,
    pub(super) links: Vec<Link>,
    pub(super) notes: Vec<Note>,
    /// What went wrong, in words; `None` where nothing did.
    pub(super) error: Option<String>,
}

impl Draft {
    /// It belongs to these incidents.
    pub(super) fn join(&mut self, incidents: &[(SpanName, String)]) {
        self.links.extend(incidents.iter().map(|(name, _)| link(*name, "incident")));
        self.attributes.texts("observer.incident.ids", incidents.iter().map(|(_, id)| id.as_str()));
    }

    pub(super) fn finish(self, workload: Option<Arc<Workload>>) -> Told {
        let Self { name, parent, kind, title, start, end, attributes, links, notes, error } = self;
        let status = error.map(|message| Status { message, code: StatusCode::Error.into() });
        let span = Span {
            trace_id: name.trace.0.to_vec(),
            span_id: name.span.0.to_vec(),
            parent_span_id: parent.map_or_else(Vec::new, |parent| parent.0.to_vec()),
            flags: SAMPLED,
            name: title,
            kind: kind.into(),
            // A clock that was set back makes no span that ends before it begins.
            start_time_unix_nano: start.0.min(end.0),
            end_time_unix_nano: end.0,
            attributes: attributes.into_inner(),
            events: notes,
            links,
            status: Some(status.unwrap_or_default()),
            ..Span::default()
        };
        Told { workload, span }
    }
}

/// A link to another span, and what that is to this one.
pub(super) fn link(to: SpanName, relation: &str) -> Link {
    let mut attributes = Attributes::default();
    attributes.text("observer.link", relation);
    Link {
        trace_id: to.trace.0.to_vec(),
        span_id: to.span.0.to_vec(),
        attributes: attributes.into_inner(),
        flags: SAMPLED,
        ..Link::default()
    }
}

/// Something that happened within a span.
pub(super) fn note(time: WallTime, name: &str, attributes: Vec<KeyValue>) -> Note {
    Note { time_unix_nano: time.0, name: name.to_owned(), attributes, ..Note::default() }
}
