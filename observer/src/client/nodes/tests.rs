//! What is shown of several nodes, as a reader sees it.

use observer_proto::v1::watch_events_response::Payload as EventPayload;
use observer_proto::v1::watch_incidents_response::Payload as IncidentPayload;
use observer_proto::v1::watch_summaries_response::Payload as SummaryPayload;
use observer_proto::v1::{
    Connection, Edge, FarEnd, Incident, ListConnectionsResponse, ListIncidentsResponse,
    ListListenersResponse, ListWorkloadsResponse, Listener, PeerEnd, Summary, TcpFlow, TcpSummary,
    WatchEventsResponse, WatchIncidentsResponse, WatchSummariesResponse, WindowEnd, Workload, WorkloadKind,
    WorkloadStatus,
};

use super::super::compact::Lines;
use super::super::incident::{write_incidents, write_update};
use super::super::listing::{write_connections, write_listeners, write_workloads};
use super::super::look::Format;
use super::super::summary::{Finished, Sort, Window, write_brief, write_tables};
use super::super::testing;
use super::*;

fn status(node: &str, state: NodeState, message: &str) -> NodeStatus {
    let (node_name, message) = (node.to_owned(), message.to_owned());
    NodeStatus { state: state.into(), node_name, message, ..NodeStatus::default() }
}

fn host() -> Workload {
    Workload { kind: WorkloadKind::Host.into(), name: "host".to_owned(), ..Workload::default() }
}

