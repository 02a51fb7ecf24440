//! An incident: what fired, whom it is about, and the time around it that is kept.

use std::net::IpAddr;
use std::sync::Arc;

use super::fired::{Fired, FiredEdge, Grade, TriggerKind};
use super::incidents::Bounds;
use crate::event::{BootTime, Now, Peer, WallTime, Workload, WorkloadId, WorkloadKind};

/// Triggers that are told one by one in an incident; what comes beyond is only counted.
const MOST_FIRINGS: usize = 48;
/// So much of a note is in a title, in characters.
const IN_TITLE: usize = 80;
/// Workloads that are named in one.
const MOST_WORKLOADS: usize = 32;

/// Something that went wrong, while it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Incident {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) firings: Vec<Firing>,
    /// Whom it concerns, whom it is about first.
    pub(crate) workloads: Vec<Arc<Workload>>,
    pub(crate) opened: WallTime,
    pub(crate) closed: Option<WallTime>,
    pub(crate) window_start: WallTime,
    pub(crate) window_end: WallTime,
    /// Who opened it, where a client did, and why.
    pub(crate) client: String,
    pub(crate) note: String,
    /// Who closed it, where a client did, and what was said then.
    pub(crate) closed_by: String,
    pub(crate) closing_note: String,
    /// How often triggers fired that are not told one by one.
    pub(crate) firings_omitted: u64,
    /// When it was opened and when something was last added to it, by the clock that never steps.
    pub(super) opened_boot: BootTime,
    pub(super) last: BootTime,
    /// When it was last told to those who follow.
    pub(super) told: BootTime,
    subjects: Vec<Subject>,
    opener: Opener,
    grade: Grade,
    /// What it is called without what is added for a crash loop.
    base: String,
}

/// Who opened an incident, whatever joined it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    Trigger,
    Session,
    Client,
}

/// A trigger that fired, once or more.
#[derive(Clone, Debug)]
pub(crate) struct Firing {
    pub(crate) fired: Fired,
    pub(crate) first: WallTime,
    pub(crate) last: WallTime,
    pub(crate) count: u64,
}

/// What an incident is about, so that what is about the same joins it: a pod across the runs of its containers, another
/// container, a unit, or who is known by address alone. The machine itself is none, or all would be one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Pod(String),
    Other(String),
    Known(WorkloadId),
    Address(IpAddr),
}

impl Subject {
    pub(super) fn of(workload: &Workload) -> Option<Self> {
        match workload.kind {
            WorkloadKind::Pod if workload.pod_uid.is_empty() => Some(Self::Known(workload.id)),
            WorkloadKind::Pod => Some(Self::Pod(workload.pod_uid.clone())),
            WorkloadKind::Container => Some(Self::Other(workload.container_id.clone())),
            WorkloadKind::Unit => Some(Self::Other(workload.unit.clone())),
            WorkloadKind::Host => None,
        }
    }

    fn of_peer(peer: &Peer, address: Option<IpAddr>) -> Option<Self> {
        match (&peer.workload, &peer.place) {
            (Some(workload), _) => Self::of(workload),
            (None, Some(place)) => Some(Self::Known(place.id)),
            (None, None) => address.map(Self::Address),
        }
    }
}

/// What tells apart what fired, across the runs of containers: which trigger, about whom, and which container or port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sort {
    kind: TriggerKind,
    about: Vec<Subject>,
    container: String,
    port: Option<(u16, bool)>,
}

impl Sort {
    /// Of what fired about these.
    pub(super) fn of(fired: &Fired, about: &[Subject]) -> Self {
        let port = fired.edge.as_deref().map(|of| (of.edge.port, of.edge.outgoing));
        let container = if port.is_some() { String::new() } else { fired.workload.container.clone() };
        Self { kind: fired.kind, about: about.to_vec(), container, port }
    }
}

impl Opener {
    /// Who opens one with this.
    pub(super) fn of(fired: &Fired) -> Self {
        if fired.kind == TriggerKind::DebugSession { Self::Session } else { Self::Trigger }
    }
}

/// Both ends of what fired, whom it is about first.
pub(super) fn subjects(fired: &Fired) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = Subject::of(&fired.workload).into_iter().collect();
    if let Some(edge) = fired.edge.as_deref() {
        let FiredEdge { edge, peer, backend } = edge;
        subjects.extend(Subject::of_peer(peer, edge.address));
        let behind = backend.as_deref().zip(edge.backend);
        subjects.extend(behind.and_then(|(behind, to)| Subject::of_peer(&behind.peer, to.address)));
    }
    subjects
}

impl Incident {
    /// Opened by a trigger.
    pub(super) fn new(id: String, fired: Fired, now: Now, bounds: &Bounds) -> Self {
        let subjects = subjects(&fired);
        let mut incident = Self::empty(id, now, bounds);
        incident.subjects = subjects;
        incident.opener = Opener::of(&fired);
        incident.add(fired, now, bounds);
        incident
    }

