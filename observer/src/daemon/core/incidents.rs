//! Incidents: what triggers find, kept and told; and what clients ask of them.

use std::sync::Arc;

use observer_proto::v1;
use prost::Message as _;

use super::Core;
use crate::event::{ConnectionOrder, Now, Workload};
use crate::serve::{OpenIncident, Past};
use crate::trigger::{Fired, Incident, Refused};
use crate::wire;

/// Connections that a snapshot has: of the workloads concerned, and of others.
const CONNECTIONS: [usize; 2] = [2_000, 500];
/// With more of them than this the others are left out: all would have to be sorted.
const SORTED: u64 = 50_000;
/// A snapshot takes no more.
const SNAPSHOT_BYTES: usize = 2 << 20;

impl Core<'_> {
    /// Opens incidents with what fired, or adds it to those that are open.
    pub(super) fn fired(&mut self, fired: impl IntoIterator<Item = Fired>, now: Now) {
        for fired in fired {
            let Some((incident, is_new)) = self.incidents.fired(fired, now) else { continue };
            let (incident, id) = (incident.clone(), incident.id.clone());
            if is_new {
                log::info!("incident {id}: {}", incident.title.escape_debug());
            }
            self.tell_incident(&incident);
            if is_new {
                self.take_snapshot(&incident, now);
            }
        }
    }

    /// Closes those that are over.
    pub(super) fn advance_incidents(&mut self, now: Now) {
        for incident in self.incidents.advance(now) {
            self.tell_incident(&incident);
        }
        let refused = self.incidents.take_refused();
        if refused > 0 {
            log::warn!("{refused} times a trigger fired while as many incidents were open as may be");
        }
    }

    /// Opens one for a client.
    pub(super) fn open_incident(
        &mut self,
        open: OpenIncident,
        now: Now,
    ) -> Result<Arc<v1::Incident>, Refused> {
        let OpenIncident { filters, client, note } = open;
        let about: Vec<Arc<Workload>> = if filters.is_open() {
            Vec::new()
        } else {
            let listed = self.attributor.listed(now.boot).map(|(known, _)| &known.workload);
            listed.filter(|workload| !workload.sandbox && filters.workload(workload)).cloned().collect()
        };
        let incident = self.incidents.open_by_hand(about, (client, note), now)?;
        let told = self.tell_incident(&incident);
        self.take_snapshot(&incident, now);
        Ok(told)
    }

    /// Closes one for a client; `None` where none is open with that id.
    pub(super) fn close_incident(
        &mut self,
        id: &str,
        client: String,
        note: String,
        now: Now,
    ) -> Option<Arc<v1::Incident>> {
        let incident = self.incidents.close(id, client, note, now)?;
        Some(self.tell_incident(&incident))
    }

    /// Deletes one for a client.
    pub(super) fn delete_incident(&mut self, id: &str, client: String, now: Now) {
        let _was_open = self.incidents.close(id, client, String::new(), now).is_some();
        self.book.delete(id);
    }

    /// What is in memory of a time.
    pub(super) fn past(
        &self,
        since: crate::event::WallTime,
        until: crate::event::WallTime,
        now: Now,
    ) -> Past {
        let (events, complete_since) = self.subscribers.between(since, until);
        let within = |start: crate::event::WallTime| start >= since && start <= until;
        let windows = self.subscribers.windows().filter(|window| within(now.wall_of(window.start)));
        Past { events, complete_since, windows: windows.map(Arc::clone).collect(), now }
    }

    fn tell_incident(&self, incident: &Incident) -> Arc<v1::Incident> {
        self.book.put(&wire::incident(incident, &self.config.node_name, INCOMPLETE))
    }

    /// How all stands: the connections of the workloads concerned first.
    fn take_snapshot(&mut self, incident: &Incident, now: Now) {
        let sampled = self.aggregator.sampled();
        let concerns = |workload: Option<&Arc<Workload>>| {
            workload
                .is_some_and(|workload| incident.workloads.iter().any(|one| one.pod_uid == workload.pod_uid))
        };
        let is_of = |connection: &crate::event::Connection| {
            concerns(Some(&connection.workload)) || concerns(connection.tcp.peer.workload.as_ref())
        };
        let [own, others] = CONNECTIONS;
        let (mut connections, mut total) = self.aggregator.connections(is_of, ConnectionOrder::Worst, own);
        let all: u64 = self.aggregator.tables()[0].entries;
        if all <= SORTED {
            let (more, rest) = self.aggregator.connections(|one| !is_of(one), ConnectionOrder::Worst, others);
            connections.extend(more);
            total += rest;
        } else {
            total = all;
        }
        let status = wire::status(self.status(now), &self.config.node_name, now);
        let workloads = self.list_workloads(&crate::filter::Filters::default(), now);
        let listeners = self.aggregator.listeners(|_| true);
        let mut room = SNAPSHOT_BYTES;
        let snapshot = observer_proto::served::Snapshot {
            time: Some(wire::timestamp(now.wall)),
            status: Some(status),
            connections: fitting(
                connections.iter().map(|one| wire::connection(one, sampled, now)),
                &mut room,
            ),
            connections_total: total,
            listeners: fitting(listeners.iter().map(|one| wire::listener(one, now)), &mut room),
            workloads: fitting(workloads.iter().map(|one| wire::workload_status(one, now)), &mut room),
        };
        let told = v1::Snapshot::decode(snapshot.encode_to_vec().as_slice()).unwrap_or_default();
        self.book.put_opening(&incident.id, told);
    }
}

/// Why not all of an incident is kept, where nothing is recorded.
const INCOMPLETE: &str =
    "nothing is recorded: the incident is lost with the daemon, and what made room in its memory already is";

/// As many as there is room for.
fn fitting<T: prost::Message>(all: impl Iterator<Item = T>, room: &mut usize) -> Vec<T> {
    all.take_while(|one| {
        let bytes = one.encoded_len() + 8;
        let fits = bytes <= *room;
        *room = room.saturating_sub(bytes);
        fits
    })
    .collect()
}
