//! What a view needs from the daemon beside its summaries: the requests for what is on the screen.

use observer_proto::v1::{
    ConnectionOrder, Event, Filter, ListConnectionsRequest, ListWorkloadsRequest, Summary, Tcp,
    WatchEventsRequest, Workload,
};

use super::super::explain;
use super::identity;

/// So many of the events in memory come first.
const EVENTS: u32 = 500;

/// So many connections are listed at most.
const CONNECTIONS: u32 = 500;

/// What the user selected on the command line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selected {
    /// What passes; empty: everything.
    pub(crate) allow: Vec<Filter>,
    /// What never passes.
    pub(crate) deny: Vec<Filter>,
}

/// What a page asks for, with the page's number, by which its answers are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wants {
    /// Connections, again and again.
    pub(crate) connections: Option<(u64, ListConnectionsRequest)>,
    /// Events in memory and those that come, as far as they are of this.
    pub(crate) events: Option<(u64, WatchEventsRequest, Subject)>,
}

/// Whose events are shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Subject {
    /// All of a workload.
    Workload(Workload),
    /// Those of its connections on one edge.
    Edge(Box<Summary>),
    /// Those of one connection.
    Connection(Option<Workload>, Box<Tcp>),
}

impl Subject {
    /// Whether an event is of this. The daemon sends those of the workload with one of the ports.
    pub(crate) fn has(&self, event: &Event) -> bool {
        let tcp = event.tcp();
        match self {
            Self::Workload(one) => {
                identity::workload(Some(one)) == identity::workload(event.workload.as_ref())
            }
            Self::Edge(edge) => tcp.is_some_and(|tcp| explain::is_of(event.workload.as_ref(), tcp, edge)),
            Self::Connection(_, one) => tcp.is_some_and(|tcp| tcp.connection_id == one.connection_id),
        }
    }

    /// Whose they are.
    pub(super) const fn workload(&self) -> Option<&Workload> {
        match self {
            Self::Workload(workload) => Some(workload),
            Self::Edge(edge) => edge.workload.as_ref(),
            Self::Connection(workload, _) => workload.as_ref(),
        }
    }

    /// A port that all of its connections have.
    fn port(&self) -> Option<u32> {
        let port = match self {
            Self::Workload(_) => None,
            Self::Edge(edge) => edge.edge.as_ref().map(|edge| edge.port),
            Self::Connection(_, tcp) => tcp.source.as_ref().map(|end| end.port),
        };
        port.filter(|port| *port > 0)
    }
}

impl Selected {
    /// Asks for the workloads, without what only connections and events have: such a request is refused.
    pub(crate) fn workloads(&self) -> ListWorkloadsRequest {
        let plain = |filter: &Filter| Filter {
            namespaces: filter.namespaces.clone(),
            pods: filter.pods.clone(),
            containers: filter.containers.clone(),
            workloads: filter.workloads.clone(),
            node_names: filter.node_names.clone(),
            labels: filter.labels.clone(),
            ..Filter::default()
        };
        let set = |filter: &Filter| *filter != Filter::default();
        ListWorkloadsRequest {
            allow: self.allow.iter().map(plain).filter(set).collect(),
            deny: self.deny.iter().filter(|filter| plain(filter) == **filter).cloned().collect(),
            ..ListWorkloadsRequest::default()
        }
    }

    /// Whether a workload that did nothing in a window is selected by being listed.
    pub(super) fn selects_idle(&self) -> bool {
        let ListWorkloadsRequest { allow, deny, field_mask: _ } = self.workloads();
        allow == self.allow && deny == self.deny
    }

    /// Asks for a workload's connections.
    pub(super) fn connections(&self, of: &Workload, order: ConnectionOrder) -> ListConnectionsRequest {
        let allow = self.narrowed(Some(of), None);
        ListConnectionsRequest {
            allow,
            deny: self.deny.clone(),
            limit: CONNECTIONS,
            order: order.into(),
            field_mask: None,
        }
    }

