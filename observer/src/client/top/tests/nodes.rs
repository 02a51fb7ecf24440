//! A view over several nodes.

use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{
    Edge, FarEnd, ListWorkloadsResponse, NodeState, NodeStatus, Summary, TcpSummary, WindowEnd, Workload,
    WorkloadKind,
};

use super::super::{Message, wants::Subject};
use super::*;

fn status(node: &str, state: NodeState, message: &str) -> Message {
    let (node_name, message) = (node.to_owned(), message.to_owned());
    let status = NodeStatus { state: state.into(), node_name, message, ..NodeStatus::default() };
    fixture::message(Payload::NodeStatus(status))
}

/// A window of two nodes' hosts.
fn window() -> Vec<Message> {
    let host = Workload { kind: WorkloadKind::Host.into(), name: "host".to_owned(), ..Workload::default() };
    let summary = |node: &str, failed| Summary {
        workload: Some(host.clone()),
        tcp: Some(TcpSummary { opened: 3, failed, ..TcpSummary::default() }),
        node_name: node.to_owned(),
        ..Summary::default()
    };
    let end = WindowEnd {
        window_start: Some(fixture::at(0)),
        window_ns: 2_000_000_000,
        nodes: 2,
        ..WindowEnd::default()
    };
    let payloads = [
        Payload::Summary(summary("node-a", 0)),
        Payload::Summary(summary("node-b", 2)),
        Payload::WindowEnd(end),
    ];
    payloads.into_iter().map(fixture::message).collect()
}

#[test]
fn hosts_of_two_nodes_are_two_rows_and_each_leads_to_its_own() {
    let mut shown = Shown::new(setup(), (120, 20));
    shown.tell(window());
    let screen = shown.screen();
    assert!(screen.contains("[2 nodes]"), "\n{screen}");
    assert!(screen.contains(" NODE "), "\n{screen}");
    assert!(shown.chosen().contains("node-b"), "the worst is the first\n{screen}");
    shown.press(&[KeyCode::Down]);
    assert!(shown.chosen().contains("node-a"), "\n{screen}");
    shown.press(&[KeyCode::Enter]);
    let (_, request) = shown.top.wants().connections.unwrap();
    assert_eq!(request.allow[0].node_names, ["node-a"]);
    assert!(shown.screen().contains("host [node-a]"), "{}", shown.screen());
    shown.type_in("e");
    let (_, _, subject) = shown.top.wants().events.unwrap();
    assert!(matches!(subject, Subject::Workload(of) if of.node == "node-a"));
}

#[test]
fn an_edge_between_nodes_is_on_both_workloads_pages() {
    let [cart, redis] = ["cart-7d9f", "redis-0"].map(|pod| Workload {
        kind: WorkloadKind::Host.into(),
        name: pod.to_owned(),
        ..Workload::default()
    });
    let edge = Summary {
        workload: Some(cart),
        edge: Some(Edge { port: 6_379, outgoing: true, workload: Some(redis.clone()), ..Edge::default() }),
        node_name: "node-a".to_owned(),
        far_end: Some(FarEnd {
            node_name: "node-b".to_owned(),
            workload: Some(redis.clone()),
            ..FarEnd::default()
        }),
        ..Summary::default()
    };
    let server = Summary { workload: Some(redis), node_name: "node-b".to_owned(), ..Summary::default() };
    let end = WindowEnd { nodes: 2, ..WindowEnd::default() };
    let mut shown = Shown::new(setup(), (120, 20));
    let payloads = [Payload::Summary(server), Payload::Summary(edge), Payload::WindowEnd(end)];
    shown.tell(payloads.into_iter().map(fixture::message));
    shown.press(&[KeyCode::Enter]);
    let screen = shown.screen();
    assert!(screen.contains("redis-0 [node-b]"), "\n{screen}");
    assert!(screen.contains("cart-7d9f -> redis-0:6379") && screen.contains(" node-a "), "\n{screen}");
}

#[test]
fn the_head_says_how_many_nodes_are_missing_and_why() {
    let mut shown = Shown::new(setup(), (100, 20));
    shown.tell([status("", NodeState::Connected, "a relay over 3 nodes")]);
    shown.tell([status("node-c", NodeState::Unavailable, "no answer within 5 s\u{1b}")]);
    shown.tell(window());
    let screen = shown.screen();
    assert!(screen.contains("[2 of 3 nodes]"), "\n{screen}");
    assert!(screen.contains("[node-c]: unavailable: no answer within 5 s\\x1b"), "\n{screen}");
    // It is heard of in the next list that it is there again, though late in this window.
    shown.tell([Message::Workloads(ListWorkloadsResponse::default())]);
    shown.tell([status("node-c", NodeState::Behind, "its window has not come in time")]);
    shown.tell(window());
    let screen = shown.screen();
    assert!(screen.contains("[2 of 3 nodes]"), "\n{screen}");
    assert!(screen.contains("[node-c]: behind: its window has not come in time"), "\n{screen}");
    shown.tell(window());
    shown.tell([status("node-c", NodeState::Gone, "it is not found any more")]);
    let screen = shown.screen();
    assert!(screen.contains("[2 nodes]") && !screen.contains("behind"), "\n{screen}");
    assert!(screen.contains("[node-c]: gone: it is not found any more"), "\n{screen}");
}
