//! Incidents: what triggers find, kept and told; and what clients ask of them.

use std::sync::Arc;

use observer_proto::v1;

use super::Core;
use crate::event::{BootTime, Connection, ConnectionOrder, Now, WallTime, Workload};
use crate::filter::Filters;
use crate::serve::{Connections, OpenIncident, Opening, Past, Standing};
use crate::status::{Recorder, RecorderState};
use crate::trigger::{Fired, Incident, Refused};
use crate::wire;

/// Connections of the workloads concerned that a snapshot has.
const OWN_CONNECTIONS: usize = 2_000;
/// Connections of others that it has.
const OTHER_CONNECTIONS: usize = 500;
/// With more of them than this the others are left out: all would have to be sorted.
const SORTED: u64 = 50_000;
/// No snapshot has room for more listeners or workloads.
const MOST_LISTED: usize = 20_000;
/// For so long what incidents have in common is gathered once: a second.
const STANDING_NS: u64 = 1_000_000_000;

impl Core<'_> {
    /// Opens incidents with what fired, or adds it to those that are open.
    pub(super) fn fired(&mut self, fired: impl IntoIterator<Item = Fired>, now: Now) {
        for fired in fired {
            let Some((incident, is_new)) = self.incidents.fired(fired, now) else { continue };
            let (incident, id) = (incident.clone(), incident.id.clone());
            if is_new {
                log::info!("incident {id}: {}", incident.title.escape_debug());
            }
            let opening = is_new.then(|| self.opening(&incident, now));
            self.tell_incident(&incident, opening);
        }
    }

    /// Closes those that are over.
    pub(super) fn advance_incidents(&mut self, now: Now) {
        for incident in self.incidents.advance(now) {
            self.tell_incident(&incident, None);
        }
        let _old = self.standing.take_if(|(gathered, _)| now.boot.since_ns(*gathered) >= STANDING_NS);
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
        let opening = self.opening(&incident, now);
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
    fn tell_incident(&self, incident: &Incident, opening: Option<Opening>) -> Arc<v1::Incident> {
        let told = self.book.put(&wire::incident(incident, &self.config.node_name, &self.incomplete()));
        if let Some(keeper) = &self.keeper {
            keeper.put(v1::Incident::clone(&told), opening);
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

    /// How all stands, the connections of the workloads concerned apart.
    fn opening(&mut self, incident: &Incident, now: Now) -> Opening {
        let sampled = self.aggregator.sampled();
        let concerns = |workload: &Workload| incident.workloads.iter().any(|one| same_pod(one, workload));
        let is_of = |connection: &Connection| {
            concerns(&connection.workload) || connection.tcp.peer.workload.as_deref().is_some_and(concerns)
        };
        let (own, _) = self.aggregator.connections(is_of, ConnectionOrder::Worst, OWN_CONNECTIONS);
        Opening { time: now.wall, own: told(&own, sampled, now), standing: self.standing(now) }
    }

    /// What is of no one incident: many may be opened at once, and it is gathered for all of them.
    fn standing(&mut self, now: Now) -> Arc<Standing> {
        if let Some((gathered, standing)) = &self.standing
            && now.boot.since_ns(*gathered) < STANDING_NS
        {
            return Arc::clone(standing);
        }
        let sampled = self.aggregator.sampled();
        let connections_total = self.aggregator.tables()[0].entries;
        let most = if connections_total <= SORTED { OTHER_CONNECTIONS } else { 0 };
        let (connections, _) = self.aggregator.connections(|_| most > 0, ConnectionOrder::Worst, most);
        let workloads = self.list_workloads(&Filters::default(), now);
        let listeners = self.aggregator.listeners(|_| true);
        let standing = Arc::new(Standing {
            status: wire::status(self.status(now), &self.config.node_name, now),
            connections: told(&connections, sampled, now),
            connections_total,
            listeners: listeners.iter().take(MOST_LISTED).map(|one| wire::listener(one, now)).collect(),
            workloads: workloads
                .iter()
                .take(MOST_LISTED)
                .map(|one| wire::workload_status(one, now))
                .collect(),
        });
        self.standing = Some((now.boot, Arc::clone(&standing)));
        standing
    }
}

fn told(connections: &[Connection], sampled: BootTime, now: Now) -> Connections {
    connections.iter().map(|one| (one.tcp.id, wire::connection(one, sampled, now))).collect()
}

/// The same workload, or another container of the same pod.
fn same_pod(a: &Workload, b: &Workload) -> bool {
    a.id == b.id || (!a.pod_uid.is_empty() && a.pod_uid == b.pod_uid)
}

/// Why not all of an incident is kept, where nothing is recorded.
const INCOMPLETE: &str =
    "nothing is recorded: the incident is lost with the daemon, and what made room in its memory already is";
