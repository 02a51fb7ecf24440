//! Containers: a run that ended with failure is a span, and the restart after it another one in the same trace.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::super::attributes::Attributes;
use super::super::ids::{SpanName, span, trace};
use super::generations::Generations;
use super::incidents::{Incidents, Parties};
use super::span::{Draft, Told, link};
use crate::event::{ContainerStart, ContainerStop, EndKind, Ending, Event, WallTime, Workload, signal_name};

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
#[derive(Clone, Debug)]
enum Last {
    /// It failed, and was perhaps restarted since.
    Failed { crash: SpanName, end: WallTime, restart: Option<SpanName> },
    /// It began, and no failure before that was told: that may still come, as it waits for the runtime's word.
    Began(Began),
}

/// A run that began.
#[derive(Clone, Debug)]
struct Began {
    time: WallTime,
    workload: Arc<Workload>,
    restarts_seen: u32,
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
        let next = match &before {
            Some(Last::Began(began)) if !is_same_run(&began.workload, workload) => Some(began.clone()),
            Some(Last::Began(_) | Last::Failed { .. }) | None => None,
        };
        if !stop.is_failure() {
            // What began meanwhile did not begin after a failure.
            return None;
        }
        let run =
            [workload.container_id.as_str(), &workload.cgroup_id.to_string(), &event.time.0.to_string()];
        let trace = trace(&[&["container", &self.node_name][..], &run[..]].concat());
        let name = SpanName { trace, span: span(trace, "run") };
        let mut draft = drafted(name, event, stop);
        if let Some(Last::Failed { restart: Some(restart), .. }) = before {
            draft.links.push(link(restart, "restart that began this run"));
        }
        told.push(joined(draft, Some(workload), incidents));
        let restart = next.map(|next| restarted(name, event.time, &next, incidents, told));
        self.last.put(lineage(workload), Last::Failed { crash: name, end: event.time, restart });
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
        let began =
            Began { time: event.time, workload: Arc::clone(workload), restarts_seen: start.restarts_seen };
        let key = lineage(workload);
        let Some(Last::Failed { crash, end, restart: None }) = self.last.take(&key) else {
            self.last.put(key, Last::Began(began));
            return None;
        };
        let name = restarted(crash, end, &began, incidents, told);
        self.last.put(key, Last::Failed { crash, end, restart: Some(name) });
        Some(name)
    }

    /// The last failure of an event's container.
    pub(super) fn last(&mut self, event: &Event) -> Option<SpanName> {
        match self.last.get(lineage(event.workload.as_ref()?))? {
            Last::Failed { crash, .. } => Some(*crash),
            Last::Began(_) => None,
        }
    }
}

/// A container was started again after it had failed.
fn restarted(
    crash: SpanName,
    end: WallTime,
    began: &Began,
    incidents: &mut Incidents,
    told: &mut Vec<Told>,
) -> SpanName {
    let Began { time, workload, restarts_seen } = began;
    let name = SpanName { trace: crash.trace, span: span(crash.trace, "restart") };
    let mut attributes = Attributes::default();
    attributes.known("observer.container.restarts_seen", Some(*restarts_seen));
    attributes.seconds("observer.container.down_time", Some(time.0.saturating_sub(end.0)));
    let draft = Draft {
        name,
        parent: Some(crash.span),
        kind: SpanKind::Internal,
        title: "container restart".to_owned(),
        start: end,
        end: *time,
        attributes,
        links: vec![link(crash, "failure before this restart")],
        notes: Vec::new(),
        error: None,
    };
    told.push(joined(draft, Some(workload), incidents));
    name
}

fn is_same_run(a: &Workload, b: &Workload) -> bool {
    a.container_id == b.container_id && a.cgroup_id == b.cgroup_id
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
    draft.join(&incidents.join(parties, draft.name, draft.end));
    draft.finish(workload.cloned())
}
