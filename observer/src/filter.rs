//! Filters: compiled once a request, then asked for every event.

mod compile;
mod encoded;
#[cfg(test)]
mod fuzzed;
mod impossible;
mod pattern;
mod scope;
mod subject;
#[cfg(test)]
mod tests;
mod told;

use std::ops::RangeInclusive;

use ipnet::IpNet;
use observer_proto::{served, v1};
use prost::Message as _;

pub(crate) use self::compile::{InvalidFilter, Purpose};
pub(crate) use self::encoded::{Cache, Seen, time};
use self::pattern::{ContainerPattern, LabelPattern, PodPattern, ServicePattern};
pub(crate) use self::scope::Scope;
use self::subject::Subject;
use self::told::Told;
pub(crate) use self::told::workload as told_workload;
use crate::event::{
    BootTime, Connection, Edge, EdgeSummary, Event, EventType, FoldNotice, Listener, Workload,
    WorkloadSummary,
};

/// What passes: what an allow filter matches (or anything, where there is none) and no deny filter does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    allow: Vec<Filter>,
    deny: Vec<Filter>,
    /// What is not to be seen does not pass, and no filter is asked about it.
    scope: Scope,
    /// They are about owners alone, whatever the other side is.
    owners: bool,
}

/// Every field that is set must match; one of its values does.
#[derive(Clone, Debug, Default)]
struct Filter {
    /// The nodes that it names; none for all.
    node_names: Vec<String>,
    /// It names other nodes than this one.
    elsewhere: bool,
    /// A bit for each type; 0 for all.
    types: u32,
    failure_only: bool,
    namespaces: Vec<String>,
    pods: Vec<PodPattern>,
    from_pods: Vec<PodPattern>,
    to_pods: Vec<PodPattern>,
    containers: Vec<ContainerPattern>,
    workloads: Vec<String>,
    ports: Vec<RangeInclusive<u16>>,
    addresses: Vec<IpNet>,
    services: Vec<ServicePattern>,
    labels: Vec<LabelPattern>,
    min_latency_ns: Option<u64>,
}

impl Filters {
    /// The same, of what is to be seen.
    pub(crate) fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The same, of whose owner they are asked alone.
    pub(crate) fn of_owners(self) -> Self {
        Self { owners: true, ..self }
    }

    /// What is to be seen.
    pub(crate) const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Checks and compiles what a client asks of events that were told, be it long ago and by any node.
    pub(crate) fn of_told(allow: &[v1::Filter], deny: &[v1::Filter]) -> Result<Self, InvalidFilter> {
        Self::compile(served(allow), served(deny), Purpose::Events, "")
    }

    /// The same of summaries that were told.
    pub(crate) fn of_summaries(allow: &[v1::Filter], deny: &[v1::Filter]) -> Result<Self, InvalidFilter> {
        Self::compile(served(allow), served(deny), Purpose::Summaries, "")
    }

    /// The event passes.
    pub(crate) fn event(&self, event: &Event) -> bool {
        if self.owners {
            return event.workload.as_deref().is_some_and(|owner| self.workload(owner));
        }
        self.is_empty() || self.scope.event(event).is_some_and(|event| self.pass(&Subject::event(&event)))
    }

    /// The same of an event as it was told.
    pub(crate) fn told_event(&self, event: &v1::Event) -> bool {
        self.is_empty() || self.pass(&Told::new(event).subject())
    }

    /// The live connection passes. One with retransmits, or that stood still at its last reading, counts
    /// as failed.
    pub(crate) fn connection(&self, connection: &Connection, sampled: BootTime) -> bool {
        let passes = |connection: &Connection| self.pass(&Subject::connection(connection, sampled));
        self.is_empty() || self.scope.connection(connection).is_some_and(|connection| passes(&connection))
    }

    /// The listener passes. One that has dropped something counts as failed.
    pub(crate) fn listener(&self, listener: &Listener) -> bool {
        self.is_empty() || (self.scope.sees(&listener.workload) && self.pass(&Subject::listener(listener)))
    }

