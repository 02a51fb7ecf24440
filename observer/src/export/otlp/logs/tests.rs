//! Tests of log records.

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::*;
use crate::event::{Detail, Now, TcpConnectFailure, examples};
use crate::export::otlp::attributes::of;
use crate::export::otlp::ids::{SpanId, TraceId};
use crate::wire::Published;

fn logs() -> Logs {
    Logs::new(Default::default(), &"node".into())
}

fn text(record: &LogRecord) -> &str {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_event_is_a_record_for_people_and_machines() {
    let tcp = examples::tcp(7, true, "10.0.0.2:5432", Some(&examples::pod(2, "shop", "db")));
    let failure = TcpConnectFailure { tcp, errno: 111, sent: true, duration_ns: Some(5), syn_retransmits: 1 };
    let event = examples::event(&examples::pod(1, "shop", "web"), 9, Detail::TcpConnectFailure(failure));
    let told = Told::Event(Published::new(&Arc::new(event), &"node".into()));
    let span = SpanName { trace: TraceId([1; 16]), span: SpanId([2; 8]) };
    let (workload, record) = logs().of(&told, Some(span)).unwrap();
    assert_eq!(workload.unwrap().pod, "web");
    assert_eq!(record.time_unix_nano, examples::WALL_NS + 9);
    assert!(record.observed_time_unix_nano > examples::WALL_NS);
    assert_eq!(
        (record.severity_number(), record.event_name.as_str()),
        (SeverityNumber::Error, "observer.tcp_connect_failure")
    );
    assert!(
        text(&record).starts_with("shop/web/app -> shop/db") && text(&record).contains("refused"),
        "{}",
        text(&record)
    );
    assert_eq!(of(&record.attributes, "error.type"), Some(&Value::StringValue("refused".into())));
    assert_eq!(of(&record.attributes, "destination.port"), Some(&Value::IntValue(5432)));
    assert_eq!((record.trace_id.len(), record.span_id.len(), record.flags), (16, 8, 1));
}

#[test]
fn an_incident_is_told_when_it_is_opened_and_closed() {
    let mut logs = logs();
    let incident = |state: v1::IncidentState| {
        let title = "db\u{1b}[31m is down".to_owned();
        Told::Incident(Arc::new(v1::Incident {
            id: "i".into(),
            title,
            state: state.into(),
            ..v1::Incident::default()
        }))
    };
    let (_, opened) = logs.of(&incident(v1::IncidentState::Open), None).unwrap();
    assert!(logs.of(&incident(v1::IncidentState::Open), None).is_none());
    let (_, closed) = logs.of(&incident(v1::IncidentState::Closed), None).unwrap();
    assert!(logs.of(&incident(v1::IncidentState::Closed), None).is_none());
    assert_eq!(
        (opened.event_name.as_str(), closed.event_name.as_str()),
        ("observer.incident.opened", "observer.incident.closed")
    );
    assert!(text(&opened).starts_with("incident i opened: db") && !text(&opened).contains('\u{1b}'));
}

#[test]
fn what_was_lost_is_told_as_well() {
    let loss = crate::event::Loss {
        source: crate::event::LossSource::Ring,
        kind: "events",
        cpu: None,
        count: 5,
        since: crate::event::BootTime(1),
        until: crate::event::BootTime(2),
    };
    let (workload, record) = logs().of(&Told::Lost(loss, Now::default()), None).unwrap();
    assert!(workload.is_none() && record.severity_number() == SeverityNumber::Warn);
    assert_eq!(of(&record.attributes, "observer.count"), Some(&Value::IntValue(5)));
}
