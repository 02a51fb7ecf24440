//! Tests of the lines: each type of event as a reader sees it.

mod containers;

use observer_proto::v1::event::Detail;
use observer_proto::v1::*;

use super::super::color::Painter;
use super::super::look::Format;
use super::super::testing::{self, AT, event, response, tcp};
use super::*;

fn line_of(look: &Look, message: &WatchEventsResponse) -> String {
    let mut out = Vec::new();
    Lines::new(look).write(&mut out, message).unwrap();
    String::from_utf8(out).unwrap()
}

fn line(event: Event) -> String {
    let line = line_of(&testing::look(), &response(event));
    line.strip_prefix("08:12:03.114 [node1]: ").unwrap().strip_suffix('\n').unwrap().to_owned()
}

fn redis(kind: EventType, detail: Detail) -> Event {
    let workload = Some(testing::pod("shop", "redis-0", "redis"));
    Event { workload, process: None, ..event(kind, detail) }
}

#[test]
fn connections() {
    assert_eq!(
        line(testing::connect()),
        "shop/cart-7d9f/app -> shop/redis-0:6379 tcp_connect (142 µs, pid 4312 cart)"
    );
    let mut service = tcp(true);
    service.backend = service.destination.replace(Endpoint {
        address: "10.96.0.7".to_owned(),
        port: 80,
        kind: PeerKind::Outside.into(),
        ..Endpoint::default()
    });
    let connect = TcpConnect { tcp: Some(service), handshake_latency_ns: 142_000 };
    assert_eq!(
        line(Event { process: None, ..event(EventType::TcpConnect, Detail::TcpConnect(connect)) }),
        "shop/cart-7d9f/app -> 10.96.0.7:80 -> shop/redis-0:6379 tcp_connect (142 µs)"
    );
    let accept = TcpAccept { tcp: Some(tcp(false)), handshake_latency_ns: Some(98_000) };
    assert_eq!(
        line(redis(EventType::TcpAccept, Detail::TcpAccept(accept))),
        "shop/redis-0/redis:6379 <- shop/cart-7d9f:51722 tcp_accept (98 µs)"
    );
    let accept = TcpAccept { tcp: Some(tcp(false)), handshake_latency_ns: None };
    assert_eq!(
        line(redis(EventType::TcpAccept, Detail::TcpAccept(accept))),
        "shop/redis-0/redis:6379 <- shop/cart-7d9f:51722 tcp_accept"
    );
    let failure = TcpConnectFailure {
        tcp: Some(tcp(true)),
        error: "refused".to_owned(),
        errno: 111,
        duration_ns: Some(80_000),
        syn_retransmits: 2,
    };
    assert_eq!(
        line(event(EventType::TcpConnectFailure, Detail::TcpConnectFailure(failure))),
        "shop/cart-7d9f/app -> shop/redis-0:6379 tcp_connect_failure \
         (refused after 80 µs, SYN sent again twice, pid 4312 cart)"
    );
}

