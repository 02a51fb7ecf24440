//! What is told of the daemon itself: its status, incidents, and how the series do.

use std::collections::BTreeMap;

use observer_proto::v1::{Firing, Incident, IncidentState, TriggerKind};

use super::series::Figures;
use super::subject::Exemplar;
use crate::event::LossSource;
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
        let trigger = incident.firings.first().map_or(TriggerKind::Manual, Firing::kind);
        if self.open.insert(incident.id.clone(), trigger).is_some() {
            return;
        }
        *self.opened.entry(trigger).or_default() += 1;
        let time = incident.open_time.as_ref().map(wall_time).unwrap_or_default();
        self.newest.insert(trigger, Exemplar { incident: incident.id.clone(), count: 1, time });
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
