//! Tests of spans: which are told, how they are linked, and their times.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost_types::Timestamp;

use super::*;
use crate::event::{
    ContainerStart, ContainerStop, Counters, Ending, ResetDirection, Tcp, TcpClose, TcpConnect,
    TcpConnectFailure, TcpReset, Workload, examples,
};
use crate::export::otlp::attributes::of;

const MS: u64 = 1_000_000;

struct Node {
    traces: Traces,
    told: Vec<Told>,
    web: Arc<Workload>,
    db: Arc<Workload>,
}

impl Node {
    fn new() -> Self {
        let slow = Slow { connect_ns: Some(100 * MS), rtt_ns: Some(50 * MS) };
        let traces = Traces::new(&"node".into(), slow);
        let (web, db) = (examples::pod(1, "shop", "web"), examples::pod(2, "shop", "db"));
        Self { traces, told: Vec::new(), web, db }
    }

    fn happens(&mut self, whose: &Arc<Workload>, boot_ns: u64, detail: Detail) -> Option<SpanName> {
        let event = Arc::new(examples::event(whose, boot_ns, detail));
        self.traces.event(&event, &mut self.told)
    }

    /// Both sides of a connection from web to db.
    fn ends(&self, port: u16) -> [Tcp; 2] {
        let mut client = examples::tcp(u64::from(port), true, "10.0.0.2:5432", Some(&self.db));
        client.local.set_port(port);
        let mut server = examples::tcp(u64::from(port) + 1, false, "10.0.0.1:1", Some(&self.web));
        (server.local, server.remote) = (client.remote, client.local);
        [client, server]
    }

    fn opens(&mut self, [client, server]: &[Tcp; 2], at: u64, took: u64) {
        let (web, db) = (Arc::clone(&self.web), Arc::clone(&self.db));
        let connect = TcpConnect { tcp: client.clone(), handshake_latency_ns: took };
        self.happens(&web, at, Detail::TcpConnect(connect));
        self.happens(&db, at + MS / 10, examples::accept(server));
    }

    fn closes(&mut self, whose: &Arc<Workload>, tcp: &Tcp, at: u64, lived: u64, errno: u32) {
        let counters = Counters { rtt_ns: Some(MS), ..examples::counters(1, 0) };
        let close = TcpClose { tcp: tcp.clone(), duration_ns: Some(lived), counters, errno };
        self.happens(whose, at, Detail::TcpClose(close));
    }

    fn spans(&mut self) -> Vec<Span> {
        self.told.drain(..).map(|told| told.span).collect()
    }
}

fn text<'a>(span: &'a Span, key: &str) -> &'a str {
    match of(&span.attributes, key) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().unwrap().code() == StatusCode::Error
}

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
fn a_side_whose_other_one_is_elsewhere_links_to_it() {
    let mut node = Node::new();
    let db = Arc::clone(&node.db);
    let [asks, server] = node.ends(40_000);
    node.happens(&db, 1_000 * MS, examples::accept(&server));
    node.closes(&db, &server, 2_000 * MS, 1_000 * MS, 110);
    let spans = node.spans();
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    assert!(span.parent_span_id.is_empty());
    assert_eq!(text(span, "error.type"), "timed_out");
    // As the other node names it, which has seen it a little earlier.
    let time = crate::event::WallTime(examples::WALL_NS + 995 * MS);
    let there = super::super::ids::Ends::of(&asks).span(super::super::ids::Side::Client, time, "other");
    assert_eq!(
        (span.trace_id.as_slice(), span.links[0].span_id.as_slice()),
        (&there.trace.0[..], &there.span.0[..])
    );
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

fn incident(state: v1::IncidentState, about: &str, edge: Option<v1::Edge>) -> v1::Incident {
    let workload = v1::Workload {
        kind: v1::WorkloadKind::Pod.into(),
        pod_uid: about.to_owned(),
        namespace: "shop".to_owned(),
        ..v1::Workload::default()
    };
    let time = |seconds: i64| Some(Timestamp { seconds: 1_700_000_000 + seconds, nanos: 0 });
    let firing = v1::Firing {
        kind: v1::TriggerKind::ConnectFailures.into(),
        first_time: time(2),
        workload: Some(workload),
        edge,
        ..v1::Firing::default()
    };
    v1::Incident {
        id: "inc-1".to_owned(),
        title: "web cannot reach db".to_owned(),
        state: state.into(),
        firings: vec![firing],
        open_time: time(2),
        close_time: (state == v1::IncidentState::Closed).then(|| time(9)).flatten(),
        ..v1::Incident::default()
    }
}

#[test]
fn what_belongs_to_an_incident_is_told_also_from_before_it() {
    let mut node = Node::new();
    let (web, db) = (Arc::clone(&node.web), Arc::clone(&node.db));
    for (port, at) in [(40_000, 1_000), (40_002, 4_000)] {
        let ends = node.ends(port);
        node.opens(&ends, at * MS, MS);
        node.closes(&web, &ends[0], (at + 500) * MS, 501 * MS, 0);
        node.closes(&db, &ends[1], (at + 500) * MS, 500 * MS, 0);
        if at == 1_000 {
            assert!(node.spans().is_empty());
            let edge =
                v1::Edge { address: "10.0.0.2".into(), port: 5432, outgoing: true, ..v1::Edge::default() };
            let of_another = v1::Edge { port: 80, ..edge.clone() };
            let other = v1::Incident {
                id: "o".into(),
                ..incident(v1::IncidentState::Open, "uid-1", Some(of_another))
            };
            node.traces.incident(&other, &mut node.told);
            assert!(node.spans().is_empty());
            let open = incident(v1::IncidentState::Open, "uid-1", Some(edge));
            node.traces.incident(&open, &mut node.told);
            node.traces.incident(&open, &mut node.told);
        }
        let spans = node.spans();
        assert_eq!(spans.len(), 2, "{spans:#?}");
        assert!(spans.iter().any(|span| text(span, "observer.incident.id") == "inc-1"));
        assert!(!spans.iter().any(is_error));
    }
    let name = node.traces.incident(&incident(v1::IncidentState::Closed, "uid-1", None), &mut node.told);
    let spans = node.spans();
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!((span.span_id.as_slice(), span.name.as_str()), (&name.span.0[..], "incident"));
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 7_000 * MS);
    assert!(is_error(span) && span.links.len() >= 2);
    assert_eq!(span.events[0].name, "connect_failures");
}

