//! Incidents on the wire.

use observer_proto::served as v1;

use super::diagnosis::evidence;
use super::summary::edge;
use super::{timestamp, workload};
use crate::trigger::{Fired, FiredEdge, Firing, Incident, TriggerKind};

/// An incident as it is now.
pub(crate) fn incident(incident: &Incident, node_name: &str, incomplete: &str) -> v1::Incident {
    let Incident {
        id,
        title,
        firings,
        workloads,
        opened,
        closed,
        window_start,
        window_end,
        client,
        note,
        closed_by,
        closing_note,
        firings_omitted,
        ..
    } = incident;
    let state = if closed.is_some() { v1::IncidentState::Closed } else { v1::IncidentState::Open };
    v1::Incident {
        id: id.clone(),
        title: title.clone(),
        state: state.into(),
        firings: firings.iter().map(firing).collect(),
        workloads: workloads.iter().map(|one| workload(one)).collect(),
        node_name: node_name.to_owned(),
        open_time: Some(timestamp(*opened)),
        close_time: closed.map(timestamp),
        window_start: Some(timestamp(*window_start)),
        window_end: Some(timestamp(*window_end)),
        client: client.clone(),
        note: note.clone(),
        incomplete: incomplete.to_owned(),
        closed_by: closed_by.clone(),
        closing_note: closing_note.clone(),
        firings_omitted: *firings_omitted,
    }
}

fn firing(firing: &Firing) -> v1::Firing {
    let Firing { fired, first, last, count } = firing;
    let Fired { kind, grade: _, time: _, title: _, reason, workload: owner, edge: of, evidence: figures } =
        fired;
    let told = |of: &FiredEdge| {
        let FiredEdge { edge: to, peer, backend } = of;
        edge(to, peer, backend.as_deref())
    };
    v1::Firing {
        kind: trigger_kind(*kind).into(),
        first_time: Some(timestamp(*first)),
        last_time: Some(timestamp(*last)),
        count: *count,
        reason: reason.clone(),
        workload: Some(workload(owner)),
        edge: of.as_deref().map(told),
        evidence: figures.iter().map(evidence).collect(),
    }
}

const fn trigger_kind(kind: TriggerKind) -> v1::TriggerKind {
    match kind {
        TriggerKind::ContainerFailure => v1::TriggerKind::ContainerFailure,
        TriggerKind::OomKill => v1::TriggerKind::OomKill,
        TriggerKind::CrashLoop => v1::TriggerKind::CrashLoop,
        TriggerKind::ConnectFailures => v1::TriggerKind::ConnectFailures,
        TriggerKind::Retransmits => v1::TriggerKind::Retransmits,
        TriggerKind::Resets => v1::TriggerKind::Resets,
        TriggerKind::Latency => v1::TriggerKind::Latency,
        TriggerKind::Stall => v1::TriggerKind::Stall,
        TriggerKind::DebugSession => v1::TriggerKind::DebugSession,
    }
}