fn text(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_node_is_told_of_once_where_something_is_the_matter_with_it() {
    let mut nodes = Nodes::default();
    let mut told = |status: NodeStatus| nodes.line(&status).map(|(_, words)| words);
    assert_eq!(told(status("", NodeState::Connected, "a relay over 3 nodes")), None);
    assert_eq!(told(status("node-b", NodeState::Connected, "")), None);
    let gone = told(status("node-b", NodeState::Unavailable, "no answer within 5 s\u{1b}[2J"));
    assert_eq!(gone.as_deref(), Some("[node-b]: unavailable: no answer within 5 s\\x1b[2J"));
    let back = told(status("node-b", NodeState::Connected, ""));
    assert_eq!(back.as_deref(), Some("[node-b]: connected again; it tells what happened meanwhile"));
    assert_eq!(told(status("node-b", NodeState::Connected, "")), None);
    let ahead = told(status("node-c\n", NodeState::Connected, "its clock is 3.0 s ahead of the relay's"));
    assert_eq!(ahead.as_deref(), Some("[node-c\\n]: connected: its clock is 3.0 s ahead of the relay's"));
    let behind = told(status("node-c", NodeState::Behind, "its window has not come in time"));
    assert_eq!(behind.as_deref(), Some("[node-c]: behind: its window has not come in time"));
}

#[test]
fn tables_have_a_column_for_nodes_and_say_which_are_missing() {
    let workload = |node: &str| WorkloadStatus {
        workload: Some(host()),
        node_name: node.to_owned(),
        ..WorkloadStatus::default()
    };
    let mut response = ListWorkloadsResponse {
        workloads: vec![workload("node-a"), workload("node-b\u{1b}")],
        node_name: String::new(),
        missing_nodes: vec![status("node-c", NodeState::Unavailable, "nobody listens there")],
    };
    let shown = text(|out| write_workloads(out, &testing::look(), &response));
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!(lines[0], ["WORKLOAD", "NODE", "KIND"], "\n{shown}");
    assert_eq!(lines[1], ["host", "node-a", "host"], "\n{shown}");
    assert_eq!(lines[2], ["host", "node-b\\x1b", "host"], "\n{shown}");
    let missing = "node-c did not answer: nobody listens there; what is shown lacks it\n";
    assert!(shown.ends_with(missing), "\n{shown}");
    let look = Look { format: Format::Json, ..testing::look() };
    let shown = text(|out| write_workloads(out, &look, &response));
    assert_eq!(shown.lines().count(), 2, "whole messages stay by themselves\n{shown}");
    response.workloads.clear();
    let shown = text(|out| write_workloads(out, &testing::look(), &response));
    assert_eq!(shown, format!("no workload matches\n{missing}"));
}

#[test]
fn listeners_and_incidents_have_their_nodes() {
    let listener = |node: &str| Listener {
        workload: Some(host()),
        address: "0.0.0.0".to_owned(),
        port: 80,
        node_name: node.to_owned(),
        ..Listener::default()
    };
    let listeners = vec![listener("node-a"), listener("node-b")];
    let response = ListListenersResponse { listeners, total: 2, ..ListListenersResponse::default() };
    let shown = text(|out| write_listeners(out, &testing::look(), &response));
    assert!(shown.contains("\nhost      node-b  0.0.0.0:80"), "\n{shown}");
    let incident = Incident { id: "i-7".to_owned(), node_name: "node-b".to_owned(), ..Incident::default() };
    let mut response =
        ListIncidentsResponse { incidents: vec![incident], total: 1, ..ListIncidentsResponse::default() };
    let shown = text(|out| write_incidents(out, &testing::look(), &response));
    assert!(shown.starts_with("ID   NODE    STATE"), "\n{shown}");
    response.node_name = "node-b".to_owned();
    let shown = text(|out| write_incidents(out, &testing::look(), &response));
    assert!(shown.starts_with("ID   STATE"), "a daemon's own are all of its node\n{shown}");
}

#[test]
fn of_many_missing_nodes_some_are_named() {
    let missing: Vec<_> =
        (0..22).map(|at| status(&format!("n{at}"), NodeState::Unavailable, "away")).collect();
    let lines = missing_lines(&missing);
    assert_eq!((lines.len(), lines[20].as_str()), (21, "and 2 more nodes did not answer"));
    assert_eq!(missing_lines(&missing[..21])[20], "and 1 more node did not answer");
}

/// A window of two nodes, of each the host with one edge, with what was said of a third meanwhile.
fn window() -> Finished {
    let edge = |port| Edge { port, outgoing: true, address: "10.0.0.1".to_owned(), ..Edge::default() };
    let far_end = FarEnd { node_name: "node-c".to_owned(), ..FarEnd::default() };
    let summary = |node: &str, opened, edge: Option<Edge>| Summary {
        workload: Some(host()),
        far_end: edge.as_ref().filter(|edge| edge.port == 81).map(|_| far_end.clone()),
        edge,
        tcp: Some(TcpSummary { opened, ..TcpSummary::default() }),
        node_name: node.to_owned(),
        ..Summary::default()
    };
    let payloads = vec![
        SummaryPayload::NodeStatus(status("", NodeState::Connected, "a relay over 3 nodes")),
        SummaryPayload::Summary(summary("node-b", 7, None)),
        SummaryPayload::Summary(summary("node-a", 1, None)),
        SummaryPayload::NodeStatus(status("node-c", NodeState::Unavailable, "no answer within 5 s")),
        SummaryPayload::Summary(summary("node-a", 1, Some(edge(80)))),
        SummaryPayload::Summary(summary("node-b", 7, Some(edge(81)))),
        SummaryPayload::NodeStatus(status("node-c", NodeState::Behind, "its window has not come in time")),
    ];
    let mut window = Window::default();
    for payload in payloads {
        let message = WatchSummariesResponse { payload: Some(payload), ..WatchSummariesResponse::default() };
        assert!(window.add(message).is_none());
    }
    let end = WindowEnd {
        window_start: Some(testing::AT),
        window_ns: 10_000_000_000,
        nodes: 2,
        ..WindowEnd::default()
    };
    let payload = Some(SummaryPayload::WindowEnd(end));
    window.add(WatchSummariesResponse { payload, ..WatchSummariesResponse::default() }).unwrap()
}

#[test]
fn a_window_of_several_nodes_keeps_them_apart_whatever_is_said_of_others() {
    let shown = text(|out| write_tables(out, &testing::look(), &mut window(), Sort::Worst));
    assert!(shown.contains(" (10 s) [2 nodes]: complete\n"), "\n{shown}");
    for row in ["\nWORKLOAD  NODE    OPENED", "\nhost      node-a       1", "\nhost      node-b       7"] {
        assert!(shown.contains(row), "{row}\n{shown}");
    }
    assert!(shown.contains("DROPS  FAR-NODE  FAR-ACCEPT  FAR-RETR\n"), "\n{shown}");
    assert!(shown.contains("     0  node-c             -         -\n"), "\n{shown}");
    let shown = text(|out| write_brief(out, &testing::look(), &mut window(), 15));
    let names: Vec<Vec<&str>> = shown
        .lines()
        .skip(2)
        .map(|line| line.split_whitespace().take_while(|word| word.parse::<u8>().is_err()).collect())
        .collect();
    let expected = [
        vec!["host", "node-a"],
        vec!["->", "10.0.0.1:80", "node-a"],
        vec!["host", "node-b"],
        vec!["->", "10.0.0.1:81", "node-b"],
    ];
    assert_eq!(names, expected, "\n{shown}");
}

#[test]
fn a_connection_between_nodes_has_both_ends() {
    let mut tcp = testing::tcp(true);
    tcp.destination.as_mut().unwrap().workload = None;
    let flow = TcpFlow { accept_wait_ns: Some(2_000_000_000), ..TcpFlow::default() };
    let peer = PeerEnd {
        state: "ESTABLISHED".to_owned(),
        node_name: "node-b".to_owned(),
        workload: Some(testing::pod("shop", "redis-0", "redis")),
        flow: Some(flow),
        ..PeerEnd::default()
    };
    let connection = Connection {
        tcp: Some(tcp),
        workload: Some(testing::pod("shop", "cart-7d9f", "app")),
        handshake_latency_ns: Some(142_000),
        node_name: "node-a".to_owned(),
        peer: Some(peer),
        ..Connection::default()
    };
    let response = ListConnectionsResponse { connections: vec![connection], total: 1, ..Default::default() };
    let shown = text(|out| write_connections(out, &testing::look(), &response));
    let row: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        row[..5],
        ["shop/cart-7d9f/app", "node-a", "out", "shop/redis-0:6379", "[node-b]"],
        "\n{shown}"
    );
    assert!(row.windows(2).any(|pair| pair == ["142µs", ">2.0s"]), "handshake and accept\n{shown}");
}

