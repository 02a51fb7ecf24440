//! The triggers that fired: when the incident was opened, and why.

use observer_proto::v1::{Evidence, Firing, Incident, TimelineKind, TriggerKind};

use super::line::{Line, STUCK};
use super::nanos;
use super::order::Moments;
use crate::units::duration;

/// What lasted for less is not said to have gone on.
const LASTED_NS: u64 = 2_000_000_000;

/// A line for each trigger of an edge, and for a client's hand. Ends of containers are events, and told as such.
pub(super) fn lines(incident: &Incident, moments: &Moments, told: &[Line]) -> Vec<Line> {
    let mut lines = Vec::new();
    for firing in &incident.firings {
        match firing.kind() {
            TriggerKind::ConnectFailures
            | TriggerKind::Retransmits
            | TriggerKind::Resets
            | TriggerKind::Latency => {
                lines.extend(line(firing, moments).map(|line| line.asks(Some(&asked(firing)))));
            }
            TriggerKind::Stall => {
                lines.extend(line(firing, moments));
                lines.extend(began(firing, moments, told));
            }
            TriggerKind::Unspecified
            | TriggerKind::Manual
            | TriggerKind::ContainerFailure
            | TriggerKind::OomKill
            | TriggerKind::CrashLoop => {}
            TriggerKind::DebugSession => lines.extend(watched(firing, moments)),
        }
    }
    if incident.firings.is_empty()
        && let Some(time) = &incident.open_time
    {
        let who = if incident.client.is_empty() { "a client" } else { incident.client.as_str() };
        let note = if incident.note.is_empty() { String::new() } else { format!(": {}", incident.note) };
        let text = format!("{who} opened the incident{note}");
        lines.push(Line::new(moments.beside(nanos(time)), TimelineKind::Action, text));
    }
    lines
}

/// That a client watched closely, and what he saw by the end.
fn watched(firing: &Firing, moments: &Moments) -> Option<Line> {
    let at = moments.beside(nanos(firing.first_time.as_ref()?));
    let line = Line::new(at, TimelineKind::Action, firing.reason.clone());
    Some(line.of(firing.workload.as_ref()))
}

fn line(firing: &Firing, moments: &Moments) -> Option<Line> {
    let first = nanos(firing.first_time.as_ref()?);
    let last = firing.last_time.as_ref().map_or(first, nanos);
    let lasted = u64::try_from(last - first).unwrap_or(0);
    let went_on =
        if lasted >= LASTED_NS { format!("; it went on for {}", duration(lasted)) } else { String::new() };
    let text = format!("{}{went_on}", firing.reason);
    let line = Line::new(moments.beside(first), TimelineKind::Failure, text).of(firing.workload.as_ref());
    Some(line.with(firing.evidence.iter().cloned()).weighs(firing.count))
}

/// Who is asked on its edge; empty where nobody knows.
fn asked(firing: &Firing) -> String {
    let edge = firing.edge.as_ref();
    let server = match edge {
        Some(edge) if edge.outgoing => edge.workload.as_ref(),
        Some(_) | None => firing.workload.as_ref(),
    };
    server.map_or_else(String::new, super::names::key)
}

/// When what stands still began to, where no window has told that.
fn began(firing: &Firing, moments: &Moments, told: &[Line]) -> Option<Line> {
    let own = |line: &&Line| {
        line.cause == STUCK
            && line.workload.as_ref().map(|of| &of.container_id)
                == firing.workload.as_ref().map(|of| &of.container_id)
    };
    let lasted = |of: &&Evidence| matches!(of.figure.as_str(), "accept_wait" | "unread_time");
    let lasted = firing.evidence.iter().find(lasted)?.value;
    if told.iter().any(|line| own(&line)) {
        return None;
    }
    let workload = firing.workload.as_ref()?;
    let port = firing.edge.as_ref().map_or(0, |edge| edge.port);
    let what = if firing.evidence.iter().any(|of| of.figure == "accept_wait") {
        "stops accepting connections on"
    } else {
        "stops reading what is sent to it on"
    };
    let at = moments.beside(nanos(firing.first_time.as_ref()?)).before(lasted);
    let text = format!("{} {what} :{port}", super::names::whole(workload));
    Some(Line::new(at, TimelineKind::Symptom, text).of(Some(workload)).may_be(STUCK))
}