#[test]
fn connections_that_end() {
    let counters = TcpCounters {
        sent_bytes: 4_198,
        received_bytes: 307_200,
        sent_segments: 12,
        rtt_ns: Some(120_000),
        ..TcpCounters::default()
    };
    let mut close = TcpClose {
        tcp: Some(tcp(true)),
        duration_ns: Some(1_200_000_000),
        counters: Some(counters),
        error: String::new(),
    };
    assert_eq!(
        line(event(EventType::TcpClose, Detail::TcpClose(close.clone()))),
        "shop/cart-7d9f/app -> shop/redis-0:6379 tcp_close \
         (1.2 s, 4.1 KiB out, 300 KiB in, rtt 120 µs, 0 of 12 segments retransmitted)"
    );
    close.error = "timed_out".to_owned();
    close.counters = None;
    assert!(
        line(event(EventType::TcpClose, Detail::TcpClose(close)))
            .ends_with("tcp_close (timed_out after 1.2 s)")
    );
    let mut reset = TcpReset { tcp: Some(tcp(true)), state: "ESTABLISHED".to_owned(), ..TcpReset::default() };
    reset.set_direction(ResetDirection::Received);
    assert!(
        line(event(EventType::TcpReset, Detail::TcpReset(reset.clone())))
            .ends_with("(received, ESTABLISHED)")
    );
    reset = TcpReset { reason: "NO_SOCKET".to_owned(), no_socket: true, tcp: Some(tcp(false)), ..reset };
    reset.state.clear();
    reset.set_direction(ResetDirection::Sent);
    let unowned = Event { workload: None, ..event(EventType::TcpReset, Detail::TcpReset(reset)) };
    assert_eq!(
        line(unowned),
        "shop/redis-0:6379 <- shop/cart-7d9f:51722 tcp_reset (sent by the kernel, no socket there, reason NO_SOCKET)"
    );
    let mut again = TcpRetransmit { tcp: Some(tcp(true)), segments: 2, ..TcpRetransmit::default() };
    again.set_phase(RetransmitPhase::Data);
    assert!(
        line(event(EventType::TcpRetransmit, Detail::TcpRetransmit(again))).ends_with("(2 data segments)")
    );
}

#[test]
fn processes() {
    let arguments = ["sh", "-c", "echo hi\x1b[2J\n"].map(str::to_owned).to_vec();
    let exec = ProcessExec { arguments, arguments_truncated: true, ..ProcessExec::default() };
    let mut exec = event(EventType::ProcessExec, Detail::ProcessExec(exec));
    exec.process.as_mut().unwrap().binary = "/bin/sh".to_owned();
    assert_eq!(
        line(exec),
        "shop/cart-7d9f/app process_exec (/bin/sh -c \"echo hi\\x1b[2J\\n\" …, pid 4312 by 11, uid 0)"
    );
    let exit = ProcessExit { code: Some(1), run_time_ns: Some(3_200_000_000), ..ProcessExit::default() };
    assert_eq!(
        line(event(EventType::ProcessExit, Detail::ProcessExit(exit))),
        "shop/cart-7d9f/app process_exit (code 1 after 3.2 s, pid 4312 cart)"
    );
    let shim = Ancestor { pid: 7, comm: "containerd-shim".to_owned(), ..Ancestor::default() };
    let mut exec = ProcessExec { arguments: vec!["sh".to_owned()], terminal: true, ..ProcessExec::default() };
    exec.set_origin(ExecOrigin::Entered);
    exec.ancestors.push(shim);
    assert_eq!(
        line(event(EventType::ProcessExec, Detail::ProcessExec(exec))),
        "shop/cart-7d9f/app process_exec (/usr/bin/cart, pid 4312 by 11, uid 0, entered from outside by containerd-shim (pid 7), on a terminal)"
    );
    let exit = ProcessExit {
        signal: Some(9),
        signal_name: "SIGKILL".to_owned(),
        oom_killed: true,
        core_dumped: true,
        ..ProcessExit::default()
    };
    assert_eq!(
        line(event(EventType::ProcessExit, Detail::ProcessExit(exit))),
        "shop/cart-7d9f/app process_exit (SIGKILL by the OOM killer, core dumped, pid 4312 cart)"
    );
    let kill = OomKill {
        resident_bytes: Some(536_870_912),
        scope: OomScope::Cgroup as i32,
        cgroup: "/kubepods/a".to_owned(),
        limit_bytes: Some(629_145_600),
        usage_bytes: Some(629_145_600),
    };
    assert_eq!(
        line(event(EventType::OomKill, Detail::OomKill(kill))),
        "shop/cart-7d9f/app oom_kill (512 MiB resident, 600 MiB of its limit of 600 MiB used in /kubepods/a, pid 4312 cart)"
    );
}