    /// The edge's summary, of a window of what is to be seen, passes. Its port is the listening side's, its address the
    /// peer's; and those of who answers in the peer's name.
    pub(crate) fn edge(&self, edge: &Edge, summary: &EdgeSummary) -> bool {
        self.is_empty() || self.pass(&Subject::edge(edge, summary))
    }

    /// The edge is to be explained: of its two sides only its own one counts.
    pub(crate) fn explained(&self, edge: &Edge, summary: &EdgeSummary) -> bool {
        self.is_empty() || self.pass(&Subject { peer: None, service: None, ..Subject::edge(edge, summary) })
    }

    /// The workload's own summary, of such a window, passes. It has no ends, so no port and no address matches it.
    pub(crate) fn summary(&self, summary: &WorkloadSummary) -> bool {
        self.is_empty() || self.pass(&Subject::summary(summary))
    }

    /// The workload passes.
    pub(crate) fn workload(&self, workload: &Workload) -> bool {
        self.is_empty() || (self.scope.sees(workload) && self.pass(&Subject::workload(workload)))
    }

    /// The workload that was told passes, whoever may see it.
    pub(crate) fn told_workload(&self, workload: &v1::Workload) -> bool {
        self.pass(&Subject::workload(&told::workload(workload)))
    }

    /// All pass, and all may be seen.
    pub(crate) const fn is_open(&self) -> bool {
        self.is_empty()
    }

    /// What of a workload was only counted may have been wanted: by its owner and its types. Nothing more is known of it.
    pub(crate) fn folded(&self, notice: &FoldNotice) -> bool {
        let FoldNotice { workload, counts, .. } = notice;
        self.may_be_wanted(None, workload.as_deref(), &mut counts.iter().map(|(kind, _)| *kind))
    }

    /// The same of a notice as that node told it.
    pub(crate) fn told_folded(&self, notice: &v1::Folded, node_name: &str) -> bool {
        let v1::Folded { workload, events, .. } = notice;
        let owner = workload.as_ref().map(told::workload);
        self.may_be_wanted(
            Some(node_name),
            owner.as_ref(),
            &mut events.iter().map(|event| event.r#type.as_str()),
        )
    }

    /// Something of that owner may pass, and not all of it is left out.
    pub(crate) fn owner(&self, owner: &Workload) -> bool {
        let subject = Subject::workload(owner);
        self.may_be_wanted(None, Some(owner), &mut EventType::ALL.iter().map(|of| of.name()))
            && !self.deny.iter().any(|filter| filter.matches(&subject))
    }

    /// Something of that owner may pass, of which nothing but its types is known.
    fn may_be_wanted(
        &self,
        node: Option<&str>,
        owner: Option<&Workload>,
        kinds: &mut dyn Iterator<Item = &str>,
    ) -> bool {
        let of = |kind: &str| EventType::ALL.into_iter().find(|of| of.name() == kind);
        let types = kinds.filter_map(of).fold(0, |types, of| types | bit(of));
        let may_match = |filter: &Filter| {
            filter.is_of(node)
                && (filter.types == 0 || filter.types & types != 0)
                && any(&filter.namespaces, &[owner.map(|owner| owner.namespace.as_str())], |one, of| {
                    one == of
                })
                && any(&filter.pods, &[owner], |pattern, of| pattern.matches(of))
                && any(&filter.labels, &[owner], |labels, of| labels.matches(of))
                && any(&filter.containers, &[owner], |pattern, of| pattern.matches(of))
                && any(&filter.workloads, &[owner], |name, of| is_called(name, of))
        };
        let seen = self.scope.is_all() || owner.is_some_and(|owner| self.scope.sees(owner));
        seen && (self.allow.is_empty() || self.allow.iter().any(may_match))
    }

    /// Nothing is left out, and nothing hidden.
    pub(crate) const fn lets_all_pass(&self) -> bool {
        self.is_empty()
    }

    const fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty() && self.scope.is_all()
    }