    /// Opened by a client about these workloads.
    pub(super) fn by_hand(
        id: String,
        workloads: &[Arc<Workload>],
        (client, note): (String, String),
        now: Now,
        bounds: &Bounds,
    ) -> Self {
        let mut incident = Self::empty(id, now, bounds);
        incident.subjects = workloads.iter().filter_map(|workload| Subject::of(workload)).collect();
        let about = match workloads {
            [] => "the node".to_owned(),
            [one] => super::names::whole(one),
            [one, rest @ ..] => format!("{} and {} more", super::names::whole(one), rest.len()),
        };
        let why = in_short(&note);
        let why = if why.is_empty() { "opened by a client" } else { &why };
        incident.base = format!("{about}: {why}");
        incident.title.clone_from(&incident.base);
        (incident.client, incident.note) = (client, note);
        for workload in workloads {
            incident.name(workload);
        }
        incident
    }

    fn empty(id: String, now: Now, bounds: &Bounds) -> Self {
        Self {
            id,
            title: String::new(),
            firings: Vec::new(),
            workloads: Vec::new(),
            opened: now.wall,
            closed: None,
            window_start: WallTime(now.wall.0.saturating_sub(bounds.before_ns)),
            window_end: WallTime(now.wall.0 + bounds.after_ns),
            client: String::new(),
            note: String::new(),
            closed_by: String::new(),
            closing_note: String::new(),
            firings_omitted: 0,
            opened_boot: now.boot,
            last: now.boot,
            told: now.boot,
            subjects: Vec::new(),
            opener: Opener::Client,
            grade: Grade::Manual,
            base: String::new(),
        }
    }

    /// What has that about it belongs here.
    pub(super) fn is_about(&self, subjects: &[Subject]) -> bool {
        subjects.iter().any(|subject| self.subjects.contains(subject))
    }

    /// Who opened it.
    pub(super) const fn opener(&self) -> Opener {
        self.opener
    }

    /// Adds what fired; true where it is something new, and not the same once more.
    pub(super) fn add(&mut self, fired: Fired, now: Now, bounds: &Bounds) -> bool {
        self.last = now.boot;
        // The wall clock may have been set meanwhile: the window has what was told by either time.
        let start = now.wall_of(self.opened_boot).0.saturating_sub(bounds.before_ns);
        self.window_start = self.window_start.min(WallTime(start));
        self.window_end = self.window_end.max(WallTime(now.wall.0 + bounds.after_ns));
        self.name(&Arc::clone(&fired.workload));
        if let Some(edge) = fired.edge.as_deref() {
            let behind = edge.backend.as_ref().and_then(|backend| backend.peer.workload.clone());
            for workload in [edge.peer.workload.clone(), behind].into_iter().flatten() {
                self.name(&workload);
            }
        }
        let at = now.wall_of(fired.time);
        if let Some(known) = self.firings.iter_mut().find(|known| known.is_same(&fired)) {
            known.count += 1;
            known.last = known.last.max(at);
            let is_session = fired.kind == TriggerKind::DebugSession;
            if is_session {
                // What it has seen by now.
                known.fired.reason = fired.reason;
            }
            return is_session;
        }
        let is_gravest = fired.grade > self.grade;
        if self.firings.len() >= MOST_FIRINGS {
            // What names the incident is always told.
            let left_out = if is_gravest { self.firings.pop() } else { None };
            self.firings_omitted += left_out.map_or(1, |last| last.count);
            if !is_gravest {
                return false;
            }
        }
        if is_gravest {
            self.grade = fired.grade;
            self.base.clone_from(&fired.title);
        }
        self.firings.push(Firing { first: at, last: at, count: 1, fired });
        let again = self.firings.iter().any(|firing| firing.fired.kind == TriggerKind::CrashLoop);
        let suffix = if again && self.grade >= Grade::Loop { ", again and again" } else { "" };
        self.title = format!("{}{suffix}", self.base);
        true
    }

    fn name(&mut self, workload: &Arc<Workload>) {
        // The host is an end of many edges and says nothing, unless it alone is what this is about.
        if workload.kind == WorkloadKind::Host && !self.workloads.is_empty() {
            return;
        }
        let same = |known: &Arc<Workload>| known.id == workload.id;
        if let Some(known) = self.workloads.iter_mut().find(|known| same(known)) {
            *known = Arc::clone(workload);
        } else if self.workloads.len() < MOST_WORKLOADS {
            self.workloads.push(Arc::clone(workload));
        }
    }
}

impl Firing {
    /// The same trigger about the same: a container across its runs, an edge.
    fn is_same(&self, fired: &Fired) -> bool {
        let edge = |of: &Fired| of.edge.as_ref().map(|edge| edge.edge.clone());
        self.fired.kind == fired.kind
            && match (edge(&self.fired), edge(fired)) {
                (None, None) => same_container(&self.fired.workload, &fired.workload),
                (known, other) => known == other,
            }
    }
}

/// The beginning of a note, in one line.
fn in_short(note: &str) -> String {
    let line = note.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    match line.char_indices().nth(IN_TITLE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

fn same_container(a: &Workload, b: &Workload) -> bool {
    a.id == b.id || (!a.pod_uid.is_empty() && a.pod_uid == b.pod_uid && a.container == b.container)
}
