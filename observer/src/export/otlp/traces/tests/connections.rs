//! Tests of the spans of connections.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::*;
use crate::event::{
    PeerKind, ResetCause, ResetDirection, RetransmitCause, RetransmitPhase, TcpConnectFailure, TcpReset,
    TcpRetransmit, TcpState, WallTime,
};
use crate::export::otlp::ids::{Ends, Side};

#[test]
fn what_went_well_and_fast_is_not_told() {
    let mut node = Node::new();
    let (web, db) = (Arc::clone(&node.web), Arc::clone(&node.db));
    let [client, server] = node.ends(40_000);
    node.opens(&[client.clone(), server.clone()], 1_000 * MS, MS);
    node.closes(&web, &client, 2_000 * MS, 1_001 * MS, 0);
    node.closes(&db, &server, 2_001 * MS, 1_000 * MS, 0);
    assert!(node.spans().is_empty());
}

#[test]
fn a_slow_connection_is_told_from_both_sides() {
    let mut node = Node::new();
    let (web, db) = (Arc::clone(&node.web), Arc::clone(&node.db));
    let ends = node.ends(40_000);
    node.opens(&ends, 1_000 * MS, 300 * MS);
    // The server's side ends first, and is told at once.
    node.closes(&db, &ends[1], 2_000 * MS, 999 * MS, 0);
    node.closes(&web, &ends[0], 2_001 * MS, 1_301 * MS, 0);
    let spans = node.spans();
    let [server, client] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!((server.kind(), client.kind()), (SpanKind::Server, SpanKind::Client));
    assert_eq!(server.trace_id, client.trace_id);
    assert_eq!(server.parent_span_id, client.span_id);
    assert!(client.parent_span_id.is_empty() && client.links.is_empty() && server.links.is_empty());
    assert_eq!(client.start_time_unix_nano, examples::WALL_NS + 700 * MS);
    assert_eq!(client.end_time_unix_nano, examples::WALL_NS + 2_001 * MS);
    assert_eq!(client.events[0].time_unix_nano, examples::WALL_NS + 1_000 * MS);
    assert!(!is_error(client) && !is_error(server));
    assert_eq!(client.name, "tcp connect shop/db:5432");
    assert_eq!(text(client, "destination.address"), "10.0.0.2");
    assert_eq!(text(server, "source.address"), "10.0.0.1");
    assert_eq!(of(&client.attributes, "observer.tcp.handshake.duration"), Some(&Value::DoubleValue(0.3)));
}

#[test]
fn a_reset_is_a_failure_of_both_sides_and_noted() {
    let mut node = Node::new();
    let (web, db) = (Arc::clone(&node.web), Arc::clone(&node.db));
    let ends = node.ends(40_000);
    node.opens(&ends, 1_000 * MS, MS);
    // The other side ends in order, before anybody knows.
    node.closes(&db, &ends[1], 1_999 * MS, 999 * MS, 0);
    let direction = ResetDirection::Received;
    let reset = TcpReset { tcp: ends[0].clone(), direction, state: None, reason: None, cause: None };
    let name = node.happens(&web, 2_000 * MS, Detail::TcpReset(reset)).unwrap();
    node.closes(&web, &ends[0], 2_000 * MS, 1_001 * MS, 104);
    let spans = node.spans();
    let [client, server] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!((client.kind(), server.kind()), (SpanKind::Client, SpanKind::Server));
    assert_eq!(client.span_id, name.span.0);
    assert!(is_error(client) && !is_error(server));
    assert_eq!(text(client, "error.type"), "reset");
    assert_eq!(
        client.events.iter().map(|note| note.name.as_str()).collect::<Vec<_>>(),
        ["established", "tcp_reset"]
    );
    assert_eq!(server.parent_span_id, client.span_id);
}