    fn pass(&self, subject: &Subject<'_>) -> bool {
        (self.allow.is_empty() || self.allow.iter().any(|filter| filter.matches(subject)))
            && !self.deny.iter().any(|filter| filter.matches(subject))
    }
}

impl Filter {
    /// It does not leave that node out; `None`: this one.
    fn is_of(&self, node: Option<&str>) -> bool {
        match node {
            None => !self.elsewhere,
            Some(node) => self.node_names.is_empty() || self.node_names.iter().any(|name| name == node),
        }
    }

    /// The namespace of either side, or of the service that the peer is or stands behind.
    fn in_namespace(&self, subject: &Subject<'_>) -> bool {
        let service = subject.service.and_then(|service| service.split_once('/'));
        let all = [
            subject.owner.map(|owner| owner.namespace.as_str()),
            subject.peer.map(|peer| peer.namespace.as_str()),
            service.map(|(namespace, _)| namespace),
        ];
        any(&self.namespaces, &all, |namespace, of| namespace == of)
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        let Subject {
            node,
            event_type,
            failed,
            latency,
            owner,
            peer,
            service: _,
            services,
            outgoing,
            ports,
            addresses,
        } = subject;
        let either = [*owner, *peer];
        // The cheap and the telling ones come first.
        self.is_of(*node)
            && (self.types == 0 || event_type.is_some_and(|of| self.types & bit(of) != 0))
            && (!self.failure_only || *failed)
            && any(&self.ports, ports, RangeInclusive::contains)
            && any(&self.addresses, addresses, |net, of| net.contains(&of.to_canonical()))
            && self.in_namespace(subject)
            && any(&self.services, services, |pattern, of| pattern.matches(of))
            && any(&self.pods, &either, |pattern, of| pattern.matches(of))
            && any(&self.labels, &either, |labels, of| labels.matches(of))
            && self.min_latency_ns.is_none_or(|least| latency.ns().is_some_and(|ns| ns >= least))
            && any(&self.containers, &[*owner], |pattern, of| pattern.matches(of))
            && any(&self.workloads, &[*owner], |name, of| is_called(name, of))
            && any(&self.from_pods, &[side(*outgoing, true, either)], |pattern, of| pattern.matches(of))
            && any(&self.to_pods, &[side(*outgoing, false, either)], |pattern, of| pattern.matches(of))
    }
}

/// The same messages in the server's types. What did not fit would be an empty filter, which is refused.
fn served(filters: &[v1::Filter]) -> Vec<served::Filter> {
    let same = |filter: &v1::Filter| served::Filter::decode(filter.encode_to_vec().as_slice());
    filters.iter().map(|filter| same(filter).unwrap_or_default()).collect()
}

/// A workload has that name: its own, or that of what made it, with its kind or without.
fn is_called(name: &str, workload: &Workload) -> bool {
    let maker = workload.owner.as_deref();
    name == workload.name()
        || maker.is_some_and(|maker| match name.split_once('/') {
            Some((kind, name)) => maker.kind.eq_ignore_ascii_case(kind) && maker.name == name,
            None => maker.name == name,
        })
}

/// The field is not set, or one of its values matches one of the subject's.
fn any<V, S: Copy>(values: &[V], subjects: &[Option<S>], matches: impl Fn(&V, &S) -> bool) -> bool {
    values.is_empty()
        || subjects.iter().flatten().any(|subject| values.iter().any(|value| matches(value, subject)))
}

/// The workload on the asking (or the listening) side.
fn side(outgoing: Option<bool>, asking: bool, [owner, peer]: [Option<&Workload>; 2]) -> Option<&Workload> {
    if outgoing? == asking { owner } else { peer }
}

const fn bit(event_type: EventType) -> u32 {
    1 << event_type as u32
}
