//! Incidents as spans, and what belongs to those that are open.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use observer_proto::v1;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::super::attributes::Attributes;
use super::super::ids::{SpanName, incident as incident_name};
use super::RECENT_NS;
use super::span::{Draft, Told, link, note};
use crate::event::{PeerKind, Tcp, WallTime, Workload, WorkloadKind};
use crate::export::metrics::own::trigger_name;
use crate::wire::wall_time;

/// Spans that an incident's span has links to; and connections that are told because of one.
const MOST: usize = 256;
/// Incidents that are open are few; this is a bound for what nobody closes.
const MOST_OPEN: usize = 256;

/// Spans that were told of late, which an incident may be opened about.
const MOST_RECENT: usize = 1_024;

/// Those that are open.
#[derive(Debug)]
pub(super) struct Incidents {
    node_name: Arc<str>,
    open: BTreeMap<String, Open>,
    recent: VecDeque<Recent>,
}

/// A span that was told, and who has part in it.
#[derive(Debug)]
struct Recent {
    parties: Parties,
    name: SpanName,
    end: WallTime,
}

#[derive(Debug)]
struct Open {
    name: SpanName,
    about: Vec<About>,
    links: Vec<SpanName>,
    /// Spans and connections that found no room in them.
    omitted: u64,
}

/// What a trigger fired about: a workload, or an edge of it.
#[derive(Debug, PartialEq, Eq)]
struct About {
    who: Option<String>,
    /// The port of the side that listens, and the other side, by its name or address.
    edge: Option<(u32, Option<String>, Option<IpAddr>)>,
}

/// Who has part in something.
#[derive(Debug, Default)]
pub(super) struct Parties {
    who: Vec<String>,
    /// The port of the side that listens, and the far side's addresses.
    edge: Option<(u32, Vec<IpAddr>)>,
}

impl Parties {
    /// Of a container's run.
    pub(super) fn of(workload: Option<&Workload>) -> Self {
        Self { who: workload.and_then(identity).into_iter().collect(), edge: None }
    }

    /// Of a connection.
    pub(super) fn of_connection(owner: Option<&Workload>, tcp: &Tcp) -> Self {
        let far = tcp.peer.workload.as_deref().filter(|_| tcp.peer.kind != PeerKind::Loopback);
        let behind = tcp.backend.as_deref().and_then(|backend| backend.peer.workload.as_deref());
        let who = [owner, far, behind].into_iter().flatten().filter_map(identity).collect();
        let port = if tcp.outgoing { tcp.remote.port() } else { tcp.local.port() };
        let addresses = [tcp.remote, tcp.answering()].map(|address| address.ip().to_canonical());
        Self { who, edge: Some((port.into(), addresses.to_vec())) }
    }
}

impl About {
    fn of(firing: &v1::Firing) -> Self {
        let told = |workload: &v1::Workload| identity(&crate::filter::told_workload(workload));
        let who = firing.workload.as_ref().and_then(told);
        let edge = firing.edge.as_ref().map(|edge| {
            let backend = edge.backend.as_ref().and_then(|backend| backend.workload.as_ref());
            let other = edge.workload.as_ref().or(backend).and_then(told);
            (edge.port, other, edge.address.parse::<IpAddr>().ok())
        });
        Self { who, edge }
    }

    fn fits(&self, parties: &Parties) -> bool {
        let has = |who: &Option<String>| who.as_ref().is_some_and(|who| parties.who.contains(who));
        match (&self.edge, &parties.edge) {
            (None, _) => has(&self.who),
            (Some(_), None) => false,
            (Some((port, other, address)), Some((own_port, addresses))) => {
                let is_there = has(other) || address.is_some_and(|address| addresses.contains(&address));
                let is_whose = self.who.is_none() || has(&self.who);
                port == own_port && is_whose && is_there
            }
        }
    }
}

impl Incidents {
    pub(super) fn new(node_name: &Arc<str>) -> Self {
        Self { node_name: Arc::clone(node_name), open: BTreeMap::new(), recent: VecDeque::new() }
    }