#[test]
fn lines_say_how_nodes_are() {
    let mut lines = Lines::new(&testing::look());
    let mut line = |of: NodeStatus| {
        let node_name = of.node_name.clone();
        let payload = Some(EventPayload::NodeStatus(of));
        let message = WatchEventsResponse { payload, node_name, time: Some(testing::AT) };
        text(|out| lines.write(out, &message))
    };
    let greeting = || status("", NodeState::Connected, "a relay over 2 nodes");
    assert_eq!(line(greeting()), "");
    assert_eq!(line(status("node-b", NodeState::Connected, "")), "");
    let away = line(status("node-b", NodeState::Unavailable, "nobody listens there"));
    assert_eq!(away, "08:12:03.114 [node-b]: unavailable: nobody listens there\n");
    let back = line(status("node-b", NodeState::Connected, ""));
    assert_eq!(back, "08:12:03.114 [node-b]: connected again; it tells what happened meanwhile\n");
    assert_eq!(line(greeting()), "08:12:03.114 [relay]: connected to the relay again\n");
    let nobody = line(status("", NodeState::Unavailable, "no node is known"));
    assert_eq!(nobody, "08:12:03.114 [relay]: unavailable: no node is known\n");
    let mut nodes = Nodes::default();
    let payload = IncidentPayload::NodeStatus(status("node-b", NodeState::Gone, "it is not found any more"));
    let message = WatchIncidentsResponse { payload: Some(payload), ..WatchIncidentsResponse::default() };
    let shown = text(|out| write_update(out, &testing::look(), &mut nodes, &message));
    assert_eq!(shown, "- [node-b]: gone: it is not found any more\n");
}
