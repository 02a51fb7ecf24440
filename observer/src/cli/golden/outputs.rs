//! What each command writes in each format, to the letter: for the messages in `messages`, a line each, in JSON.

use std::io::{self, Write};

use expect_test::expect_file;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{
    EventType, ExplainResponse, FILE_DESCRIPTOR_SET, GetIncidentResponse, GetStatusResponse,
    ListConnectionsResponse, ListIncidentsResponse, ListListenersResponse, ListWorkloadsResponse,
    WatchEventsResponse, WatchSummariesResponse,
};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::client::testing::look;
use crate::client::{
    Format, Lines, Look, Painter, Sort, TimeFormat, Window, listing, write_brief, write_explanation,
    write_incident, write_incidents, write_status, write_tables, write_whole,
};

const FORMATS: [(Format, &str); 4] =
    [(Format::Compact, "compact"), (Format::Wide, "wide"), (Format::Json, "json"), (Format::Yaml, "yaml")];

/// The messages of a file.
fn messages<M: Message + Default>(file: &str, name: &str) -> Vec<M> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let descriptor = pool.get_message_by_name(&format!("observer.v1.{name}")).unwrap();
    let path = format!("{}/src/cli/golden/messages/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let message = |line: &str| {
        let mut text = serde_json::Deserializer::from_str(line);
        let message = DynamicMessage::deserialize(descriptor.clone(), &mut text).unwrap();
        M::decode(message.encode_to_vec().as_slice()).unwrap()
    };
    text.lines().map(message).collect()
}

fn message<M: Message + Default>(file: &str, name: &str) -> M {
    let mut all = messages(file, name);
    assert_eq!(all.len(), 1, "{file}");
    all.remove(0)
}

/// What is written in each format is in `outputs`.
fn shown(command: &str, write: impl Fn(&mut dyn Write, &Look) -> io::Result<()>) {
    for (format, name) in FORMATS {
        let look = Look { format, times: TimeFormat::Rfc3339, ..look() };
        let mut out = Vec::new();
        write(&mut out, &look).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(
            !out.contains(|letter: char| letter.is_control() && letter != '\n'),
            "{command} {name}: {out:?}"
        );
        expect_file![format!("outputs/{command}.{name}.txt")].assert_eq(&out);
    }
}

/// In colours, at a width.
fn painted(command: &str, write: impl Fn(&mut dyn Write, &Look) -> io::Result<()>) {
    let painter = Painter { enabled: true };
    let look = Look { painter, width: Some(100), times: TimeFormat::Relative, ..look() };
    let mut out = Vec::new();
    write(&mut out, &look).unwrap();
    let out = String::from_utf8(out).unwrap().replace('\x1b', "ESC");
    expect_file![format!("outputs/{command}.painted.txt")].assert_eq(&out);
}

#[test]
fn events() {
    let all: Vec<WatchEventsResponse> = messages("events", "WatchEventsResponse");
    for of in (1..).map_while(|number| EventType::try_from(number).ok()) {
        let is_of =
            |one: &WatchEventsResponse| matches!(&one.payload, Some(Payload::Event(e)) if e.r#type() == of);
        assert!(all.iter().any(is_of), "no event of type {of:?} among the examples");
    }
    let write = |out: &mut dyn Write, look: &Look| {
        let mut lines = Lines::new(look);
        all.iter().try_for_each(|message| lines.write(out, message))
    };
    shown("events", write);
    painted("events", write);
}

/// A window's tables, and what `observer follow` shows of it.
#[test]
fn summary() {
    let all: Vec<WatchSummariesResponse> = messages("summary", "WatchSummariesResponse");
    let finished = || {
        let mut window = Window::default();
        all.iter().find_map(|message| window.add(message.clone())).unwrap()
    };
    shown("summary", |out, look| {
        if look.is_whole() {
            return all.iter().try_for_each(|one| write_whole(out, look, "WatchSummariesResponse", one));
        }
        write_tables(out, look, &mut finished(), Sort::Worst)
    });
    painted("summary", |out, look| write_tables(out, look, &mut finished(), Sort::Worst));
    painted("follow", |out, look| write_brief(out, look, &mut finished(), 5));
}

#[test]
fn connections() {
    let connections: ListConnectionsResponse = message("connections", "ListConnectionsResponse");
    shown("connections", |out, look| listing::write_connections(out, look, &connections));
    painted("connections", |out, look| listing::write_connections(out, look, &connections));
    let listeners: ListListenersResponse = message("listeners", "ListListenersResponse");
    shown("listeners", |out, look| listing::write_listeners(out, look, &listeners));
}

#[test]
fn workloads() {
    let workloads: ListWorkloadsResponse = message("workloads", "ListWorkloadsResponse");
    shown("workloads", |out, look| listing::write_workloads(out, look, &workloads));
    painted("workloads", |out, look| listing::write_workloads(out, look, &workloads));
}

#[test]
fn explain() {
    let explanation: ExplainResponse = message("explain", "ExplainResponse");
    let connections: ListConnectionsResponse = message("connections", "ListConnectionsResponse");
    shown("explain", |out, look| {
        if look.is_whole() {
            return explanation.edges.iter().try_for_each(|edge| write_whole(out, look, "Summary", edge));
        }
        write_explanation(out, look, &explanation, &connections)
    });
    painted("explain", |out, look| write_explanation(out, look, &explanation, &connections));
}

#[test]
fn incidents() {
    let incidents: ListIncidentsResponse = message("incidents", "ListIncidentsResponse");
    shown("incidents", |out, look| write_incidents(out, look, &incidents));
    painted("incidents", |out, look| write_incidents(out, look, &incidents));
    let incident: GetIncidentResponse = message("incident", "GetIncidentResponse");
    shown("incident", |out, look| write_incident(out, look, &incident));
    painted("incident", |out, look| write_incident(out, look, &incident));
}

#[test]
fn status() {
    let status: GetStatusResponse = message("status", "GetStatusResponse");
    let status = status.status.unwrap();
    shown("status", |out, look| write_status(out, look, &status));
    painted("status", |out, look| write_status(out, look, &status));
}
