//! Tables are read as they were written, by the library's own reader; tests/replay.rs has another one read them.

use bytes::Bytes;
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Edge, Event, EventType, PeerKind, Summary, TcpClose, TcpCounters, TcpSummary};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::Value;

use super::super::testing;
use super::*;

/// The rows, by their columns' names.
#[allow(clippy::wildcard_enum_match_arm, reason = "tables have no others")]
fn rows(file: Vec<u8>) -> Vec<Value> {
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    let value = |field: &Field| match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => (*flag).into(),
        Field::Long(number) => (*number).into(),
        Field::Str(text) => text.as_str().into(),
        other => other.to_string().into(),
    };
    let row = |row: Row| row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect();
    reader.get_row_iter(None).unwrap().map(|one| Value::Object(row(one.unwrap()))).collect()
}

#[test]
fn events_are_rows_with_typed_columns() {
    let mut table = Table::new("events", EVENTS, Vec::new()).unwrap();
    let exit = observer_proto::v1::ProcessExit {
        code: Some(137),
        run_time_ns: Some(7),
        ..observer_proto::v1::ProcessExit::default()
    };
    let empty = Event::default();
    let counters = Some(TcpCounters { retransmitted_segments: 3, sent_bytes: 9, ..TcpCounters::default() });
    let close = TcpClose { counters, ..TcpClose::default() };
    for event in [
        testing::connect(),
        testing::event(EventType::ProcessExit, Detail::ProcessExit(exit)),
        empty,
        testing::event(EventType::TcpClose, Detail::TcpClose(close)),
    ] {
        table.add(&event).unwrap();
    }
    let rows = rows(table.finish().unwrap());
    assert_eq!(rows.len(), 4);
    // Each of them was told as it was sent again: the column may be added up.
    assert!(rows[3]["retransmits"].is_null() && rows[3]["sent_bytes"] == 9);
    let connect = &rows[0];
    assert_eq!(connect["type"], "tcp_connect");
    assert_eq!(connect["direction"], "outgoing");
    assert_eq!(connect["destination_port"], 6379);
    assert!(connect["latency_ns"].as_i64().unwrap() > 0 && connect["exit_code"].is_null());
    assert_eq!((&rows[1]["exit_code"], &rows[1]["duration_ns"]), (&137.into(), &7.into()));
    assert!(rows[2]["time"].is_null() && rows[2]["pod"].is_null());
    let whole: Value = serde_json::from_str(connect["event"].as_str().unwrap()).unwrap();
    assert_eq!(whole["tcp_connect"]["tcp"]["destination"]["port"], 6379);
}

#[test]
fn summaries_are_rows_as_well() {
    let mut table = Table::new("summaries", SUMMARIES, Vec::new()).unwrap();
    let own = Summary {
        window_start: Some(testing::AT),
        window_ns: 10,
        workload: Some(testing::pod("shop", "web", "app")),
        tcp: Some(TcpSummary { opened: 4, failed: 1, ..TcpSummary::default() }),
        ..Summary::default()
    };
    let edge =
        Edge { kind: PeerKind::Outside.into(), address: "10.0.0.9".to_owned(), port: 443, ..Edge::default() };
    table.add(&own).unwrap();
    table.add(&Summary { edge: Some(edge), ..own }).unwrap();
    let rows = rows(table.finish().unwrap());
    assert_eq!((&rows[0]["opened"], &rows[0]["port"]), (&4.into(), &Value::Null));
    assert_eq!((&rows[1]["peer_kind"], &rows[1]["peer_address"]), (&"outside".into(), &"10.0.0.9".into()));
    assert!(rows[1]["handshake_p50_ns"].is_null());
}

#[test]
fn many_rows_are_written_group_by_group() {
    let mut table = Table::new("events", EVENTS, Vec::new()).unwrap();
    for sequence in 0..ROWS_AT_ONCE as u64 * 2 + 5 {
        table.add(&Event { sequence, ..Event::default() }).unwrap();
    }
    let file = table.finish().unwrap();
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    assert_eq!(reader.num_row_groups(), 3);
    assert_eq!(reader.metadata().file_metadata().num_rows(), ROWS_AT_ONCE as i64 * 2 + 5);
}
