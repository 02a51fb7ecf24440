//! One side of a connection, until it is told or forgotten.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::span::Event as Note;

use super::super::super::attributes::Attributes;
use super::super::span::note;
use crate::event::{
    ConnectionId, Detail, Event, EventType, Peer, PeerKind, ResetCause, ResetDirection, RetransmitCause,
    RetransmitPhase, Tcp, WallTime,
};
use crate::export::otlp::words;

/// What happened to one side is told up to so many times.
const MOST_NOTES: usize = 16;

/// One side.
#[derive(Debug)]
pub(super) struct End {
    pub(super) id: ConnectionId,
    /// The other side is on this node.
    pub(super) here: bool,
    pub(super) established: WallTime,
    pub(super) handshake_ns: Option<u64>,
    /// What happened to it.
    pub(super) notes: Vec<Happened>,
    pub(super) notes_omitted: u32,
    /// It was reset.
    pub(super) reset: bool,
    pub(super) closed: Option<Closed>,
}

/// Something that happened to it, in few bytes: of most connections nothing is ever told.
#[derive(Debug)]
pub(super) struct Happened {
    time: WallTime,
    what: What,
}

#[derive(Debug)]
enum What {
    /// So many segments were sent again.
    Retransmit(RetransmitCause, RetransmitPhase, u32),
    Reset(ResetDirection, Option<ResetCause>, Option<Arc<str>>),
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) time: WallTime,
    /// What it is told by; `None` once it is told, and where there was no room to keep it.
    pub(super) event: Option<Arc<Event>>,
}

impl End {
    pub(super) fn new(tcp: &Tcp, established: WallTime, handshake_ns: Option<u64>) -> Self {
        let is_here = |peer: &Peer| matches!(peer.kind, PeerKind::Pod | PeerKind::Host | PeerKind::Loopback);
        Self {
            id: tcp.id,
            here: is_here(tcp.backend.as_deref().map_or(&tcp.peer, |backend| &backend.peer)),
            established,
            handshake_ns,
            notes: Vec::new(),
            notes_omitted: 0,
            reset: false,
            closed: None,
        }
    }

    /// Something happened to it. It is only counted where there is no room for it.
    pub(super) fn note(&mut self, event: &Event, has_room: bool) {
        let what = if let Detail::TcpRetransmit(retransmit) = &event.detail {
            What::Retransmit(retransmit.cause, retransmit.phase, retransmit.segments)
        } else if let Detail::TcpReset(reset) = &event.detail {
            What::Reset(reset.direction, reset.cause, reset.reason.clone())
        } else {
            // What is seen in debugging sessions is told as logs.
            return;
        };
        if has_room && self.notes.len() < MOST_NOTES {
            self.notes.push(Happened { time: event.time, what });
        } else {
            self.notes_omitted += 1;
        }
    }
}

impl Happened {
    /// As OTLP has it.
    pub(super) fn told(&self) -> Note {
        let mut of = Attributes::default();
        let kind = match &self.what {
            What::Retransmit(cause, phase, segments) => {
                words::retransmit(&mut of, *cause, *phase, *segments);
                EventType::TcpRetransmit
            }
            What::Reset(direction, cause, reason) => {
                words::reset(&mut of, *direction, *cause, reason.as_deref());
                EventType::TcpReset
            }
        };
        note(self.time, kind.name(), of.into_inner())
    }
}