    /// Asks for what has happened lately and happens.
    pub(super) fn events(&self, of: &Subject) -> WatchEventsRequest {
        let allow = self.narrowed(of.workload(), of.port());
        let deny = self.deny.clone();
        WatchEventsRequest { allow, deny, follow: true, last: EVENTS, ..WatchEventsRequest::default() }
    }

    /// Of what was selected that of one workload and port. What was selected has them, so they may take the place of more.
    fn narrowed(&self, workload: Option<&Workload>, port: Option<u32>) -> Vec<Filter> {
        let mut allow = if self.allow.is_empty() { vec![Filter::default()] } else { self.allow.clone() };
        for filter in &mut allow {
            match workload {
                Some(Workload { container_id, .. }) if !container_id.is_empty() => {
                    filter.containers = vec![container_id.clone()];
                }
                Some(Workload { name, .. }) if !name.is_empty() => filter.workloads = vec![name.clone()],
                Some(_) | None => {}
            }
            if let Some(port) = port {
                (filter.ports, filter.port_ranges) = (vec![port], Vec::new());
            }
        }
        allow.retain(|filter| *filter != Filter::default());
        allow
    }
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::{Edge, PeerKind};

    use super::super::super::testing;
    use super::*;

    #[test]
    fn workloads_are_asked_for_without_what_they_do_not_have() {
        let filter = Filter { namespaces: vec!["shop".into()], failure_only: true, ..Filter::default() };
        let port = Filter { ports: vec![53], ..Filter::default() };
        let selected = Selected { allow: vec![filter], deny: vec![port] };
        let plain = Filter { namespaces: vec!["shop".into()], ..Filter::default() };
        let request = ListWorkloadsRequest { allow: vec![plain.clone()], ..ListWorkloadsRequest::default() };
        assert_eq!((selected.workloads(), selected.selects_idle()), (request, false));
        assert!(Selected { allow: vec![plain], deny: Vec::new() }.selects_idle());
    }

    #[test]
    fn a_page_asks_for_one_workload_of_those_that_were_selected() {
        let pod = testing::pod("shop", "cart-7d9f", "app");
        let filter =
            Filter { namespaces: vec!["shop".into()], containers: vec!["app".into()], ..Filter::default() };
        let selected = Selected { allow: vec![filter.clone()], deny: vec![filter.clone()] };
        let request = selected.connections(&pod, ConnectionOrder::Rtt);
        assert_eq!(request.allow, [Filter { containers: vec![pod.container_id.clone()], ..filter.clone() }]);
        assert_eq!((request.order(), request.deny), (ConnectionOrder::Rtt, vec![filter]));
        let host = Workload { name: "host".into(), ..Workload::default() };
        let request = Selected::default().events(&Subject::Workload(host));
        assert_eq!(request.allow, [Filter { workloads: vec!["host".into()], ..Filter::default() }]);
        assert!(request.follow);
        let request = Selected::default().events(&Subject::Connection(None, Box::new(testing::tcp(true))));
        assert_eq!(request.allow, [Filter { ports: vec![51_722], ..Filter::default() }]);
    }

    #[test]
    fn events_are_of_their_subject_alone() {
        let event = testing::connect();
        let other = Tcp { connection_id: "8".to_owned(), ..testing::tcp(true) };
        assert!(Subject::Connection(None, Box::new(testing::tcp(true))).has(&event));
        assert!(!Subject::Connection(None, Box::new(other)).has(&event));
        assert!(Subject::Workload(testing::pod("shop", "cart-7d9f", "app")).has(&event));
        let pod = Workload { container_id: String::new(), ..testing::pod("shop", "cart-7d9f", "") };
        assert!(!Subject::Workload(pod).has(&event), "a pod whose container is not known is another one");
        let workload = Some(testing::pod("shop", "redis-0", "redis"));
        let edge =
            Edge { kind: PeerKind::Pod.into(), port: 6_379, outgoing: true, workload, ..Edge::default() };
        let summary =
            |edge| Summary { edge: Some(edge), workload: event.workload.clone(), ..Summary::default() };
        assert!(Subject::Edge(Box::new(summary(edge.clone()))).has(&event));
        assert!(!Subject::Edge(Box::new(summary(Edge { port: 80, ..edge }))).has(&event));
    }
}
