//! Incidents: what triggers find, kept and told; and what clients ask of them.

use std::sync::Arc;

use observer_proto::{served, v1};
use prost::Message as _;

use super::Core;
use crate::event::{Connection, ConnectionOrder, Now, WallTime, Workload};
use crate::filter::Filters;
use crate::serve::{OpenIncident, Past};
use crate::status::{Recorder, RecorderState};
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
            let opening = is_new.then(|| self.snapshot(&incident, now));
            self.tell_incident(&incident, opening);
        }
    }

    /// Closes those that are over.
    pub(super) fn advance_incidents(&mut self, now: Now) {
        for incident in self.incidents.advance(now) {
            self.tell_incident(&incident, None);
        }
        let loaded = self.book.take_loaded();
        self.incidents.know(loaded.iter().map(String::as_str));
        let refused = self.incidents.take_refused(now.boot);
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
        if about.is_empty() && !filters.is_open() {
            return Err(Refused::NothingMatches);
        }
        let incident = self.incidents.open_by_hand(&about, (client, note), now)?;
        let opening = self.snapshot(&incident, now);
        Ok(self.tell_incident(&incident, Some(opening)))
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
        Some(self.tell_incident(&incident, None))
    }

    /// Deletes one for a client.
    pub(super) fn delete_incident(&mut self, id: &str, client: String, now: Now) {
        let _was_open = self.incidents.close(id, client, String::new(), now).is_some();
        self.book.delete(id);
        if let Some(keeper) = &self.keeper {
            keeper.delete(id.to_owned());
        }
    }

    /// What is in memory of a time.
    pub(super) fn past(&self, since: WallTime, until: WallTime, now: Now) -> Past {
        let (events, complete_since) = self.subscribers.between(since, until);
        let within = |start: WallTime| start >= since && start <= until;
        let windows = self.subscribers.windows().filter(|window| within(now.wall_of(window.start)));
        Past { events, complete_since, windows: windows.map(Arc::clone).collect(), now }
    }

    /// Tells how an incident is now, and has it kept.
    fn tell_incident(&self, incident: &Incident, opening: Option<v1::Snapshot>) -> Arc<v1::Incident> {
        let told = self.book.put(&wire::incident(incident, &self.config.node_name, &self.incomplete()));
        if let Some(keeper) = &self.keeper {
            keeper.put(v1::StoredIncident { incident: Some(v1::Incident::clone(&told)), opening });
        } else if let Some(opening) = opening {
            self.book.put_opening(&told.id, opening);
        }
        told
    }

    /// Why not all of what happens now is kept.
    fn incomplete(&self) -> String {
        let Some(recorder) = &self.recorder else { return INCOMPLETE.to_owned() };
        let Recorder { state, reason, .. } = recorder.status(self.clock);
        match state {
            RecorderState::Recording | RecorderState::Opening => String::new(),
            RecorderState::Paused | RecorderState::Refused | RecorderState::Off => {
                format!("nothing was recorded at the time: {reason}")
            }
        }
    }

    /// How all stands: the connections of the workloads concerned first.
    fn snapshot(&mut self, incident: &Incident, now: Now) -> v1::Snapshot {
        let sampled = self.aggregator.sampled();
        let concerns = |workload: Option<&Arc<Workload>>| {
            workload.is_some_and(|workload| incident.workloads.iter().any(|one| same_pod(one, workload)))
        };
        let is_of = |connection: &Connection| {
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
        let workloads = self.list_workloads(&Filters::default(), now);
        let listeners = self.aggregator.listeners(|_| true);
        let mut room = SNAPSHOT_BYTES;
        let snapshot = served::Snapshot {
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
        v1::Snapshot::decode(snapshot.encode_to_vec().as_slice()).unwrap_or_default()
    }
}

/// The same workload, or another container of the same pod.
fn same_pod(a: &Workload, b: &Workload) -> bool {
    a.id == b.id || (!a.pod_uid.is_empty() && a.pod_uid == b.pod_uid)
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