#[test]
fn who_aborts_a_connection_closes_it_and_then_sends_the_reset() {
    let mut node = Node::new();
    let web = Arc::clone(&node.web);
    let [client, _] = node.ends(40_000);
    let connect = TcpConnect { tcp: client.clone(), handshake_latency_ns: MS };
    node.happens(&web, 1_000 * MS, Detail::TcpConnect(connect));
    node.closes(&web, &client, 2_000 * MS, 1_001 * MS, 0);
    assert!(node.spans().is_empty());
    let direction = ResetDirection::Sent;
    let cause = Some(ResetCause::LingerZero);
    let reset = TcpReset { tcp: client, direction, state: None, reason: None, cause };
    let name = node.happens(&web, 2_000 * MS, Detail::TcpReset(reset.clone())).unwrap();
    let spans = node.spans();
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!(span.span_id, name.span.0);
    assert!(is_error(span) && text(span, "error.type") == "reset");
    assert_eq!(span.events.last().unwrap().name, "tcp_reset");
    // It is told once.
    assert!(node.happens(&web, 2_001 * MS, Detail::TcpReset(reset)).is_none());
    assert!(node.spans().is_empty());
}

#[test]
fn what_happens_to_one_connection_is_told_so_many_times() {
    let mut node = Node::new();
    let web = Arc::clone(&node.web);
    let [client, _] = node.ends(40_000);
    let connect = TcpConnect { tcp: client.clone(), handshake_latency_ns: MS };
    node.happens(&web, 1_000 * MS, Detail::TcpConnect(connect));
    for at in 0..20 {
        let retransmit = TcpRetransmit {
            tcp: client.clone(),
            phase: RetransmitPhase::Data,
            cause: RetransmitCause::Timeout,
            timeouts: 1,
            backoff: 1,
            segments: 2,
            state: TcpState(1),
        };
        node.happens(&web, (1_100 + at) * MS, Detail::TcpRetransmit(retransmit));
    }
    node.closes(&web, &client, 2_000 * MS, 1_001 * MS, 110);
    let spans = node.spans();
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    let notes: Vec<_> = span.events.iter().filter(|note| note.name == "tcp_retransmit").collect();
    assert_eq!(notes.len(), 16);
    assert_eq!(notes[15].time_unix_nano, examples::WALL_NS + 1_115 * MS);
    assert_eq!(of(&notes[0].attributes, "observer.tcp.segments"), Some(&Value::IntValue(2)));
    assert_eq!(of(&span.attributes, "observer.notes_omitted"), Some(&Value::IntValue(4)));
}

#[test]
fn a_side_whose_other_one_is_elsewhere_links_to_it() {
    let mut node = Node::new();
    let db = Arc::clone(&node.db);
    let [asks, mut server] = node.ends(40_000);
    server.peer.kind = PeerKind::FarPod;
    node.happens(&db, 1_000 * MS, examples::accept(&server));
    node.closes(&db, &server, 2_000 * MS, 1_000 * MS, 110);
    let spans = node.spans();
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    assert!(span.parent_span_id.is_empty());
    assert_eq!(text(span, "error.type"), "timed_out");
    // As the other node names it, which has seen it a little earlier.
    let time = WallTime(examples::WALL_NS + 995 * MS);
    let there = Ends::of(&asks).span(Side::Client, time, None);
    assert_eq!(
        (span.trace_id.as_slice(), span.links[0].span_id.as_slice()),
        (&there.trace.0[..], &there.span.0[..])
    );
}

#[test]
fn what_stays_on_a_node_is_named_after_it() {
    let mut names = Vec::new();
    for name in ["one", "other"] {
        let mut node =
            Node { traces: Traces::new(&name.into(), Slow::default(), &Room::default()), ..Node::new() };
        let (web, db) = (Arc::clone(&node.web), Arc::clone(&node.db));
        let ends = node.ends(40_000);
        node.opens(&ends, 1_000 * MS, MS);
        node.closes(&db, &ends[1], 2_000 * MS, 999 * MS, 110);
        node.closes(&web, &ends[0], 2_000 * MS, 1_001 * MS, 0);
        let spans = node.spans();
        let [server, client] = spans.as_slice() else { panic!("{spans:#?}") };
        assert_eq!((&server.trace_id, &server.parent_span_id), (&client.trace_id, &client.span_id));
        names.push(client.trace_id.clone());
    }
    assert_ne!(names[0], names[1]);
}