    /// One is so now: its span, and whether it was not known. Told as a span once it is closed.
    pub(super) fn put(&mut self, incident: &v1::Incident, told: &mut Vec<Told>) -> (SpanName, bool) {
        let name = incident_name(&incident.id, &self.node_name);
        if incident.state() == v1::IncidentState::Closed {
            // One that was never open here is an old one.
            if let Some(open) = self.open.remove(&incident.id) {
                told.push(drafted(incident, &open).finish(workload(incident)));
            }
            return (name, false);
        }
        let is_new = !self.open.contains_key(&incident.id);
        if is_new && self.open.len() >= MOST_OPEN {
            self.open.pop_first();
        }
        let empty = || Open { name, about: Vec::new(), links: Vec::new(), omitted: 0 };
        let open = self.open.entry(incident.id.clone()).or_insert_with(empty);
        let known =
            std::mem::replace(&mut open.about, incident.firings.iter().map(About::of).collect::<Vec<_>>());
        let is_more = is_new || open.about.len() > known.len();
        if is_more {
            // What failed is told before the incident that is opened about it.
            let opened = incident.open_time.as_ref().map(wall_time).unwrap_or_default();
            let since = WallTime(opened.0.saturating_sub(RECENT_NS));
            for recent in self.recent.iter().filter(|recent| recent.end >= since) {
                let was_known = known.iter().any(|about| about.fits(&recent.parties));
                if !was_known && open.is_about(&recent.parties) {
                    open.link(recent.name);
                }
            }
        }
        (name, is_more)
    }

    pub(super) fn delete(&mut self, id: &str) {
        self.open.remove(id);
    }

    /// None is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What these have part in belongs to an open incident, and is told because of that. No more than so many are.
    pub(super) fn want(&self, parties: &Parties) -> bool {
        self.open.values().any(|open| open.links.len() < MOST && open.is_about(parties))
    }

    /// What these had part in has ended, and is not told. Incidents that it belongs to have no room for it.
    pub(super) fn omit(&mut self, parties: &Parties) {
        for open in self.open.values_mut().filter(|open| open.is_about(parties)) {
            open.omitted += 1;
        }
    }

    /// A span of theirs is told: both spans are linked. The incidents' names and ids.
    pub(super) fn join(
        &mut self,
        parties: Parties,
        name: SpanName,
        end: WallTime,
    ) -> Vec<(SpanName, String)> {
        let fitting = self.open.iter_mut().filter(|(_, open)| open.is_about(&parties));
        let joined = fitting
            .map(|(id, open)| {
                open.link(name);
                (open.name, id.clone())
            })
            .collect();
        if self.recent.len() >= MOST_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { parties, name, end });
        joined
    }
}

impl Open {
    fn link(&mut self, name: SpanName) {
        if self.links.contains(&name) {
            return;
        }
        if self.links.len() < MOST {
            self.links.push(name);
        } else {
            self.omitted += 1;
        }
    }

    fn is_about(&self, parties: &Parties) -> bool {
        self.about.iter().any(|about| about.fits(parties))
    }
}

/// What a workload is called across its containers' runs; nothing of the machine, which has part in everything.
fn identity(workload: &Workload) -> Option<String> {
    match workload.kind {
        WorkloadKind::Pod if !workload.pod_uid.is_empty() => Some(workload.pod_uid.clone()),
        WorkloadKind::Pod => Some(format!("{}/{}", workload.namespace, workload.pod)),
        WorkloadKind::Container => Some(workload.container_id.clone()),
        WorkloadKind::Unit => Some(workload.unit.clone()),
        WorkloadKind::Host => None,
    }
}

fn workload(incident: &v1::Incident) -> Option<Arc<Workload>> {
    let first = incident.workloads.first()?;
    Some(Arc::new(crate::filter::told_workload(first)))
}

fn drafted(incident: &v1::Incident, open: &Open) -> Draft {
    let time = |time: &Option<prost_types::Timestamp>| time.as_ref().map(wall_time).unwrap_or_default();
    let mut attributes = Attributes::default();
    attributes.text("observer.incident.id", &incident.id);
    attributes.text("observer.incident.title", &incident.title);
    let opener = incident.firings.first().map_or(v1::TriggerKind::Manual, v1::Firing::kind);
    attributes.text("error.type", trigger_name(opener));
    attributes.text("observer.incident.note", &incident.note);
    attributes.number("observer.incident.omitted_connections", open.omitted);
    let notes = incident.firings.iter().map(|firing| {
        let mut of = Attributes::default();
        of.text("observer.trigger.reason", &firing.reason);
        of.number("observer.trigger.count", firing.count);
        note(time(&firing.first_time), trigger_name(firing.kind()), of.into_inner())
    });
    Draft {
        name: open.name,
        parent: None,
        kind: SpanKind::Internal,
        title: "incident".to_owned(),
        start: time(&incident.open_time),
        end: time(&incident.close_time),
        attributes,
        links: open.links.iter().map(|name| link(*name, "belongs to this incident")).collect(),
        notes: notes.collect(),
        error: Some(incident.title.clone()),
    }
}
