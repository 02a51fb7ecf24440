//! Files are read as they were written, and everything else is refused with one clear word.

use observer_proto::v1::{
    self, Event, ExportHeader, ExportedBlock, Gap, Incident, RecordedRun, Snapshot, StoredIncident,
};
use prost::Message as _;
use prost_types::Timestamp;

use super::*;
use crate::event::WallTime;
use crate::filter::{Filters, Scope};
use crate::record::block::frame;
use crate::record::{self, Block, Filling, Limits, Place, Raw, Recorded, Store};
use crate::wire::timestamp;

fn header() -> ExportHeader {
    ExportHeader { version: "0.1.0".to_owned(), node_name: "node-1".to_owned(), ..ExportHeader::default() }
}

/// A small file with a part of each kind.
pub(super) fn whole() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    let incident = Incident { id: "i-1".to_owned(), title: "a ".repeat(99), ..Incident::default() };
    let stored = StoredIncident { incident: Some(incident), opening: None };
    writer.message(Kind::Incident, &stored).unwrap();
    writer.part(Kind::Run, b"").unwrap();
    writer.part(Kind::Events, b"a block of events").unwrap();
    writer.packed(Kind::Windows, &[7; 5_000]).unwrap();
    writer.packed(Kind::Extras, b"more").unwrap();
    writer.count(Kind::Events, 3);
    writer.count(Kind::Windows, 2);
    writer.finish().unwrap()
}

pub(super) fn read(file: &[u8]) -> Result<Vec<(Kind, Vec<u8>)>, Error> {
    let mut reader = Reader::open(file)?;
    let mut parts = Vec::new();
    while let Some(part) = reader.next()? {
        parts.push((part.kind, part.content));
    }
    assert!(reader.end().is_some() && reader.next()?.is_none());
    Ok(parts)
}

fn refused(file: &[u8]) -> String {
    read(file).unwrap_err().to_string()
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let file = whole();
    let mut reader = Reader::open(file.as_slice()).unwrap();
    assert_eq!(*reader.header(), header());
    let incident = reader.next().unwrap().unwrap();
    assert_eq!(incident.message::<StoredIncident>().unwrap().incident.unwrap().id, "i-1");
    let parts = read(&file).unwrap();
    let kinds: Vec<Kind> = parts.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Incident, Kind::Run, Kind::Events, Kind::Windows, Kind::Extras]);
    assert_eq!(parts[2].1, b"a block of events");
    assert_eq!(parts[3].1, vec![7; 5_000]);
    while reader.next().unwrap().is_some() {}
    let end = reader.end().unwrap();
    assert_eq!((end.parts, end.events, end.windows), (6, 3, 2));
    // Whoever looks at the file sees what it is.
    assert!(file.starts_with(b"observer recording, format 1\n"));
    assert!(file.len() < 1_000, "compressed: {}", file.len());
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever_that_is() {
    let file = whole();
    assert_eq!(refused(b""), "it is no recording of observer, but empty");
    for length in 1..file.len() {
        let said = refused(&file[..length]);
        assert!(said.starts_with("it is cut off after"), "{length}: {said}");
    }
}

#[test]
fn every_bit_that_is_not_as_it_was_is_found() {
    let file = whole();
    for place in 0..file.len() * 8 {
        let mut other = file.clone();
        other[place / 8] ^= 1 << (place % 8);
        assert!(read(&other).is_err(), "bit {place}");
    }
}

