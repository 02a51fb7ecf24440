//! Names of outside addresses: whose they are, for how long, and how many.

use super::*;
use crate::decode::Answer;

const OUTSIDE: &str = "198.51.100.7:443";
const SECOND: u64 = 1_000_000_000;
const OTHER: u64 = 200;

/// Two workloads.
fn bench() -> Bench {
    let mut bench = Bench::new();
    for (cgroup, unit) in [(GROUP, "one"), (OTHER, "other")] {
        bench.record(cgroup, Body::CgroupMade { path: format!("/system.slice/{unit}.service") });
    }
    bench
}

fn answer(name: &str, address: &str, ttl: u32) -> Body {
    let addresses = vec![(address.parse().unwrap(), ttl)];
    Body::Answer(Some(Box::new(Answer { name: name.to_owned(), addresses })))
}

fn socket(cookie: u64, remote: &str) -> Socket {
    let Body::Ended { socket, .. } = closed("10.0.0.1:40000", remote) else { panic!() };
    Socket { cookie, ..socket }
}

/// A connection that was asked for some time ago.
fn opened(bench: &Bench, cookie: u64, remote: &str, ago: u64) -> Body {
    let start = BootTime(bench.time + 1000 - ago);
    Body::Established { socket: socket(cookie, remote), task: None, start, rtt_ns: None }
}

/// The name that the last event shows.
fn shown(bench: &Bench) -> Option<String> {
    let tcp = bench.events.last().unwrap().tcp().unwrap();
    tcp.peer.dns_name.as_deref().map(str::to_owned)
}

fn open(bench: &mut Bench, cgroup: u64, cookie: u64, remote: &str, ago: u64) -> Option<String> {
    let opened = opened(bench, cookie, remote, ago);
    bench.record(cgroup, opened);
    shown(bench)
}

fn close(bench: &mut Bench, cgroup: u64, cookie: u64) -> Option<String> {
    let Body::Ended { task, start, established, counters, errno, .. } = closed("10.0.0.1:1", "10.0.0.1:2")
    else {
        panic!()
    };
    let socket = socket(cookie, OUTSIDE);
    bench.record(cgroup, Body::Ended { socket, task, start, established, counters, errno });
    shown(bench)
}

#[test]
fn each_workload_has_the_name_that_it_looked_up() {
    let mut bench = bench();
    bench.record(GROUP, answer("a.example", "198.51.100.7", 60));
    bench.record(OTHER, answer("b.example", "198.51.100.7", 60));
    assert_eq!(open(&mut bench, GROUP, 1, OUTSIDE, 0).as_deref(), Some("a.example"));
    assert_eq!(open(&mut bench, OTHER, 2, OUTSIDE, 0).as_deref(), Some("b.example"));
    assert_eq!(open(&mut bench, 1, 3, OUTSIDE, 0), None, "the host has asked for nothing");
    let mapped = "[::ffff:198.51.100.7]:443";
    assert_eq!(open(&mut bench, GROUP, 4, mapped, 0).as_deref(), Some("a.example"));
}

#[test]
fn a_connection_goes_by_what_was_known_when_it_was_asked_for() {
    let mut bench = bench();
    bench.record(GROUP, answer("first.example", "198.51.100.7", 60));
    bench.time += SECOND;
    assert_eq!(open(&mut bench, GROUP, 1, OUTSIDE, 2 * SECOND), None, "it was asked for before");
    bench.record(GROUP, answer("second.example", "198.51.100.7", 60));
    bench.time += SECOND / 2;
    let ago = SECOND;
    assert_eq!(open(&mut bench, GROUP, 2, OUTSIDE, ago).as_deref(), Some("first.example"));
    assert_eq!(open(&mut bench, GROUP, 3, OUTSIDE, 0).as_deref(), Some("second.example"));
    // The same answer once more changes nothing for what is older.
    bench.record(GROUP, answer("second.example", "198.51.100.7", 60));
    assert_eq!(open(&mut bench, GROUP, 4, OUTSIDE, SECOND / 4).as_deref(), Some("second.example"));
}

#[test]
fn a_connection_keeps_its_name_to_its_end() {
    let mut bench = bench();
    bench.record(GROUP, answer("a.example", "198.51.100.7", 1));
    open(&mut bench, GROUP, 1, OUTSIDE, 0);
    bench.record(GROUP, answer("b.example", "198.51.100.7", 1));
    bench.time += 3_600 * SECOND;
    bench.act(Attributor::expire);
    assert_eq!(bench.attributor.names().1, 0, "the answers are forgotten");
    assert_eq!(close(&mut bench, GROUP, 1).as_deref(), Some("a.example"));
    assert_eq!(bench.attributor.names.sizes().map(|(size, _)| size), [0, 0]);
    assert_eq!(open(&mut bench, GROUP, 2, OUTSIDE, 0), None);
    assert_eq!(close(&mut bench, GROUP, 2), None);
}

