//! What a store has is in a file, and in the store that is made of it, as far as somebody may see it.

use observer_proto::v1::{self, Event, ExportedBlock, Gap, Incident, RecordedRun, Snapshot, StoredIncident};
use prost::Message as _;
use prost_types::Timestamp;

use super::raw::told;
use super::tests::{header, read};
use super::*;
use crate::event::WallTime;
use crate::filter::{Filters, Scope};
use crate::record::block::frame;
use crate::record::{self, Block, Filling, Limits, Place, Raw, Recorded, Store};
use crate::wire::timestamp;

/// A store with events of two runs, a gap, and what became known later.
fn stored() -> Store {
    let limits = Limits { bytes: 64 << 20, age_ns: u64::MAX };
    let store = Store::in_memory(limits).unwrap();
    let mut parts = Vec::new();
    for run in 1..3 {
        let start_time = Some(Timestamp { seconds: run * 1_000, nanos: 5 });
        parts.push(Raw::Run(RecordedRun {
            start_time,
            last_sequence: 300,
            ended: true,
            ..RecordedRun::default()
        }));
        for first in [1, 101, 201] {
            let mut filling = Filling::new(record::Kind::Events);
            for sequence in first..first + 100 {
                let at = WallTime((run as u64 * 1_000 + sequence) * 1_000_000_000);
                let event = Event { sequence, time: Some(timestamp(at)), ..Event::default() };
                filling.push(sequence, [at, at], &frame(&event.encode_to_vec()));
            }
            parts.push(Raw::Block(filling.block()));
        }
        let gap = Gap { message: "the disk was full".to_owned(), ..Gap::default() };
        parts.push(Raw::Gap(100, gap));
        let amended = Event { sequence: 7, node_name: "later".to_owned(), ..Event::default() };
        parts.push(Raw::Amended(7, frame(&amended.encode_to_vec()).into()));
    }
    store.take_in(parts, WallTime(0)).unwrap();
    store
}

fn all(store: &Store) -> Vec<(u32, Vec<Recorded>)> {
    let (mut from, mut chunks) = (Place::default(), Vec::new());
    while let Some(chunk) = store.forward(from).unwrap() {
        from = chunk.after;
        chunks.push((chunk.run.number, chunk.items));
    }
    chunks
}

#[test]
fn what_a_store_has_is_in_a_file_and_in_the_store_that_is_made_of_it() {
    let before = stored();
    let incident = StoredIncident {
        incident: Some(Incident { id: "i-1".to_owned(), ..Incident::default() }),
        opening: Some(Snapshot { connections_total: 3, ..Snapshot::default() }),
    };
    let whole = [WallTime(0), WallTime(u64::MAX)];
    let file =
        super::store(Vec::new(), &header(), Some(&incident), (&before, whole), |raw| Ok(Some(raw))).unwrap();
    let Recording { header: told, incident: of, store } = load(file.as_slice()).unwrap();
    assert_eq!((told, of.as_ref()), (header(), Some(&incident)));
    assert_eq!(all(&store), all(&before));
    assert_eq!(all(&store).iter().map(|(_, items)| items.len()).sum::<usize>(), 602);
    assert_eq!(store.incident("i-1").unwrap(), Some(incident));
    // A part of the time is a part of the blocks.
    let some = [WallTime(1_150_000_000_000), WallTime(1_160_000_000_000)];
    let part = super::store(Vec::new(), &header(), None, (&before, some), |raw| Ok(Some(raw))).unwrap();
    let less = load(part.as_slice()).unwrap();
    assert_eq!((less.store.figures().events, less.incident), (100, None));
    // Nothing of a file that is cut off or damaged is taken for good, wherever that is.
    for length in (0..file.len()).step_by(7) {
        assert!(load(&file[..length]).is_err(), "{length}");
    }
}

