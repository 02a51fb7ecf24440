//! What a view needs from the daemon beside its summaries: the requests for what is on the screen.

use observer_proto::v1::{
    Connection, ConnectionOrder, Event, Filter, ListConnectionsRequest, ListWorkloadsRequest, Summary,
    WatchEventsRequest, Workload,
};

use super::super::{explain, label};
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

/// A workload, and its node where several tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Placed {
    /// The node; empty where one daemon alone is asked.
    pub(crate) node: String,
    /// The workload.
    pub(crate) workload: Workload,
}

impl Placed {
    /// What tells it from others.
    pub(super) fn id(&self) -> String {
        identity::workload(&self.node, Some(&self.workload))
    }

    /// What it is called.
    pub(super) fn name(&self) -> String {
        format!("{}{}", label::owner(Some(&self.workload)), label::on(&self.node))
    }
}

/// Whose events are shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Subject {
    /// All of a workload.
    Workload(Box<Placed>),
    /// Those of its connections on one edge.
    Edge(Box<Summary>),
    /// Those of one connection.
    Connection(Box<Connection>),
}

impl Subject {
    /// Whether an event is of this. The daemon sends those of the workload with one of the ports.
    pub(crate) fn has(&self, event: &Event) -> bool {
        let tcp = event.tcp();
        let node = self.node();
        if !node.is_empty() && event.node_name != node {
            return false;
        }
        match self {
            Self::Workload(one) => one.id() == identity::workload(node, event.workload.as_ref()),
            Self::Edge(edge) => tcp.is_some_and(|tcp| explain::is_of(event.workload.as_ref(), tcp, edge)),
            Self::Connection(one) => {
                one.tcp.as_ref().zip(tcp).is_some_and(|(one, tcp)| tcp.connection_id == one.connection_id)
            }
        }
    }

    /// The node that tells them; empty where there is one alone.
    pub(super) fn node(&self) -> &str {
        match self {
            Self::Workload(workload) => &workload.node,
            Self::Edge(edge) => &edge.node_name,
            Self::Connection(connection) => &connection.node_name,
        }
    }

    /// Whose they are.
    pub(super) const fn workload(&self) -> Option<&Workload> {
        match self {
            Self::Workload(placed) => Some(&placed.workload),
            Self::Edge(edge) => edge.workload.as_ref(),
            Self::Connection(connection) => connection.workload.as_ref(),
        }
    }

    /// A port that all of its connections have.
    fn port(&self) -> Option<u32> {
        let port = match self {
            Self::Workload(_) => None,
            Self::Edge(edge) => edge.edge.as_ref().map(|edge| edge.port),
            Self::Connection(one) => one.tcp.as_ref().and_then(|tcp| tcp.source.as_ref()).map(|end| end.port),
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
    pub(super) fn connections(&self, of: &Placed, order: ConnectionOrder) -> ListConnectionsRequest {
        let allow = self.narrowed(&of.node, Some(&of.workload), None);
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
        let allow = self.narrowed(of.node(), of.workload(), of.port());
        let deny = self.deny.clone();
        WatchEventsRequest { allow, deny, follow: true, last: EVENTS, ..WatchEventsRequest::default() }
    }

    /// Of what was selected that of one workload and port. What was selected has them, so they may take the place of more.
    fn narrowed(&self, node: &str, workload: Option<&Workload>, port: Option<u32>) -> Vec<Filter> {
        let mut allow = if self.allow.is_empty() { vec![Filter::default()] } else { self.allow.clone() };
        for filter in &mut allow {
            if !node.is_empty() {
                filter.node_names = vec![node.to_owned()];
            }
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
    use observer_proto::v1::{Edge, PeerKind, Tcp};

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
        let of = Placed { workload: pod.clone(), ..Placed::default() };
        let request = selected.connections(&of, ConnectionOrder::Rtt);
        assert_eq!(request.allow, [Filter { containers: vec![pod.container_id.clone()], ..filter.clone() }]);
        assert_eq!((request.order(), request.deny), (ConnectionOrder::Rtt, vec![filter]));
        let host = Workload { name: "host".into(), ..Workload::default() };
        let host = Placed { workload: host, ..Placed::default() };
        let request = Selected::default().events(&Subject::Workload(Box::new(host.clone())));
        assert_eq!(request.allow, [Filter { workloads: vec!["host".into()], ..Filter::default() }]);
        assert!(request.follow);
        let host = Placed { node: "node-b".to_owned(), ..host };
        let request = Selected::default().events(&Subject::Workload(Box::new(host)));
        let (workloads, node_names) = (vec!["host".into()], vec!["node-b".into()]);
        assert_eq!(request.allow, [Filter { workloads, node_names, ..Filter::default() }]);
        let request = Selected::default().events(&connection(testing::tcp(true)));
        assert_eq!(request.allow, [Filter { ports: vec![51_722], ..Filter::default() }]);
    }

    fn connection(tcp: Tcp) -> Subject {
        Subject::Connection(Box::new(Connection { tcp: Some(tcp), ..Connection::default() }))
    }

    #[test]
    fn events_are_of_their_subject_alone() {
        let event = testing::connect();
        let other = Tcp { connection_id: "8".to_owned(), ..testing::tcp(true) };
        assert!(connection(testing::tcp(true)).has(&event));
        assert!(!connection(other).has(&event));
        let placed =
            |node: &str, workload| Subject::Workload(Box::new(Placed { node: node.to_owned(), workload }));
        assert!(placed("", testing::pod("shop", "cart-7d9f", "app")).has(&event));
        assert!(placed("node1", testing::pod("shop", "cart-7d9f", "app")).has(&event));
        assert!(!placed("node2", testing::pod("shop", "cart-7d9f", "app")).has(&event));
        let pod = Workload { container_id: String::new(), ..testing::pod("shop", "cart-7d9f", "") };
        assert!(!placed("", pod).has(&event), "a pod whose container is not known is another one");
        let workload = Some(testing::pod("shop", "redis-0", "redis"));
        let edge =
            Edge { kind: PeerKind::Pod.into(), port: 6_379, outgoing: true, workload, ..Edge::default() };
        let summary =
            |edge| Summary { edge: Some(edge), workload: event.workload.clone(), ..Summary::default() };
        assert!(Subject::Edge(Box::new(summary(edge.clone()))).has(&event));
        assert!(!Subject::Edge(Box::new(summary(Edge { port: 80, ..edge }))).has(&event));
    }
}
