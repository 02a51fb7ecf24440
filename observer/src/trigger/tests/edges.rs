//! Resets, latency, stalls; and incidents that clients open.

use super::*;
use crate::event::Standstill;

#[test]
fn resets_by_the_server_and_not_by_the_client() {
    let reset = |by_server| {
        let (received, sent) = if by_server { (10, 0) } else { (0, 10) };
        TcpSummary { resets_received: received, resets_sent: sent, ..well(10) }
    };
    for by_server in [true, false] {
        let mut node = Node::new();
        let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
        node.seconds(6, |node, _| node.edge(&a, &b, &reset(by_server)));
        let title = "shop/a -> shop/b:8080: connections are reset";
        assert_eq!(node.titles(), if by_server { vec![title] } else { vec![] });
    }
}

#[test]
fn slower_than_it_was_of_late() {
    let mut node = Node::new();
    let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
    let taking = |ms: u64| {
        let mut tcp = well(5);
        (0..5).for_each(|_| tcp.handshake_latency.record(ms * 1_000_000));
        tcp
    };
    node.seconds(100, |node, second| node.edge(&a, &b, &taking(1 + second % 2)));
    node.seconds(31, |node, _| node.edge(&a, &b, &taking(250)));
    assert_eq!(node.titles(), ["shop/a -> shop/b:8080: connects take 250 ms, usually 2.0 ms"]);
    let evidence = &node.incidents.open()[0].firings[0].fired.evidence;
    assert_eq!(evidence[0].figure, "handshake_latency_p90");
}

#[test]
fn a_server_that_stops_accepting_and_one_that_is_about_to_begin() {
    let waits = |seconds: u64| TcpSummary {
        stalled: Stalled { unaccepted: 4, ..Stalled::default() },
        longest: Standstill { unaccepted_ns: seconds * SECOND, ..Standstill::default() },
        ..TcpSummary::default()
    };
    let (api, web) = (pod(1, "shop", "api"), pod(2, "shop", "web"));
    let mut node = Node::new();
    node.one_side(&api, &web, false, &waits(2));
    node.second();
    assert!(node.titles().is_empty() && node.triggers.looks_closer());
    node.one_side(&api, &web, false, &waits(4));
    node.second();
    assert_eq!(node.titles(), ["shop/api does not accept connections on :8080"]);
    // Clients that get no answer for it belong to it, and it keeps its name.
    node.seconds(31, |node, _| node.edge(&web, &api, &well(1)));
    node.seconds(9, |node, _| node.edge(&web, &api, &TcpSummary { pending: 2, ..TcpSummary::default() }));
    assert_eq!(node.titles(), ["shop/api does not accept connections on :8080"]);
    assert_eq!(node.incidents.open()[0].firings.len(), 2);
    let mut node = Node::new();
    node.happens(&api, None, Detail::ContainerStart(ContainerStart::default()));
    node.seconds(20, |node, second| node.one_side(&api, &web, false, &waits(second)));
    assert!(node.titles().is_empty(), "it listens and still starts");
}

#[test]
fn data_that_nobody_reads() {
    let unread = |seconds: u64| TcpSummary {
        stalled: Stalled { unread: 1, ..Stalled::default() },
        longest: Standstill { unread_ns: seconds * SECOND, ..Standstill::default() },
        ..TcpSummary::default()
    };
    let (api, web) = (pod(1, "shop", "api"), pod(2, "shop", "web"));
    let mut node = Node::new();
    node.one_side(&api, &web, false, &unread(14));
    node.second();
    assert!(node.titles().is_empty());
    node.one_side(&api, &web, false, &unread(16));
    node.second();
    assert_eq!(node.titles(), ["shop/api does not read what shop/web sends (port 8080)"]);
}

#[test]
fn clients_open_a_bounded_number_and_close_them() {
    let mut node = Node::new();
    let web = pod(2, "shop", "web");
    let words = || ("uid:0".to_owned(), "it is slow".to_owned());
    let first = node.incidents.open_by_hand(&[Arc::clone(&web)], words(), node.now).unwrap();
    assert_eq!(first.title, "shop/web: it is slow");
    for _ in 1..16 {
        node.incidents.open_by_hand(&[], words(), node.now).unwrap();
    }
    let refused = node.incidents.open_by_hand(&[], words(), node.now).unwrap_err();
    assert_eq!(refused, Refused::TooMany(16));
    let ids: std::collections::BTreeSet<_> = node.incidents.open().iter().map(|one| one.id.clone()).collect();
    assert_eq!(ids.len(), 16);
    // What happens to it belongs there.
    node.happens(&web, None, Detail::ContainerStop(stop(Ending::Code(3), node.now.boot)));
    let closed = node.incidents.close(&first.id, "uid:0".to_owned(), "done".to_owned(), node.now).unwrap();
    assert_eq!(closed.title, "shop/web: container app failed with exit code 3");
    assert_eq!((closed.closing_note.as_str(), closed.closed), ("done", Some(node.now.wall)));
    assert!(node.incidents.close(&first.id, String::new(), String::new(), node.now).is_none());
}

#[test]
fn a_clock_that_is_set_back_keeps_ids_apart_and_the_window_whole() {
    let mut node = Node::new();
    let fails = |node: &mut Node, id| {
        let workload = pod(id, "shop", &format!("p{id}"));
        node.happens(&workload, None, Detail::ContainerStop(stop(Ending::Code(1), node.now.boot)));
    };
    fails(&mut node, 1);
    let before = node.incidents.open()[0].window_start;
    node.now.wall = WallTime(node.now.wall.0 - 3_600 * SECOND);
    fails(&mut node, 2);
    fails(&mut node, 1);
    let open = node.incidents.open();
    assert!(open[0].id < open[1].id, "{} {}", open[0].id, open[1].id);
    assert!(open[0].window_start < before, "what was told by the new time is in it");
    assert!(open[0].window_end.0 > open[0].opened.0);
    // Ids of before the restart are known.
    let mut again = Incidents::new(BOUNDS);
    again.know(["20991231-235959-7"].into_iter());
    assert_eq!(again.open_by_hand(&[], Default::default(), at(5)).unwrap().id, "20991231-235959-8");
}