#[test]
fn who_may_see_some_gets_no_more_in_a_file() {
    let workload = |namespace: &str, pod: &str| v1::Workload {
        kind: v1::WorkloadKind::Pod.into(),
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        name: pod.to_owned(),
        ..v1::Workload::default()
    };
    let event = |sequence: u64, owner: v1::Workload, peer: v1::Workload| {
        let end =
            |workload| Some(v1::Endpoint { address: "10.0.0.9".to_owned(), workload, ..Default::default() });
        let tcp = v1::Tcp {
            outgoing: true,
            source: end(Some(owner.clone())),
            destination: end(Some(peer)),
            ..v1::Tcp::default()
        };
        Event {
            sequence,
            r#type: v1::EventType::TcpConnect.into(),
            time: Some(timestamp(WallTime(sequence))),
            workload: Some(owner),
            detail: Some(v1::event::Detail::TcpConnect(v1::TcpConnect {
                tcp: Some(tcp),
                handshake_latency_ns: 1,
            })),
            ..Event::default()
        }
    };
    let mut filling = Filling::new(record::Kind::Events);
    let pairs = [("shop", "pay"), ("pay", "shop"), ("shop", "shop")];
    for (number, (owner, peer)) in (1..).zip(pairs) {
        let event = event(number, workload(owner, "web"), workload(peer, "secret-db"));
        filling.push(number, [WallTime(number); 2], &frame(&event.encode_to_vec()));
    }
    let store = Store::in_memory(Limits { bytes: 1 << 30, age_ns: u64::MAX }).unwrap();
    let run = RecordedRun { last_sequence: 3, ..RecordedRun::default() };
    let parts = [
        Raw::Run(run),
        Raw::Block(filling.block()),
        Raw::Completed(1, 9, workload("pay", "x").encode_to_vec().into()),
    ];
    store.take_in(parts, WallTime(0)).unwrap();
    let namespaces = std::iter::once("shop".to_owned()).collect();
    let filters = Filters::default().within(Scope::Namespaces(std::sync::Arc::new(namespaces)));
    let whole = [WallTime(0), WallTime(u64::MAX)];
    let mut seen = Seen::new(&filters, whole);
    let file = super::store(Vec::new(), &header(), None, (&store, whole), |raw| seen.change(raw)).unwrap();
    let told: Vec<Event> = all(&load(file.as_slice()).unwrap().store)
        .into_iter()
        .flat_map(|(_, items)| items)
        .filter_map(|item| match item {
            Recorded::Event { event, .. } => Some(Event::decode(event).unwrap()),
            Recorded::Gap(_) => None,
        })
        .collect();
    assert_eq!(told.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 3]);
    let peer = |event: &Event| event.tcp().unwrap().destination.clone().unwrap().workload;
    assert_eq!((peer(&told[0]), peer(&told[1]).is_some()), (None, true));
    // Nor is anything of it in the bytes.
    let parts = read(&file).unwrap();
    assert!(parts.iter().all(|(kind, _)| *kind != Kind::Extras), "{parts:?}");
}