#[test]
fn what_was_lost_is_said_loudly() {
    let mut lost = Lost {
        kind: "tcp_close".to_owned(),
        cpu: Some(1),
        count: 120,
        since: Some(Timestamp { seconds: AT.seconds - 2, ..AT }),
        until: Some(AT),
        ..Lost::default()
    };
    lost.set_source(LossSource::Ring);
    let message = |lost: &Lost| WatchEventsResponse {
        payload: Some(Payload::Lost(lost.clone())),
        ..response(testing::connect())
    };
    assert_eq!(
        line_of(&testing::look(), &message(&lost)),
        "08:12:03.114 [node1]: lost: 120 tcp_close records had no room in the ring (cpu 1) \
         between 08:12:01.114 and 08:12:03.114\n"
    );
    let mut look = testing::look();
    look.painter = Painter { enabled: true };
    assert!(line_of(&look, &message(&lost)).contains("\x1b[33mlost: 120"));
    lost = Lost { count: 1, cpu: None, since: None, until: None, ..lost };
    lost.set_source(LossSource::Subscriber);
    assert!(line_of(&testing::look(), &message(&lost)).contains("lost: 1 message of this client's own"));
}

#[test]
fn what_was_only_counted() {
    let count = |kind: &str, count| EventCount { r#type: kind.to_owned(), count };
    let folded = Folded {
        workload: Some(testing::pod("shop", "cart-7d9f", "app")),
        since: Some(Timestamp { seconds: AT.seconds - 1, ..AT }),
        until: Some(AT),
        budget: 40_000,
        events: vec![count("tcp_connect", 52_113), count("tcp_close", 52_098)],
    };
    let message =
        WatchEventsResponse { payload: Some(Payload::Folded(folded)), ..response(testing::connect()) };
    assert_eq!(
        line_of(&testing::look(), &message),
        "08:12:03.114 [node1]: counted only: shop/cart-7d9f/app 52113 tcp_connect, 52098 tcp_close \
         between 08:12:02.114 and 08:12:03.114, beyond its 40000 a second\n"
    );
}

#[test]
fn what_the_memory_does_not_have_any_more() {
    let history = |missing| History { missing, complete_since: Some(AT), ..History::default() };
    let line = |missing| {
        let payload = Some(Payload::History(history(missing)));
        line_of(&testing::look(), &WatchEventsResponse { payload, ..response(testing::connect()) })
    };
    assert_eq!(line(0), "");
    assert_eq!(
        line(12),
        "08:12:03.114 [node1]: up to 12 events of those asked for made room in the daemon's memory: it has all \
         since 08:12:03.114 alone\n"
    );
}

#[test]
fn the_stream_itself() {
    let mut status = NodeStatus { message: "SIGTERM".to_owned(), ..NodeStatus::default() };
    let message = |status: &NodeStatus| WatchEventsResponse {
        payload: Some(Payload::NodeStatus(status.clone())),
        ..response(testing::connect())
    };
    status.set_state(NodeState::Connected);
    assert_eq!(line_of(&testing::look(), &message(&status)), "");
    status.set_state(NodeState::Stopping);
    assert_eq!(
        line_of(&testing::look(), &message(&status)),
        "08:12:03.114 [node1]: the daemon stops: SIGTERM\n"
    );
    assert_eq!(line_of(&testing::look(), &WatchEventsResponse::default()), "");
}

#[test]
fn a_wide_line_has_the_addresses() {
    let mut look = testing::look();
    look.format = Format::Wide;
    let line = line_of(&look, &response(testing::connect()));
    assert!(
        line.ends_with(
            "{10.1.0.7:51722 -> 10.1.0.9:6379, connection 7f3a, netns 4026532281, \
             pid 4312 cart /usr/bin/cart, container 0123456789ab, sequence 41}\n"
        ),
        "{line}"
    );
}

#[test]
fn a_message_of_a_newer_daemon_is_still_a_line() {
    let unknown = Event { r#type: 99, detail: None, workload: None, ..testing::connect() };
    assert!(line(unknown).starts_with("(unknown) EVENT_TYPE_UNSPECIFIED (no detail"));
}
