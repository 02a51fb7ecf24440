//! Tests of how messages are delivered.

use super::*;
use crate::config::exporters::Severity;
use crate::export::feed::tests::link;
use crate::status::ExporterState;

fn out(address: Address) -> Out {
    let facility = Facility::default();
    Out {
        address,
        facility,
        form: rfc5424::Form::new(facility, "node1"),
        open: None,
        backoff: Backoff::up_to(LONGEST_PAUSE),
        state: State::new("syslog.a", "syslog", "a"),
        link: link(4).0,
    }
}

fn entry(kind: &str) -> Entry {
    Entry {
        severity: Severity::Notice,
        kind: kind.to_owned(),
        time: "2026-01-31T08:12:03.114159Z".to_owned(),
        text: "text".to_owned(),
        fields: Vec::new(),
    }
}

#[tokio::test]
async fn it_runs_once_its_way_is_open_and_what_is_in_hand_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut out = out(Address::Unix(path.clone()));
    let receiver = tokio::net::UnixDatagram::bind(&path).unwrap();
    assert!(out.prepare().await);
    assert_eq!(out.state.status().state, ExporterState::Running);
    assert!(out.deliver(&[entry("one"), entry("two")]).await);
    let told = out.state.status();
    assert_eq!((told.sent, told.queued), (2, 0));
    drop(receiver);
    out.link.stopping.cancel();
    assert!(!out.deliver(&[entry("three"), entry("four"), entry("five")]).await);
    let told = out.state.status();
    assert_eq!((told.sent, told.queued, told.state), (2, 3, ExporterState::Retrying));
    assert!(!out.prepare().await);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_for_a_receiver_that_takes_a_message_now_and_then() {
    // Nobody listens at a port that was free a moment ago: each second datagram says so.
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut out = out(Address::Udp(free.to_string()));
    let begun = tokio::time::Instant::now();
    let entries: Vec<Entry> = (0..40).map(|_| entry("some")).collect();
    assert!(out.deliver(&entries).await);
    let told = out.state.status();
    assert!(told.retries > 10 && told.sent == 40, "{told:?}");
    let mean = begun.elapsed() / told.retries as u32;
    assert!(mean > LONGEST_PAUSE / 3, "{mean:?}");
}
