//! Another moment than the snapshot's shows what events tell of it.

use observer_proto::v1;
use observer_proto::v1::event::Detail;
use prost::Message as _;

use super::moment::Moment;
use crate::event::WallTime;
use crate::record::{Block, Filling, Kind, Limits, Raw, Store};
use crate::wire::timestamp;

const S: u64 = 1_000_000_000;

fn at(second: u64) -> WallTime {
    WallTime(second * S)
}

#[allow(clippy::unnecessary_wraps, reason = "messages hold it so")]
fn tcp(id: &str) -> Option<v1::Tcp> {
    let end = |port| Some(v1::Endpoint { address: "10.0.0.1".to_owned(), port, ..v1::Endpoint::default() });
    let (source, destination) = (end(40_000), end(80));
    Some(v1::Tcp { connection_id: id.to_owned(), source, destination, outgoing: true, ..v1::Tcp::default() })
}

fn connect(id: &str) -> Detail {
    Detail::TcpConnect(v1::TcpConnect { tcp: tcp(id), handshake_latency_ns: 5 })
}

fn close(id: &str, lived_s: u64) -> Detail {
    Detail::TcpClose(v1::TcpClose {
        tcp: tcp(id),
        duration_ns: Some(lived_s * S),
        counters: None,
        error: String::new(),
    })
}

/// A store with these events, each at its second.
fn store(events: Vec<(u64, Detail)>) -> Store {
    stored(vec![(1, events)])
}

/// A store with runs, each from its second on, with its events.
fn stored(runs: Vec<(u64, Vec<(u64, Detail)>)>) -> Store {
    let store = Store::in_memory(Limits { bytes: 1 << 30, age_ns: u64::MAX }).unwrap();
    let parts = runs.into_iter().flat_map(|(start, events)| {
        let run = v1::RecordedRun {
            start_time: Some(timestamp(at(start))),
            last_sequence: 99,
            ..Default::default()
        };
        [Raw::Run(run), Raw::Block(block(events))]
    });
    store.take_in(parts, at(100)).unwrap();
    store
}

fn block(events: Vec<(u64, Detail)>) -> Block {
    let mut filling = Filling::new(Kind::Events);
    for (sequence, (second, detail)) in (1..).zip(events) {
        let event = v1::Event {
            sequence,
            time: Some(timestamp(at(second))),
            detail: Some(detail),
            ..v1::Event::default()
        };
        let payload = v1::WatchEventsResponse {
            payload: Some(v1::watch_events_response::Payload::Event(event)),
            ..v1::WatchEventsResponse::default()
        };
        filling.push(sequence, [at(second); 2], &payload.encode_to_vec());
    }
    filling.block()
}

fn live(store: &Store, snapshot: &v1::Snapshot, second: u64) -> Vec<String> {
    let moment = Moment::of(store, snapshot.clone(), at(second)).unwrap();
    assert_eq!(moment.time, at(second));
    moment.connections.iter().map(|one| format!("{:x}", one.tcp.id.0)).collect()
}

#[test]
fn connections_are_those_that_were_open_then() {
    let store = store(vec![
        (10, connect("a")),
        (20, connect("b")),
        (30, close("a", 20)),
        // Its start is older than the recording.
        (50, close("c", 45)),
        (60, connect("d")),
    ]);
    // `e` was open all the time and tells nothing; `f` was opened later than asked.
    let of = |id: &str, start: u64| v1::Connection {
        tcp: tcp(id),
        start_time: Some(timestamp(at(start))),
        counters: Some(v1::TcpCounters { sent_bytes: 7, ..v1::TcpCounters::default() }),
        ..v1::Connection::default()
    };
    let connections = vec![of("b", 20), of("e", 2), of("f", 38)];
    let snapshot = v1::Snapshot { time: Some(timestamp(at(40))), connections, ..v1::Snapshot::default() };
    assert_eq!(live(&store, &snapshot, 40), ["b", "e", "f"], "the snapshot's own moment");
    assert_eq!(live(&store, &snapshot, 15), ["a", "c", "e"]);
    assert_eq!(live(&store, &snapshot, 25), ["a", "b", "c", "e"]);
    assert_eq!(live(&store, &snapshot, 35), ["b", "c", "e"]);
    assert_eq!(live(&store, &snapshot, 70), ["b", "d", "e", "f"]);
    // What the snapshot says of sockets is of its own moment alone.
    let bytes = |second| {
        let moment = Moment::of(&store, snapshot.clone(), at(second)).unwrap();
        moment.connections.iter().find(|one| one.tcp.id.0 == 0xe).unwrap().counters.sent_bytes
    };
    assert_eq!((bytes(40), bytes(35)), (7, 0));
}

#[test]
fn connections_of_a_run_are_not_those_of_the_next_one() {
    let store = stored(vec![
        (1, vec![(10, connect("a")), (20, connect("b"))]),
        // One of them ends in it, so it was there all the time.
        (50, vec![(60, connect("c")), (90, close("b", 70))]),
    ]);
    let snapshot = v1::Snapshot::default();
    assert_eq!(live(&store, &snapshot, 45), ["a", "b"]);
    assert_eq!(live(&store, &snapshot, 70), ["b", "c"]);
    assert_eq!(live(&store, &snapshot, 95), ["c"]);
}
