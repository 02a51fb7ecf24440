//! Where connections go whose address is a Service's: who waits for that, and for how long.

use std::net::SocketAddr;

use EventType::{TcpClose, TcpConnect};

use super::*;
use crate::inventory::Translated;

const SERVICE: &str = "10.96.0.7:80";
const BACKEND: &str = "10.0.0.9:8080";

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.attributor.translations = Translations::new(true);
    bench.act(|attributor, now, _| attributor.pod(&pod_fact("10.0.0.9", "s1", UID), now));
    bench
}

fn socket(cookie: u64, remote: &str) -> Socket {
    Socket {
        cookie,
        local: "10.0.0.1:40000".parse().unwrap(),
        remote: remote.parse().unwrap(),
        netns: 1,
        state: Some(TcpState(1)),
        outgoing: Some(true),
    }
}

pub(super) fn opened(cookie: u64, remote: &str) -> Body {
    Body::Established { socket: socket(cookie, remote), task: None, start: BootTime(1), rtt_ns: None }
}

fn ended(cookie: u64, remote: &str) -> Body {
    let Body::Ended { task, start, established, counters, errno, .. } = closed("10.0.0.1:1", "10.0.0.1:2")
    else {
        panic!()
    };
    Body::Ended { socket: socket(cookie, remote), task, start, established, counters, errno }
}

fn answer(cookie: u64, to: &str) -> Fact {
    let answer = to.parse::<SocketAddr>().map_or(Translated::No, Translated::To);
    Fact::Translation { id: ConnectionId(cookie), answer }
}

fn backend(event: &Event) -> Option<(String, Option<&str>)> {
    let backend = event.tcp()?.backend.as_ref()?;
    Some((backend.address.to_string(), backend.peer.workload.as_ref().map(|pod| pod.pod.as_str())))
}

#[test]
fn events_wait_for_the_backend_and_keep_their_order() {
    let mut bench = bench();
    bench.record(1, opened(7, SERVICE));
    let query = TranslationQuery {
        id: ConnectionId(7),
        netns: 1,
        pid: None,
        local: "10.0.0.1:40000".parse().unwrap(),
        remote: SERVICE.parse().unwrap(),
        failed: false,
    };
    assert_eq!(bench.queries, [query]);
    // What the same workload does meanwhile is not told before it.
    bench.record(1, exec(7, 5));
    bench.record(1, ended(7, SERVICE));
    assert!(bench.events.is_empty(), "they wait");
    bench.fact(answer(7, BACKEND));
    assert_eq!(bench.types(), [TcpConnect, ProcessExec, TcpClose]);
    for event in [&bench.events[0], &bench.events[2]] {
        assert_eq!(backend(event), Some((BACKEND.to_owned(), Some("cart-s1"))));
    }
    assert_eq!(bench.queries.len(), 1, "one question a connection");
    assert_eq!(bench.attributor.translations.len(), 0, "it has ended");
}

#[test]
fn an_end_that_waits_for_another_connection_keeps_its_backend() {
    let mut bench = bench();
    for body in [opened(7, SERVICE), opened(8, SERVICE), ended(7, SERVICE), ended(8, SERVICE)] {
        bench.record(1, body);
    }
    bench.fact(answer(7, BACKEND));
    assert_eq!(bench.types(), [TcpConnect]);
    bench.fact(answer(8, "10.0.0.8:8080"));
    assert_eq!(bench.types(), [TcpConnect, TcpConnect, TcpClose, TcpClose]);
    let ports: Vec<_> = bench.events.iter().map(|event| backend(event).unwrap().0).collect();
    assert_eq!(ports, [BACKEND, "10.0.0.8:8080", BACKEND, "10.0.0.8:8080"]);
    assert_eq!(bench.attributor.translations.len(), 0);
}

#[test]
fn a_destination_that_is_none_of_a_services_is_left_alone_for_a_while() {
    let mut bench = bench();
    bench.record(1, opened(7, "192.0.2.1:443"));
    bench.fact(answer(7, "no"));
    assert_eq!(bench.events.len(), 1);
    bench.record(1, opened(8, "192.0.2.1:443"));
    assert_eq!((bench.events.len(), bench.queries.len()), (2, 1), "it did not wait");
    bench.time += 30 * HOLD_NS;
    bench.act(Attributor::expire);
    bench.record(1, opened(9, "192.0.2.1:443"));
    assert_eq!((bench.events.len(), bench.queries.len()), (2, 2));
}

#[test]
fn what_was_refused_says_nothing_of_its_destination() {
    let mut bench = bench();
    let Body::Ended { socket, task, start, counters, .. } = ended(7, SERVICE) else { panic!() };
    bench.record(1, Body::Ended { socket, task, start, established: false, counters, errno: 111 });
    assert!(bench.queries[0].failed, "who is asked knows that the kernel has forgotten it already");
    bench.fact(answer(7, "no"));
    assert_eq!(bench.types(), [EventType::TcpConnectFailure]);
    bench.record(1, opened(8, SERVICE));
    assert_eq!(bench.queries.len(), 2);
}

#[test]
fn pods_hosts_and_listeners_are_not_asked_for() {
    let mut bench = bench();
    bench.record(1, opened(7, BACKEND));
    bench.record(1, opened(8, "127.0.0.1:80"));
    let mut body = opened(9, SERVICE);
    if let Body::Established { socket, .. } = &mut body {
        socket.outgoing = Some(false);
    }
    bench.record(1, body);
    assert_eq!((bench.events.len(), bench.queries.len()), (3, 0));
}

#[test]
fn a_late_answer_completes_what_is_still_to_come() {
    let mut bench = bench();
    bench.record(1, opened(7, SERVICE));
    bench.time += HOLD_NS;
    bench.act(Attributor::expire);
    assert_eq!(bench.events.len(), 1, "nobody waits longer");
    assert_eq!(backend(&bench.events[0]), None);
    // Later events of it do not wait for what nobody may ever answer.
    bench.record(1, opened(7, SERVICE));
    assert_eq!(bench.events.len(), 2);
    bench.fact(answer(7, BACKEND));
    assert_eq!(
        (bench.events.len(), &bench.translated[..]),
        (2, &[ConnectionId(7)][..]),
        "what lives is completed"
    );
    bench.record(1, ended(7, SERVICE));
    assert_eq!(backend(&bench.events[2]), Some((BACKEND.to_owned(), Some("cart-s1"))));
}

#[test]
fn one_that_waits_does_not_hold_up_others_longer_than_itself() {
    let mut bench = bench();
    bench.record(1, opened(7, SERVICE));
    bench.time += HOLD_NS / 2;
    bench.record(1, opened(8, SERVICE));
    bench.fact(answer(8, BACKEND));
    assert!(bench.events.is_empty(), "they keep their order");
    bench.time += HOLD_NS / 2;
    bench.act(Attributor::expire);
    assert_eq!(bench.events.iter().map(|event| backend(event).is_some()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_container_without_a_name_waits_for_both() {
    let mut bench = bench();
    bench.make_container();
    bench.record(GROUP, opened(7, SERVICE));
    bench.fact(answer(7, BACKEND));
    assert!(bench.events.is_empty());
    bench.fact(named(UID));
    assert_eq!(backend(&bench.events[0]), Some((BACKEND.to_owned(), Some("cart-s1"))));
    assert_eq!(bench.events[0].workload.as_ref().unwrap().container, "app");
}