#[test]
fn other_files_are_called_what_they_are() {
    let cases: [(&[u8], &str); 10] = [
        (b"\x1f\x8b\x08\x00\x00", "gzip: unpack it first"),
        (b"observer record\n\x01\0\0\0", "the daemon's own store: ask that daemon for an export"),
        (b"redb\x1a\x0a\xa9\x0d\x0a\x00\x00", "a database of redb"),
        (b"{\"event\":{}}\n", "JSON: events in JSON are read by `observer events --input`"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"hello world, this is a text\n", "a text"),
        ("observer, aber nicht für dich".as_bytes(), "a text"),
        (b"\x7fELF\x02", "a program"),
        (b"\x00\x01\x02\xff", "something else"),
        (b"observer recording, format x\n", "says no format"),
    ];
    for (file, words) in cases {
        let said = refused(file);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_later_format_is_named() {
    for (line, words) in [
        ("observer recording, format 2\n", "it is of format 2, and this version reads formats up to 1"),
        ("observer recording, format 999999999\n", "it is of format 999999999"),
        ("observer recording, format 0\n", "there is no format 0"),
        ("observer recording, format 9999999999\n", "says no format"),
        ("observer recording, format \n", "says no format"),
    ] {
        let said = refused([line.as_bytes(), &whole()[29..]].concat().as_slice());
        assert!(said.contains(words), "{said}");
    }
}

/// A part with a right checksum.
fn part(kind: u8, encoding: u8, length: u32, meant: u32, content: &[u8]) -> Vec<u8> {
    let mut head = vec![kind, encoding, 0, 0];
    head.extend(length.to_le_bytes());
    head.extend(meant.to_le_bytes());
    let sum = checksum(&head, content).to_le_bytes();
    [head.as_slice(), &sum, content].concat()
}

#[test]
fn what_claims_too_much_is_refused_before_it_takes_memory() {
    let begun = Writer::new(Vec::new(), &header()).unwrap().out().clone();
    let then = |part: Vec<u8>| refused(&[begun.as_slice(), &part].concat());
    assert!(then(part(3, 0, u32::MAX, u32::MAX, b"")).contains("a part of more than 8 MiB"));
    assert!(then(part(3, 1, 4, u32::MAX, b"bomb")).contains("a part of more than 8 MiB"));
    // What is allowed and not there takes no memory either, nor what cannot be packed so tight.
    assert!(then(part(3, 0, 8 << 20, 8 << 20, b"")).contains("cut off"));
    assert!(then(part(3, 1, 4, 8 << 20, b"bomb")).contains("encoded in an unknown way"));
    assert!(then(part(3, 1, 4, 900, b"bomb")).contains("cannot be unpacked"));
    assert!(then(part(9, 0, 0, 0, b"")).contains("there is no such part"));
    assert!(then(part(3, 5, 0, 0, b"")).contains("encoded in an unknown way"));
    let end = part(7, 0, 0, 0, b"");
    assert!(then(end).contains("parts are missing"));
    assert!(then(part(1, 0, 0, 0, b"")).contains("wrong order"));
    let twice = [part(2, 0, 0, 0, b""), part(2, 0, 0, 0, b"")].concat();
    assert!(then(twice).contains("wrong order"));
    let late = [part(3, 0, 0, 0, b""), part(2, 0, 0, 0, b"")].concat();
    assert!(then(late).contains("wrong order"));
    assert!(refused(&[whole(), b"x".to_vec()].concat()).contains("something follows its end"));
    assert!(then(part(4, 0, 0, 0, b"")).contains("wrong order"));
    let first = [&begun[..29], &part(3, 0, 0, 0, b"")].concat();
    assert!(refused(&first).contains("does not begin with a header"));
}

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
    refused(|block| block.raw_bytes = u32::MAX, "a block of more than 8 MiB");
    refused(|block| block.raw_bytes = 8 << 20, "cannot be unpacked");
    refused(|block| block.raw_bytes += 1, "cannot be unpacked");
    refused(|block| block.data.truncate(5), "cannot be unpacked");
}

#[test]
fn a_part_that_is_too_long_is_not_written() {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    let error = writer.part(Kind::Events, &vec![0; LONGEST_PART_BYTES + 1]).unwrap_err();
    assert!(error.to_string().contains("longer than a file may have it"));
    assert!(writer.packed(Kind::Events, &vec![0; LONGEST_PART_BYTES]).is_ok());
}
