//! Files are read as they were written, and everything else is refused with one clear word.

use observer_proto::v1::{ExportHeader, Incident, StoredIncident};

use super::*;

pub(super) fn header() -> ExportHeader {
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
    assert!(file.starts_with(b"observer recording, format 2\n"));
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
        ("observer recording, format 3\n", "it is of format 3, and this version reads formats up to 2"),
        ("observer recording, format 1\n", "it is of format 1, which was never released"),
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
    assert!(then(part(3, 0, u32::MAX, u32::MAX, b"")).contains("a part that is too long"));
    assert!(then(part(3, 1, 4, u32::MAX, b"bomb")).contains("a part that is too long"));
    // What is allowed and not there takes no memory either, nor what cannot be packed so tight.
    assert!(then(part(2, 0, 8 << 20, 8 << 20, b"")).contains("cut off"));
    assert!(then(part(2, 1, 4, 8 << 20, b"bomb")).contains("encoded in an unknown way"));
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

#[test]
fn a_part_that_is_too_long_is_not_written() {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    let error = writer.part(Kind::Events, &vec![0; LONGEST_PART_BYTES + 1]).unwrap_err();
    assert!(error.to_string().contains("longer than a file may have it"));
    assert!(writer.packed(Kind::Events, &vec![0; LONGEST_PART_BYTES]).is_ok());
}
