//! Tests of how lines are delivered.

use std::io::Read as _;
use std::os::unix::net::UnixStream;

use super::*;
use crate::export::feed::tests::link;
use crate::status::ExporterState;

fn way(out: Out) -> Way {
    let state = State::new("json.a", "json", "a");
    Way { out, backoff: Backoff::up_to(PATIENCE), link: link(4).0, state }
}

#[tokio::test]
async fn an_output_that_takes_a_part_gets_each_line_once() {
    let (output, mut reader) = UnixStream::pair().unwrap();
    output.set_nonblocking(true).unwrap();
    let lines: Vec<u8> =
        (0..100_000).flat_map(|number| format!("{{\"n\":{number}}}\n").into_bytes()).collect();
    let expected = lines.clone();
    let reading = std::thread::spawn(move || {
        let mut read = Vec::new();
        reader.read_to_end(&mut read).map(|_| read)
    });
    let mut way = way(Out::Output(File::from(std::os::fd::OwnedFd::from(output))));
    assert!(way.deliver(&mut lines.clone()).await);
    let told = way.state.status();
    assert_eq!((told.sent, told.queued), (100_000, 0));
    drop(way);
    assert!(reading.join().unwrap().unwrap() == expected);
}

#[tokio::test]
async fn what_is_in_hand_waits() {
    let (output, reader) = UnixStream::pair().unwrap();
    drop(reader);
    let mut way = way(Out::Output(File::from(std::os::fd::OwnedFd::from(output))));
    way.link.stopping.cancel();
    assert!(!way.deliver(&mut b"1\n2\n3\n".to_vec()).await);
    let told = way.state.status();
    assert_eq!((told.sent, told.queued, told.state), (0, 3, ExporterState::Retrying));
}

#[tokio::test]
async fn it_runs_once_there_is_where_to_write_to() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = rotation::Bounds { bytes: None, age: None, files: 2 };
    let mut good = way(Out::File(LogFile::new(&folder.path().join("e"), bounds)));
    assert!(good.prepare().await);
    assert_eq!(good.state.status().state, ExporterState::Running);
    let mut bad = way(Out::File(LogFile::new(folder.path(), bounds)));
    bad.link.stopping.cancel();
    assert!(!bad.prepare().await);
    assert_eq!(bad.state.status().state, ExporterState::Retrying);
}
