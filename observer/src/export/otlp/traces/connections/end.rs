//! One side of a connection, until it is told or forgotten.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::span::Event as Note;

use super::super::super::attributes::Attributes;
use super::super::span::note;
use crate::event::{ConnectionId, Detail, Event, WallTime};
use crate::export::otlp::words;

/// What happened to one side is told up to so many times.
const MOST_NOTES: usize = 16;

/// One side.
#[derive(Debug)]
pub(super) struct End {
    pub(super) id: ConnectionId,
    pub(super) established: WallTime,
    pub(super) handshake_ns: Option<u64>,
    /// What happened to it.
    pub(super) notes: Vec<Note>,
    pub(super) notes_omitted: u32,
    /// It was reset.
    pub(super) reset: bool,
    pub(super) closed: Option<Closed>,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) event: Arc<Event>,
    pub(super) told: bool,
}

impl End {
    pub(super) const fn new(id: ConnectionId, established: WallTime, handshake_ns: Option<u64>) -> Self {
        Self {
            id,
            established,
            handshake_ns,
            notes: Vec::new(),
            notes_omitted: 0,
            reset: false,
            closed: None,
        }
    }

    /// Something happened to it.
    pub(super) fn note(&mut self, event: &Event) {
        let mut of = Attributes::default();
        if let Detail::TcpRetransmit(retransmit) = &event.detail {
            of.text("network.tcp.retransmit.type", words::retransmit_type(retransmit.cause));
            of.text("observer.tcp.retransmit.phase", words::retransmit_phase(retransmit.phase));
            of.known("observer.tcp.segments", Some(retransmit.segments));
        } else if let Detail::TcpReset(reset) = &event.detail {
            of.text("network.io.direction", words::reset_direction(reset.direction));
            of.text("network.tcp.reset.cause", reset.cause.map_or("", words::reset_cause));
            of.text("observer.tcp.reset.reason", reset.reason.as_deref().unwrap_or_default());
        } else {
            // What is seen in debugging sessions is told as logs.
            return;
        }
        if self.notes.len() < MOST_NOTES {
            self.notes.push(note(event.time, event.event_type().name(), of.into_inner()));
        } else {
            self.notes_omitted += 1;
        }
    }
}
