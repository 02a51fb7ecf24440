//! What is told of the daemon itself: its status, incidents, and how the series do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use observer_proto::v1::{Firing, Incident, IncidentState, TriggerKind};

use super::series::Figures;
use super::subject::Exemplar;
use crate::event::{LossSource, WallTime};
use crate::status::Status;
use crate::wire::wall_time;

/// What opens incidents.
pub(crate) const TRIGGERS: [TriggerKind; 10] = [
    TriggerKind::Manual,
    TriggerKind::ContainerFailure,
    TriggerKind::OomKill,
    TriggerKind::CrashLoop,
    TriggerKind::ConnectFailures,
    TriggerKind::Retransmits,
    TriggerKind::Resets,
    TriggerKind::Latency,
    TriggerKind::Stall,
    TriggerKind::DebugSession,
];

/// The daemon at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    /// `None` where the event loop does not answer.
    pub(crate) status: Option<Status>,
    pub(crate) node_name: String,
    pub(crate) incidents: Incidents,
    pub(crate) series: Figures,
}

impl Own {
    /// What was lost, by where and what; CPUs are put together.
    pub(crate) fn losses(&self) -> BTreeMap<(LossSource, &'static str), u64> {
        let mut losses = BTreeMap::new();
        for loss in self.status.iter().flat_map(|status| &status.losses) {
            *losses.entry((loss.source, loss.kind)).or_default() += loss.count;
        }
        losses
    }
}

/// Incidents since the daemon began, by what opened them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incidents {
    open: BTreeMap<String, TriggerKind>,
    opened: BTreeMap<TriggerKind, u64>,
    newest: BTreeMap<TriggerKind, Exemplar>,
    /// When the last of those that were counted was opened.
    counted: WallTime,
}

/// How many incidents one kind of trigger opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) opened: u64,
    pub(crate) open: u64,
}

impl Incidents {
    /// An incident is so now. One that is closed and was never told as open is an old one.
    pub(crate) fn put(&mut self, incident: &Incident) {
        let is_open = incident.state() == IncidentState::Open;
        if !is_open {
            self.open.remove(&incident.id);
            return;
        }
        if self.open.insert(incident.id.clone(), trigger_of(incident)).is_none() {
            self.count(incident);
        }
    }

    fn count(&mut self, incident: &Incident) {
        let (trigger, time) = (trigger_of(incident), opened(incident));
        *self.opened.entry(trigger).or_default() += 1;
        self.counted = self.counted.max(time);
        if self.newest.get(&trigger).is_none_or(|newest| newest.time <= time) {
            self.newest.insert(trigger, Exemplar { incident: incident.id.clone(), count: 1, time });
        }
    }

    /// Changes were missed, and these are all that there are now. Those that are open are told after this.
    pub(crate) fn missed(&mut self, known: &[Arc<Incident>]) {
        let ids: BTreeSet<&str> = known.iter().map(|one| one.id.as_str()).collect();
        self.open.retain(|id, _| ids.contains(id.as_str()));
        // Before the first one nothing says which are old.
        let counted = self.counted;
        if counted == WallTime::default() {
            return;
        }
        for incident in known.iter().filter(|one| opened(one) > counted) {
            if incident.state() != IncidentState::Open && !self.open.contains_key(&incident.id) {
                self.count(incident);
            }
        }
    }

    /// It is no more.
    pub(crate) fn delete(&mut self, id: &str) {
        self.open.remove(id);
    }

    /// Each kind of trigger with its counts, also those that opened nothing.
    pub(crate) fn each(&self) -> impl Iterator<Item = (TriggerKind, Count)> {
        TRIGGERS.into_iter().map(|trigger| {
            let opened = self.opened.get(&trigger).copied().unwrap_or(0);
            let open = self.open.values().filter(|of| **of == trigger).count() as u64;
            (trigger, Count { opened, open })
        })
    }