#[test]
fn attempts_from_the_same_port_are_different_ones() {
    let mut node = Node::new();
    let web = Arc::clone(&node.web);
    let [tcp, _] = node.ends(40_000);
    for at in [1_000, 1_001] {
        let duration_ns = Some(MS / 2);
        let failure =
            TcpConnectFailure { tcp: tcp.clone(), errno: 111, sent: true, duration_ns, syn_retransmits: 0 };
        node.happens(&web, at * MS, Detail::TcpConnectFailure(failure));
    }
    let spans = node.spans();
    let [one, other] = spans.as_slice() else { panic!("{spans:#?}") };
    assert!(one.trace_id != other.trace_id && one.span_id != other.span_id);
}

#[test]
fn an_attempt_that_failed() {
    let mut node = Node::new();
    let web = Arc::clone(&node.web);
    let [client, _] = node.ends(40_000);
    let failure = TcpConnectFailure {
        tcp: client,
        errno: 111,
        sent: true,
        duration_ns: Some(5 * MS),
        syn_retransmits: 0,
    };
    let name = node.happens(&web, 1_000 * MS, Detail::TcpConnectFailure(failure)).unwrap();
    let spans = node.spans();
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    assert!(is_error(span) && span.span_id == name.span.0 && span.trace_id == name.trace.0);
    assert_eq!(text(span, "error.type"), "refused");
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 5 * MS);
}

#[test]
fn nothing_new_is_remembered_where_no_memory_is_left() {
    let mut node = Node::new();
    let (web, db) = (Arc::clone(&node.web), Arc::clone(&node.db));
    let [known, new] = [40_000, 40_002].map(|port| node.ends(port));
    node.opens(&known, 1_000 * MS, 300 * MS);
    node.room.set(0);
    node.opens(&new, 1_000 * MS, 300 * MS);
    for ends in [&known, &new] {
        node.closes(&db, &ends[1], 2_000 * MS, 999 * MS, 0);
        node.closes(&web, &ends[0], 2_001 * MS, 1_301 * MS, 0);
    }
    let ports: Vec<_> = node.spans().iter().map(|span| text(span, "source.port").to_owned()).collect();
    assert_eq!(ports.len(), 2, "{ports:?}");
    // What fails then is told all the same, without its other side.
    node.opens(&new, 3_000 * MS, MS);
    node.closes(&db, &new[1], 4_000 * MS, 999 * MS, 0);
    node.closes(&web, &new[0], 4_001 * MS, 1_301 * MS, 110);
    let spans = node.spans();
    let [client] = spans.as_slice() else { panic!("{spans:#?}") };
    assert!(is_error(client) && client.kind() == SpanKind::Client);
    // And there is room again.
    node.room.set(1 << 20);
    node.opens(&new, 5_000 * MS, 300 * MS);
    node.closes(&db, &new[1], 6_000 * MS, 999 * MS, 0);
    node.closes(&web, &new[0], 6_001 * MS, 1_301 * MS, 0);
    assert_eq!(node.spans().len(), 2);
}

#[test]
fn what_ends_first_of_many_does_not_keep_the_other_side_from_being_told() {
    let mut node = Node::new();
    let (web, db) = (Arc::clone(&node.web), Arc::clone(&node.db));
    let all: Vec<_> = (0..5_000).map(|number| node.ends(10_000 + 2 * number)).collect();
    for (number, ends) in all.iter().enumerate() {
        let took = if number == 4_999 { 300 * MS } else { MS };
        node.opens(ends, 1_000 * MS, took);
        node.closes(&db, &ends[1], 2_000 * MS, 999 * MS, 0);
    }
    let told_at_once = node.spans();
    let [server] = told_at_once.as_slice() else { panic!("{}", told_at_once.len()) };
    for ends in &all {
        node.closes(&web, &ends[0], 3_000 * MS, 2_001 * MS, 110);
    }
    let spans = node.spans();
    let count = |kind| spans.iter().filter(|span| span.kind() == kind).count();
    // The servers' ends that were kept, and no more.
    assert_eq!((count(SpanKind::Client), count(SpanKind::Server)), (5_000, 4_096));
    let last = spans.iter().find(|span| span.trace_id == server.trace_id).unwrap();
    assert_eq!(server.parent_span_id, last.span_id);
    assert!(spans.iter().all(|span| span.links.is_empty()));
}
