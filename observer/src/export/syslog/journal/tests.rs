//! Tests of the journal's protocol, read by a receiver that has only its description to go by.

use std::collections::BTreeMap;
use std::io::{IoSliceMut, Read as _};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::*;
use crate::config::exporters::Severity;

/// The fields of a message.
fn parse(mut bytes: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&bytes[..end]).unwrap();
        let (name, value, rest) = if let Some((name, value)) = line.split_once('=') {
            (name, value.to_owned(), &bytes[end + 1..])
        } else {
            let (length, rest) = bytes[end + 1..].split_at(8);
            let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            assert_eq!(rest[length], b'\n');
            (line, String::from_utf8(rest[..length].to_vec()).unwrap(), &rest[length + 1..])
        };
        assert!(name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'), "{name}");
        fields.insert(name.to_owned(), value);
        bytes = rest;
    }
    fields
}

fn entry(text: String) -> Entry {
    let fields = vec![("OBSERVER_POD", "cart".to_owned()), ("OBSERVER_COMM", "two\nlines=".to_owned())];
    let time = "2026-01-31T08:12:03.114159Z".to_owned();
    Entry { severity: Severity::Err, kind: "oom_kill".to_owned(), time, text, fields }
}

/// What comes in next: a datagram, or the file that is sent along.
fn receive(socket: &UnixDatagram) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let got = recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap().bytes;
    bytes.truncate(got);
    for message in control.drain() {
        let RecvAncillaryMessage::ScmRights(files) = message else { panic!() };
        for file in files {
            assert!(bytes.is_empty());
            let seals = rustix::fs::fcntl_get_seals(&file).unwrap();
            assert!(seals.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL));
            let mut file = File::from(file);
            std::io::Seek::rewind(&mut file).unwrap();
            file.read_to_end(&mut bytes).unwrap();
        }
    }
    bytes
}

#[tokio::test]
async fn short_and_long_messages_have_all_fields() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let journal = Journal::open(&path).unwrap();
    for text in ["shop/cart oom_kill".to_owned(), "x".repeat(3 << 20)] {
        journal.send(&entry(text.clone()), Facility::Local1).await.unwrap();
        receiver.readable().await.unwrap();
        let fields = parse(&receive(&receiver));
        let expected = [
            ("MESSAGE", text.as_str()),
            ("PRIORITY", "3"),
            ("SYSLOG_FACILITY", "17"),
            ("SYSLOG_IDENTIFIER", "observer"),
            ("OBSERVER_POD", "cart"),
            ("OBSERVER_COMM", "two\nlines="),
        ];
        assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
    drop(receiver);
    assert!(matches!(journal.send(&entry(String::new()), Facility::Daemon).await, Err(Refused::Io(_))));
}