    /// The newest incident that a trigger of that name opened.
    pub(crate) fn exemplar(&self, trigger: &str) -> Option<&Exemplar> {
        let kind = TRIGGERS.into_iter().find(|kind| trigger_name(*kind) == trigger)?;
        self.newest.get(&kind)
    }
}

fn trigger_of(incident: &Incident) -> TriggerKind {
    incident.firings.first().map_or(TriggerKind::Manual, Firing::kind)
}

fn opened(incident: &Incident) -> WallTime {
    incident.open_time.as_ref().map(wall_time).unwrap_or_default()
}

/// How a trigger is called.
pub(crate) const fn trigger_name(trigger: TriggerKind) -> &'static str {
    match trigger {
        TriggerKind::Unspecified => "",
        TriggerKind::Manual => "manual",
        TriggerKind::ContainerFailure => "container_failure",
        TriggerKind::OomKill => "oom_kill",
        TriggerKind::CrashLoop => "crash_loop",
        TriggerKind::ConnectFailures => "connect_failures",
        TriggerKind::Retransmits => "retransmits",
        TriggerKind::Resets => "resets",
        TriggerKind::Latency => "latency",
        TriggerKind::Stall => "stall",
        TriggerKind::DebugSession => "debug_session",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(id: &str, state: IncidentState, kind: TriggerKind) -> Incident {
        let firings = vec![Firing { kind: kind.into(), ..Firing::default() }];
        Incident { id: id.to_owned(), state: state.into(), firings, ..Incident::default() }
    }

    fn at(second: i64, incident: Incident) -> Arc<Incident> {
        let open_time = Some(prost_types::Timestamp { seconds: second, nanos: 0 });
        Arc::new(Incident { open_time, ..incident })
    }

    #[test]
    fn what_was_missed_is_counted_and_what_is_gone_is_not_open() {
        let kind = TriggerKind::OomKill;
        let (open, closed) = (IncidentState::Open, IncidentState::Closed);
        let mut incidents = Incidents::default();
        incidents.put(&at(5, incident("deleted", open, kind)));
        incidents.put(&at(6, incident("closed", open, kind)));
        let known = [
            at(1, incident("old", closed, kind)),
            at(6, incident("closed", closed, kind)),
            at(7, incident("short", closed, kind)),
            at(8, incident("new", open, kind)),
        ];
        incidents.missed(&known);
        known.iter().for_each(|one| incidents.put(one));
        let of = incidents.each().find(|(trigger, _)| *trigger == kind).unwrap().1;
        assert_eq!(of, Count { opened: 4, open: 1 }, "{incidents:?}");
        assert_eq!(incidents.exemplar("oom_kill").unwrap().incident, "new");
        // One that was opened before is told of later.
        incidents.put(&at(2, incident("late", open, kind)));
        assert_eq!(incidents.exemplar("oom_kill").unwrap().incident, "new");
    }

    #[test]
    fn each_incident_is_counted_once() {
        let mut incidents = Incidents::default();
        incidents.put(&incident("a", IncidentState::Open, TriggerKind::OomKill));
        incidents.put(&incident("a", IncidentState::Open, TriggerKind::OomKill));
        incidents.put(&incident("b", IncidentState::Open, TriggerKind::OomKill));
        incidents.put(&incident("a", IncidentState::Closed, TriggerKind::OomKill));
        incidents.put(&incident("old", IncidentState::Closed, TriggerKind::Stall));
        let of = |kind| incidents.each().find(|(trigger, _)| *trigger == kind).unwrap().1;
        assert_eq!(of(TriggerKind::OomKill), Count { opened: 2, open: 1 });
        assert_eq!(of(TriggerKind::Stall), Count::default());
        assert_eq!(incidents.exemplar("oom_kill").unwrap().incident, "b");
        incidents.delete("b");
        assert!(incidents.each().all(|(_, count)| count.open == 0));
    }
}
