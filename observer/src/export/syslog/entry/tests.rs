//! Tests of messages: which are worth one, and what is in it.

use std::sync::Arc;

use observer_proto::v1::IncidentState;

use super::*;
use crate::config::exporters::Exporters;
use crate::event::{Loss, LossSource, Now};

fn entries(settings: &str) -> Entries {
    let text = format!("[syslog.a]\naddress = 'journal'\n{settings}");
    let exporters = Exporters::read(toml::de::DeTable::parse(&text).unwrap().into_inner()).unwrap();
    let syslog = exporters.syslog.into_values().next().unwrap();
    let incidents = syslog.selection().incidents().unwrap();
    Entries::new(&syslog, &Arc::from("node1"), incidents)
}

fn lost() -> Told {
    let at = crate::event::BootTime(1);
    let source = LossSource::Ring;
    Told::Lost(Loss { source, kind: "tcp_close", cpu: None, count: 7, since: at, until: at }, Now::default())
}

fn incident(state: IncidentState) -> Told {
    let workload = Workload { namespace: "shop".into(), pod: "cart".into(), ..Workload::default() };
    Told::Incident(Arc::new(Incident {
        id: "20260131-1".to_owned(),
        title: "cart was killed\u{1b}[2J".to_owned(),
        state: state.into(),
        workloads: vec![workload],
        open_time: Some(Timestamp { seconds: 1_769_847_123, nanos: 114_159_265 }),
        ..Incident::default()
    }))
}

fn value<'a>(entry: &'a Entry, name: &str) -> Option<&'a str> {
    entry.fields.iter().find(|(of, _)| *of == name).map(|(_, value)| value.as_str())
}

#[test]
fn incidents_are_told_twice() {
    let mut entries = entries("allow = { namespace = 'shop' }");
    let opened = entries.of(&incident(IncidentState::Open)).unwrap();
    assert_eq!((opened.severity, opened.kind.as_str()), (Severity::Err, "incident"));
    assert_eq!(opened.text, "incident 20260131-1 opened: cart was killed\\x1b[2J");
    assert_eq!(opened.time, "2026-01-31T08:12:03.114159Z");
    assert_eq!(value(&opened, "OBSERVER_INCIDENT"), Some("20260131-1"));
    assert_eq!(value(&opened, "OBSERVER_POD"), Some("cart"));
    assert_eq!(entries.of(&incident(IncidentState::Open)), None);
    let closed = entries.of(&incident(IncidentState::Closed)).unwrap();
    assert_eq!(closed.severity, Severity::Notice);
    assert!(closed.text.starts_with("incident 20260131-1 closed: "));
    assert_eq!(entries.of(&incident(IncidentState::Closed)), None);
    let mut others = self::entries("allow = { namespace = 'bank' }");
    assert_eq!(others.of(&incident(IncidentState::Open)), None);
}

#[test]
fn what_matters_too_little_is_left_out() {
    let mut all = entries("min_severity = 'info'\nformat = 'json'");
    let told = all.of(&lost()).unwrap();
    assert_eq!((told.severity, told.kind.as_str()), (Severity::Warning, "lost"));
    let json: serde_json::Value = serde_json::from_str(&told.text).unwrap();
    assert_eq!((&json["lost"]["count"], &json["node_name"]), (&7.into(), &"node1".into()));
    assert_eq!(all.stopping().unwrap().severity, Severity::Notice);
    let mut few = entries("min_severity = 'err'");
    assert_eq!((few.of(&lost()), few.stopping()), (None, None));
    assert!(few.of(&incident(IncidentState::Open)).is_some());
}
