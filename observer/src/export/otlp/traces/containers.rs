//! Containers: a run that ended with failure is a span, and the restart after it another one in the same trace.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::super::attributes::Attributes;
use super::super::ids::{SpanName, span, trace};
use super::generations::Generations;
use super::incidents::{Incidents, Parties};
use super::span::{Draft, Told, link};
use crate::event::{
    ContainerStart, ContainerStop, EndKind, Ending, Event, WallTime, Workload, signal_name,
};

/// Containers whose last failure is remembered, twice.
const MOST: usize = 1024;

/// Remembers the last failures.
#[derive(Debug)]
pub(super) struct Containers {
    node_name: Arc<str>,
    /// By a hash of what the container is called across its runs.
    last: Generations<[u8; 16], Last>,
}

/// What became of a container last.
#[derive(Clone, Copy, Debug)]
struct Last {
    crash: SpanName,
    /// The restart after it.
    restart: Option<SpanName>,
}

impl Containers {
    pub(super) fn new(node_name: &Arc<str>) -> Self {
        Self { node_name: Arc::clone(node_name), last: Generations::new(MOST) }
    }

    /// A run ended.
    pub(super) fn stop(
        &mut self,
        event: &Event,
        stop: &ContainerStop,
        incidents: &mut Incidents,
        told: &mut Vec<Told>,
    ) -> Option<SpanName> {
        let workload = event.workload.as_ref()?;
        let before = self.last.take(&lineage(workload));
        if !stop.is_failure() {
            return None;
        }
        let run = [workload.container_id.as_str(), &workload.cgroup_id.to_string(), &event.time.0.to_string()];
        let trace = trace(&[&["container", &self.node_name][..], &run[..]].concat());
        let name = SpanName { trace, span: span(trace, "run") };
        self.last.put(lineage(workload), Last { crash: name, restart: None });
        let mut draft = drafted(name, event, stop);
        // The run began with the restart after the last failure.
        let restart = before.and_then(|last| last.restart);
        draft.links.extend(restart.map(|restart| link(restart, "restart that began this run")));
        told.push(joined(draft, Some(workload), incidents));
        Some(name)
    }

    /// A run began.
    pub(super) fn start(
        &mut self,
        event: &Event,
        start: &ContainerStart,
        incidents: &mut Incidents,
        told: &mut Vec<Told>,
    ) -> Option<SpanName> {
        let workload = event.workload.as_ref()?;
        let after = start.since_last_end_ns?;
        let last = self.last.get(lineage(workload))?;
        let crash = last.crash;
        let name = SpanName { trace: crash.trace, span: span(crash.trace, "restart") };
        last.restart = Some(name);
        let mut attributes = Attributes::default();
        attributes.known("observer.container.restarts_seen", Some(start.restarts_seen));
        attributes.seconds("observer.container.down_time", Some(after));
        let draft = Draft {
            name,
            parent: Some(crash.span),
            kind: SpanKind::Internal,
            title: "container restart".to_owned(),
            start: WallTime(event.time.0.saturating_sub(after)),
            end: event.time,
            attributes,
            links: vec![link(crash, "failure before this restart")],
            notes: Vec::new(),
            error: None,
        };
        told.push(joined(draft, Some(workload), incidents));
        Some(name)
    }

    /// The last failure of an event's container.
    pub(super) fn last(&mut self, event: &Event) -> Option<SpanName> {
        let workload = event.workload.as_ref()?;
        self.last.get(lineage(workload)).map(|last| last.crash)
    }
}

/// What a container is called across its runs.
fn lineage(workload: &Workload) -> [u8; 16] {
    let Workload { pod_uid, container, container_id, .. } = workload;
    if pod_uid.is_empty() || container.is_empty() {
        return trace(&["id", container_id]).0;
    }
    trace(&["pod", pod_uid, container]).0
}

fn drafted(name: SpanName, event: &Event, stop: &ContainerStop) -> Draft {
    let kind = end_name(stop.kind());
    let mut attributes = Attributes::default();
    attributes.text("error.type", kind);
    attributes.known("process.exit.code", stop.code());
    if let Some(Ending::Signal { signal, core_dumped }) = stop.ending {
        attributes.text("observer.container.signal", &signal_name(signal));
        attributes.flag("observer.container.core_dumped", core_dumped);
    }
    attributes.flag("observer.container.oom_killed", stop.kind() == EndKind::OomKilled);
    attributes.known("observer.container.restarts_seen", Some(stop.restarts_seen));
    if let Some(runtime) = &stop.runtime {
        attributes.text("k8s.container.status.last_terminated_reason", &runtime.reason);
    }
    Draft {
        name,
        parent: None,
        kind: SpanKind::Internal,
        title: "container run".to_owned(),
        start: WallTime(event.time.0.saturating_sub(stop.run_time_ns.unwrap_or(0))),
        end: event.time,
        attributes,
        links: Vec::new(),
        notes: Vec::new(),
        error: Some(kind.replace('_', " ")),
    }
}

/// The word for how a container ended.
pub(in crate::export::otlp) const fn end_name(kind: EndKind) -> &'static str {
    match kind {
        EndKind::Completed => "completed",
        EndKind::Error => "error",
        EndKind::Signalled => "signalled",
        EndKind::OomKilled => "oom_killed",
        EndKind::KilledAfterGrace => "killed_after_grace",
        EndKind::StartError => "start_error",
        EndKind::CoreDumped => "core_dumped",
        EndKind::Vanished => "vanished",
    }
}

fn joined(mut draft: Draft, workload: Option<&Arc<Workload>>, incidents: &mut Incidents) -> Told {
    let parties = Parties::of(workload.map(Arc::as_ref));
    for (incident, id) in incidents.join(&parties, draft.name) {
        draft.links.push(link(incident, "incident"));
        draft.attributes.text("observer.incident.id", &id);
    }
    draft.finish(workload.cloned())
}