#[test]
fn a_crash_and_its_restart() {
    let mut node = Node::new();
    let web = Arc::clone(&node.web);
    let stop = |code| ContainerStop {
        ending: Some(Ending::Code(code)),
        run_time_ns: Some(300 * MS),
        executed: true,
        ..ContainerStop::default()
    };
    let start = || ContainerStart { since_last_end_ns: Some(200 * MS), ..ContainerStart::default() };
    assert!(node.happens(&web, 500 * MS, Detail::ContainerStart(start())).is_none());
    let name = node.happens(&web, 1_000 * MS, Detail::ContainerStop(stop(3))).unwrap();
    node.happens(&web, 1_200 * MS, Detail::ContainerStart(start())).unwrap();
    node.happens(&web, 1_500 * MS, Detail::ContainerStop(stop(4))).unwrap();
    node.happens(&web, 1_700 * MS, Detail::ContainerStart(start())).unwrap();
    assert!(node.happens(&web, 2_000 * MS, Detail::ContainerStop(stop(0))).is_none());
    let spans = node.spans();
    let [crash, restart, second, again] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!(crash.span_id, name.span.0);
    assert!(is_error(crash) && is_error(second) && !is_error(restart));
    assert_eq!(of(&crash.attributes, "process.exit.code"), Some(&Value::IntValue(3)));
    assert_eq!(crash.end_time_unix_nano - crash.start_time_unix_nano, 300 * MS);
    assert_eq!((&restart.trace_id, &restart.parent_span_id), (&crash.trace_id, &crash.span_id));
    assert_eq!(restart.links[0].span_id, crash.span_id);
    assert_eq!(restart.start_time_unix_nano, crash.end_time_unix_nano);
    assert_eq!((&second.links[0].span_id, &again.parent_span_id), (&restart.span_id, &second.span_id));
    assert_ne!(second.trace_id, crash.trace_id);
}

#[test]
fn a_restart_that_is_told_before_the_crash() {
    let mut node = Node::new();
    let web = Arc::clone(&node.web);
    let again = Arc::new(Workload { container_id: "another".into(), cgroup_id: 77, ..Workload::clone(&web) });
    let stop = ContainerStop { ending: Some(Ending::Code(3)), executed: true, ..ContainerStop::default() };
    node.happens(&web, 1_000 * MS, Detail::ContainerStart(ContainerStart::default()));
    node.happens(&again, 1_200 * MS, Detail::ContainerStart(ContainerStart::default()));
    node.happens(&web, 1_100 * MS, Detail::ContainerStop(stop.clone()));
    node.happens(&again, 1_500 * MS, Detail::ContainerStop(stop));
    let spans = node.spans();
    let [crash, restart, second] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!((&restart.trace_id, &restart.parent_span_id), (&crash.trace_id, &crash.span_id));
    assert_eq!(restart.end_time_unix_nano - restart.start_time_unix_nano, 100 * MS);
    assert_eq!(second.links[0].span_id, restart.span_id);
}
