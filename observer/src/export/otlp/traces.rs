//! Traces: connections that failed, were slow or belong to an incident, the ends and restarts of containers, and incidents.

mod connections;
mod containers;
mod generations;
mod incidents;
mod span;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use observer_proto::v1;

pub(super) use self::connections::Slow;
pub(super) use self::containers::end_name;
pub(super) use self::span::Told;
use super::ids::SpanName;
use crate::event::{Detail, Event};
use crate::room::Room;

use self::connections::Connections;
use self::containers::Containers;
use self::incidents::Incidents;

/// An incident may be about what ended so long before it.
const RECENT_NS: u64 = 30_000_000_000;

/// What spans are made of, and what is remembered for those that are not told yet.
#[derive(Debug)]
pub(super) struct Traces {
    connections: Connections,
    containers: Containers,
    incidents: Incidents,
}

impl Traces {
    pub(super) fn new(node_name: &Arc<str>, slow: Slow, room: &Room) -> Self {
        Self {
            connections: Connections::new(node_name, slow, room),
            containers: Containers::new(node_name),
            incidents: Incidents::new(node_name),
        }
    }

    /// Takes an event in, and adds the spans that are whole with it. Says which span it belongs to, where that is told or
    /// will be.
    pub(super) fn event(&mut self, event: &Arc<Event>, told: &mut Vec<Told>) -> Option<SpanName> {
        match &event.detail {
            Detail::ContainerStart(start) => self.containers.start(event, start, &mut self.incidents, told),
            Detail::ContainerStop(stop) => self.containers.stop(event, stop, &mut self.incidents, told),
            Detail::ContainerCrashLoop(_) => self.containers.last(event),
            Detail::ProcessExec(_)
            | Detail::ProcessExit(_)
            | Detail::OomKill(_)
            | Detail::TcpConnect(_)
            | Detail::TcpAccept(_)
            | Detail::TcpConnectFailure(_)
            | Detail::TcpRetransmit(_)
            | Detail::TcpReset(_)
            | Detail::TcpClose(_)
            | Detail::TcpConnectPending(_)
            | Detail::ContainerReady(_)
            | Detail::TcpResponse(_)
            | Detail::PacketDrop(_)
            | Detail::Signal(_)
            | Detail::OpenFailure(_) => self.connections.event(event, &mut self.incidents, told),
        }
    }

    /// An incident is so now. Says its span.
    pub(super) fn incident(&mut self, incident: &v1::Incident, told: &mut Vec<Told>) -> SpanName {
        let (name, is_new) = self.incidents.put(incident, told);
        if is_new {
            // What ended shortly before it belongs to it as well.
            self.connections.look_back(&mut self.incidents, told);
        }
        name
    }

    /// It was deleted.
    pub(super) fn deleted(&mut self, id: &str) {
        self.incidents.delete(id);
    }
}