#[test]
fn names_outlast_their_time_to_live_by_a_while() {
    let mut bench = bench();
    bench.record(GROUP, answer("a.example", "198.51.100.7", 30));
    bench.time += 629 * SECOND;
    bench.act(Attributor::expire);
    assert_eq!(open(&mut bench, GROUP, 1, OUTSIDE, 0).as_deref(), Some("a.example"));
    bench.time += SECOND;
    assert_eq!(open(&mut bench, GROUP, 2, OUTSIDE, 0), None);
    // Forever is a day.
    bench.record(GROUP, answer("a.example", "198.51.100.7", u32::MAX));
    bench.time += 87_001 * SECOND;
    assert_eq!(open(&mut bench, GROUP, 3, OUTSIDE, 0), None);
}

#[test]
fn only_what_was_asked_of_an_outside_address_has_a_name() {
    let mut bench = bench();
    bench.fact(Fact::HostAddresses(vec!["192.0.2.1".parse().unwrap()]));
    for address in ["192.0.2.1", "127.0.0.1", "198.51.100.7"] {
        bench.record(GROUP, answer("a.example", address, 60));
    }
    for remote in ["192.0.2.1:1", "127.0.0.1:1"] {
        assert_eq!(open(&mut bench, GROUP, 1, remote, 0), None, "{remote}");
    }
    let mut incoming = opened(&bench, 2, OUTSIDE, 0);
    if let Body::Established { socket, .. } = &mut incoming {
        socket.outgoing = Some(false);
    }
    bench.record(GROUP, incoming);
    assert_eq!(shown(&bench), None, "whoever comes in was not looked up");
}

#[test]
fn one_workload_does_not_push_out_the_names_of_others() {
    let mut bench = bench();
    bench.record(OTHER, answer("quiet.example", "198.51.100.7", 60));
    let mut count: u32 = 0;
    for _ in 0..400 {
        let addresses = (0..100).map(|_| {
            count += 1;
            (std::net::Ipv4Addr::from(0x0a00_0000 + count).into(), 60)
        });
        let answer = Answer { name: "crawled.example".to_owned(), addresses: addresses.collect() };
        bench.record(GROUP, Body::Answer(Some(Box::new(answer))));
    }
    assert_eq!(bench.attributor.names().1, 4_097);
    let overflows = bench.attributor.take_overflows();
    assert!(overflows.contains(&("dns_names", 40_000 - 4_096)), "{overflows:?}");
    assert_eq!(open(&mut bench, OTHER, 1, OUTSIDE, 0).as_deref(), Some("quiet.example"));
    let remote = format!("{}:443", std::net::Ipv4Addr::from(0x0a00_0000 + count));
    assert_eq!(open(&mut bench, GROUP, 2, &remote, 0).as_deref(), Some("crawled.example"));
}

#[test]
fn all_answers_together_and_named_connections_are_bounded() {
    let mut bench = Bench::new();
    for id in 0..40_000 {
        let lookup =
            |name: &str| dns::Lookup { name: name.into(), from: BootTime(1), until: BootTime(u64::MAX) };
        let address = "198.51.100.7".parse().unwrap();
        bench.attributor.names.learn(WorkloadId(id), address, lookup("a.example"));
    }
    bench.record(1, answer("a.example", "198.51.100.7", 60));
    for cookie in 1..=70_000 {
        open(&mut bench, 1, cookie, OUTSIDE, 0);
    }
    for (size, most) in bench.attributor.names.sizes() {
        assert_eq!(size, most);
    }
    let overflows = bench.attributor.take_overflows();
    assert!(overflows.contains(&("dns_names", 40_001 - 32_768 + 70_000 - 65_536)), "{overflows:?}");
    assert_eq!(
        bench
            .attributor
            .names
            .at(WorkloadId(39_999), "198.51.100.7".parse().unwrap(), BootTime(5))
            .as_deref(),
        Some("a.example")
    );
}

#[test]
fn what_is_not_understood_is_counted() {
    let mut bench = bench();
    bench.record(GROUP, Body::Answer(None));
    bench.record(GROUP, Body::Answer(Some(Box::default())));
    let (NameFigures { answers, not_understood }, known) = bench.attributor.names();
    assert_eq!((answers, not_understood, known), (2, 1, 0));
}