#[test]
fn a_block_that_is_not_what_it_says_is_refused() {
    let mut filling = Filling::new(record::Kind::Events);
    for sequence in 5..9 {
        let at = WallTime(sequence);
        filling.push(sequence, [at, at], &frame(&Event { sequence, ..Event::default() }.encode_to_vec()));
    }
    let good = filling.block();
    let loaded = |change: fn(&mut ExportedBlock)| {
        let Block { first, last, count, raw_bytes, data, .. } = good.clone();
        let [since, until] = [good.since, good.until].map(|time| Some(timestamp(time)));
        let mut block = ExportedBlock { first, last, since, until, count, raw_bytes, data: data.to_vec() };
        change(&mut block);
        let mut writer = Writer::new(Vec::new(), &header()).unwrap();
        writer.message(Kind::Run, &RecordedRun::default()).unwrap();
        writer.plain(Kind::Events, &block).unwrap();
        writer.count(Kind::Events, 4);
        load(writer.finish().unwrap().as_slice()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(loaded(|_| {}), Ok(()));
    let refused =
        |change, words| assert!(loaded(change).unwrap_err().contains(words), "{:?}", loaded(change));
    refused(|block| block.first = 6, "does not hold what it says");
    refused(|block| block.first = 4, "does not hold what it says");
    refused(|block| block.last = 9, "does not hold what it says");
    refused(|block| block.count = 3, "does not hold what it says");
    refused(|block| block.until = None, "does not hold what it says");
    refused(|block| block.raw_bytes = u32::MAX, "a block that is too long");
    refused(|block| block.raw_bytes = 8 << 20, "cannot be unpacked");
    refused(|block| block.raw_bytes += 1, "cannot be unpacked");
    refused(|block| block.data.truncate(5), "cannot be unpacked");
}

#[test]
fn a_small_file_that_would_take_a_lot_of_memory_is_refused() {
    let begun = || Writer::new(Vec::new(), &header()).unwrap();
    let refused = |writer: Writer<Vec<u8>>| {
        let file = writer.finish().unwrap();
        assert!(file.len() < 50_000, "{}", file.len());
        let said = load(file.as_slice()).unwrap_err().to_string();
        assert!(said.contains("more than any recording has"), "{said}");
    };
    // A snapshot of a hundred thousand empty connections, of which each takes 2 bytes.
    let mut writer = begun();
    let connections = [0x12, 0x00].repeat(100_000);
    let opening = [&[0x12][..], &[0xc0, 0x9a, 0x0c], &connections].concat();
    writer.packed(Kind::Incident, &opening).unwrap();
    refused(writer);
    // Gaps of nothing: too many in one part, and in all of them.
    let run = RecordedRun::default();
    let mut writer = begun();
    writer.message(Kind::Run, &run).unwrap();
    writer.packed(Kind::Extras, &[0x0a, 0x00].repeat(4_097)).unwrap();
    refused(writer);
    let mut writer = begun();
    writer.message(Kind::Run, &run).unwrap();
    for _ in 0..20 {
        writer.packed(Kind::Extras, &[0x0a, 0x00].repeat(4_096)).unwrap();
    }
    refused(writer);
    // A window of nothing but edges.
    let mut filling = Filling::new(record::Kind::Windows);
    filling.push(1, [WallTime(1); 2], &frame(&[0x3a, 0x00].repeat(300_000)));
    let mut writer = begun();
    writer.message(Kind::Run, &run).unwrap();
    writer.plain(Kind::Windows, &told(filling.block())).unwrap();
    writer.count(Kind::Windows, 1);
    refused(writer);
    // Events of nothing but their numbers.
    let mut filling = Filling::new(record::Kind::Events);
    for sequence in 1..70_000 {
        let event = Event { sequence, ..Event::default() }.encode_to_vec();
        filling.push(sequence, [WallTime(1); 2], &frame(&event));
    }
    let mut block = filling.block();
    block.count = 3;
    let mut writer = begun();
    writer.message(Kind::Run, &run).unwrap();
    writer.message(Kind::Events, &told(block)).unwrap();
    writer.count(Kind::Events, 3);
    let file = writer.finish().unwrap();
    assert!(load(file.as_slice()).unwrap_err().to_string().contains("more than any recording has"));
}

#[test]
fn a_window_of_a_busy_node_is_in_a_file() {
    let place = |id| v1::RecordedPlace { id, node_name: "n".repeat(100), ..Default::default() };
    let window = v1::RecordedWindow { places: (0..100_000).map(place).collect(), ..Default::default() };
    let mut filling = Filling::new(record::Kind::Windows);
    filling.push(1, [WallTime(5); 2], &frame(&window.encode_to_vec()));
    let block = filling.block();
    assert!(block.raw_bytes > 8 << 20);
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    writer.message(Kind::Run, &RecordedRun::default()).unwrap();
    writer.plain(Kind::Windows, &told(block)).unwrap();
    writer.count(Kind::Windows, 1);
    let loaded = load(writer.finish().unwrap().as_slice()).unwrap();
    let (_, windows) = loaded.store.windows(Place::default()).unwrap().unwrap();
    assert_eq!(windows, [window]);
}
