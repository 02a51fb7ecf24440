//! Tests of spans: which are told, how they are linked, and their times.

mod connections;

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost_types::Timestamp;

use super::*;
use crate::event::{
    ContainerStart, ContainerStop, Counters, Ending, Tcp, TcpClose, TcpConnect, Workload, examples,
};
use crate::export::otlp::attributes::{any, of};
use crate::room::Room;

const MS: u64 = 1_000_000;

struct Node {
    room: Room,
    traces: Traces,
    told: Vec<Told>,
    web: Arc<Workload>,
    db: Arc<Workload>,
}

impl Node {
    fn new() -> Self {
        let slow = Slow { connect_ns: Some(100 * MS), rtt_ns: Some(50 * MS) };
        let room = Room::default();
        let traces = Traces::new(&"node".into(), slow, &room);
        let (web, db) = (examples::pod(1, "shop", "web"), examples::pod(2, "shop", "db"));
        Self { room, traces, told: Vec::new(), web, db }
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
            let another = v1::Incident { id: "inc-2".into(), ..open };
            node.traces.incident(&another, &mut node.told);
        }
        let spans = node.spans();
        assert_eq!(spans.len(), 2, "{spans:#?}");
        let ids = |span: &Span| match of(&span.attributes, "observer.incident.ids") {
            Some(Value::ArrayValue(ids)) => ids.values.clone(),
            _ => Vec::new(),
        };
        let expected: &[&str] = if at == 1_000 { &["inc-1"] } else { &["inc-1", "inc-2"] };
        let expected: Vec<_> = expected.iter().map(|id| any(id)).collect();
        assert!(spans.iter().any(|span| ids(span) == expected), "{spans:#?}");
        for span in &spans {
            let keys: BTreeSet<_> = span.attributes.iter().map(|one| &one.key).collect();
            assert_eq!(keys.len(), span.attributes.len(), "{span:#?}");
        }
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
fn what_finds_no_room_in_an_incident_is_counted_once() {
    let mut node = Node::new();
    let web = Arc::clone(&node.web);
    let mut open = incident(v1::IncidentState::Open, "uid-1", None);
    for round in 0..300 {
        let [tcp, _] = node.ends(40_000 + round);
        let errno = if round < 290 { 110 } else { 0 };
        node.closes(&web, &tcp, (1_000 + u64::from(round)) * MS, MS, errno);
        if round == 0 || round == 299 {
            // What is told already is not told once more when a trigger fires again.
            node.traces.incident(&open, &mut node.told);
            open.firings.push(open.firings[0].clone());
        }
    }
    assert_eq!(node.spans().len(), 290);
    node.traces.incident(&v1::Incident { state: v1::IncidentState::Closed.into(), ..open }, &mut node.told);
    let spans = node.spans();
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    let omitted = of(&span.attributes, "observer.incident.omitted_connections");
    assert_eq!((span.links.len(), omitted), (256, Some(&Value::IntValue(44))));
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
