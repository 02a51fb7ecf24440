//! Messages as name servers write them, and as nobody should.

use observer_ebpf::event::{Header, Kind};
use proptest::prelude::*;
use zerocopy::IntoBytes as _;

use super::*;

const A: u16 = 1;
const CNAME: u16 = 5;
const TXT: u16 = 16;
const AAAA: u16 = 28;

/// A name in the form of the wire.
fn name(text: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        text.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

/// A response with one question.
fn message(flags: u16, asked: &str, qtype: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let counts = [1, records.len() as u16, 0, 0];
    let head: Vec<u8> = [7, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect();
    [head, name(asked), qtype.to_be_bytes().to_vec(), vec![0, 1], records.concat()].concat()
}

fn record(owner: &[u8], rtype: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    [owner, &rtype.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &length, data].concat()
}

/// The question's name, by a pointer to it.
const ASKED: [u8; 2] = [0xc0, 12];
const OK: u16 = 0x8180;

fn found(message: &[u8]) -> Option<(String, Vec<(String, u32)>)> {
    let Answer { name, addresses } = parse(message)?;
    Some((name, addresses.into_iter().map(|(address, ttl)| (address.to_string(), ttl)).collect()))
}

fn addresses(message: &[u8]) -> Vec<(String, u32)> {
    found(message).unwrap().1
}

#[test]
fn the_addresses_are_those_of_the_name_that_was_asked_for() {
    let v4 = message(OK, "www.example.com", A, &[record(&ASKED, A, 60, &[198, 51, 100, 7])]);
    let expected = ("www.example.com".to_owned(), vec![("198.51.100.7".to_owned(), 60)]);
    assert_eq!(found(&v4), Some(expected));
    let address: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
    let v6 = message(OK, "example.com", AAAA, &[record(&ASKED, AAAA, 5, &address.octets())]);
    assert_eq!(addresses(&v6), [("2001:db8::7".to_owned(), 5)]);
}

#[test]
fn aliases_are_followed_and_the_shortest_time_counts() {
    let records = [
        record(&name("WWW.Example.com"), CNAME, 9, &name("cdn.example.net")),
        record(&name("cdn.example.net"), CNAME, 300, &name("edge.example.org")),
        record(&name("edge.example.org"), A, 60, &[192, 0, 2, 1]),
        record(&name("edge.example.org"), A, 3, &[192, 0, 2, 2]),
        record(&name("somebody.else"), A, 60, &[192, 0, 2, 3]),
        record(&name("edge.example.org"), TXT, 60, b"\x01x"),
    ];
    let told = found(&message(OK, "www.example.com", A, &records)).unwrap();
    assert_eq!(told.0, "www.example.com");
    assert_eq!(told.1, [("192.0.2.1".to_owned(), 9), ("192.0.2.2".to_owned(), 3)]);
}

#[test]
fn what_is_no_answer_with_addresses_has_none() {
    let records = [record(&ASKED, A, 60, &[192, 0, 2, 1])];
    // A question, an update's answer, and bytes.
    for flags in [0x0100, 0xa800] {
        assert_eq!(parse(&message(flags, "a.example", A, &records)), None, "{flags:x}");
    }
    assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    assert_eq!(parse(&[]), None);
    // NXDOMAIN, another type, the root.
    for (flags, asked, qtype) in [(0x8183, "a.example", A), (OK, "a.example", TXT), (OK, "a.example", 255)] {
        assert_eq!(addresses(&message(flags, asked, qtype, &records)), [], "{flags:x} {asked} {qtype}");
    }
    // An address of a wrong length ends it.
    let short = [record(&ASKED, A, 60, &[192, 0, 2]), records[0].clone()];
    assert_eq!(addresses(&message(OK, "a.example", A, &short)), []);
}

#[test]
fn of_a_message_that_is_cut_the_first_addresses_count() {
    let records: Vec<_> = (0..9).map(|n| record(&ASKED, A, 60, &[192, 0, 2, n])).collect();
    let whole = message(0x8380, "a.example", A, &records);
    for cut in 0..whole.len() {
        let told = parse(&whole[..cut]).map_or(0, |answer| answer.addresses.len());
        assert_eq!(told, cut.saturating_sub(27) / 16, "{cut}");
    }
}

#[test]
fn names_are_harmless_and_pointers_end() {
    let odd = message(OK, "a\x1b[2J\u{202e}b", A, &[record(&ASKED, A, 60, &[192, 0, 2, 1])]);
    let told = parse(&odd).unwrap();
    assert_eq!(told.name, "a\\027[2J\\226\\128\\174b");
    assert_eq!(told.addresses.len(), 1);
    // A name that points to itself.
    let mut endless = message(OK, "a", A, &[record(&[0xc0, 19], A, 60, &[192, 0, 2, 1])]);
    assert_eq!(addresses(&endless), []);
    endless[12..14].copy_from_slice(&[0xc0, 12]);
    assert_eq!(parse(&endless), None);
}

#[test]
fn no_more_records_are_looked_at_than_the_bound() {
    let records: Vec<_> = (0..1000).map(|n: u32| record(&ASKED, A, 60, &n.to_be_bytes())).collect();
    assert_eq!(addresses(&message(OK, "a.example", A, &records)).len(), MAX_RECORDS);
}

/// Bytes of which names, pointers and counts are made.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => 0_u8..16, 2 => Just(0xc0_u8), 1 => any::<u8>()];
    prop::collection::vec(byte, 0..600)
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_or_none(tail in bytes(), asked in bytes(), keep in 0_usize..1200) {
        let head = [0, 7, 0x81, 0x80, 0, 1, 0xff, 0xff, 0, 0, 0, 0];
        let question = [&head[..], &name("a.example")[..], &[0, 1, 0, 1]].concat();
        for message in [tail.clone(), [&head[..], &asked[..]].concat(), [&question[..], &tail[..]].concat()] {
            let whole = message.len();
            let kept = &message[..keep.min(whole)];
            let raw = Raw {
                header: Header { time_ns: 1, cgroup_id: 1, kind: Kind::DnsAnswer as u32, reserved: 0 },
                len: kept.len() as u32,
                whole: whole as u32,
            };
            // A ring's record may have something behind it, up to a multiple of eight bytes.
            let bytes = [raw.as_bytes(), kept, &[0; 7]].concat();
            let Ok(Body::Answer(told)) = super::answer(&bytes) else { panic!() };
            if let Some(told) = told {
                prop_assert!(told.name.len() <= 4 * 255 && told.addresses.len() <= MAX_RECORDS);
                prop_assert!(told.name.chars().all(|c| c == ' ' || c.is_ascii_graphic()));
            }
        }
    }
}
