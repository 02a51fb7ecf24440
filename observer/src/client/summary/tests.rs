//! Tests of the summary tables as a reader sees them.

use observer_proto::v1::{
    Diagnosis, Distribution, Edge, ExitCount, LossSource, PeerKind, ProcessSummary, Stalled, TcpSummary,
    Verdict,
};
use prost_types::Timestamp;

use super::super::testing;
use super::*;

fn spread(p50_ns: u64, p99_ns: u64) -> Distribution {
    Distribution {
        count: 9,
        p50_ns,
        p90_ns: p99_ns / 2,
        p99_ns,
        max_ns: p99_ns + 1,
        ..Distribution::default()
    }
}

fn cart() -> Summary {
    let exits = vec![
        ExitCount { code: None, signal: Some(9), signal_name: "SIGKILL".to_owned(), count: 1 },
        ExitCount { code: Some(1), count: 3, ..ExitCount::default() },
        ExitCount { code: Some(0), count: 12, ..ExitCount::default() },
    ];
    Summary {
        workload: Some(testing::pod("shop", "cart-7d9f", "app")),
        tcp: Some(TcpSummary {
            opened: 120,
            failed: 2,
            closed: 118,
            live: 4,
            sent_bytes: 4_198,
            received_bytes: 307_200,
            sent_segments: 1_000,
            retransmitted_segments: 42,
            resets_sent: 1,
            handshake_latency: Some(spread(142_000, 2_400_000)),
            rtt: Some(spread(98_000, 1_100_000)),
            stalled: Some(Stalled { unread: 2, unanswered: 1, ..Stalled::default() }),
            ..TcpSummary::default()
        }),
        processes: Some(ProcessSummary { execs: 16, exits, ..ProcessSummary::default() }),
        ..Summary::default()
    }
}

fn redis() -> Summary {
    let tcp = TcpSummary {
        opened: 118,
        live: 4,
        handshake_latency: Some(spread(98_000, 200_000)),
        listen_drops: 9,
        ..TcpSummary::default()
    };
    Summary {
        workload: Some(testing::pod("shop", "redis-0", "redis")),
        tcp: Some(tcp),
        processes: Some(ProcessSummary::default()),
        ..Summary::default()
    }
}

fn edge(of: Summary, peer: &str, outgoing: bool) -> Summary {
    let edge = Edge {
        kind: PeerKind::Pod.into(),
        port: 6_379,
        outgoing,
        workload: Some(testing::pod("shop", peer, "c")),
        ..Edge::default()
    };
    let verdict = if outgoing { Verdict::NetworkLoss } else { Verdict::Healthy };
    let diagnosis = Some(Diagnosis { verdict: verdict.into(), ..Diagnosis::default() });
    Summary { edge: Some(edge), processes: None, diagnosis, ..of }
}

fn finished(summaries: Vec<Summary>, losses: Vec<Lost>) -> Finished {
    let mut window = Window::default();
    let lost_events = losses.iter().map(|lost| lost.count).sum();
    let payloads = summaries.into_iter().map(Payload::Summary).chain(losses.into_iter().map(Payload::Lost));
    let message = |payload| WatchSummariesResponse {
        payload: Some(payload),
        node_name: "node1".to_owned(),
        time: Some(testing::AT),
    };
    for payload in payloads {
        assert!(window.add(message(payload)).is_none());
    }
    let window_start = Some(Timestamp { seconds: 1_769_847_120, nanos: 0 });
    let end = WindowEnd { window_start, window_ns: 10_000_000_000, lost_events, ..WindowEnd::default() };
    window.add(message(Payload::WindowEnd(end))).unwrap()
}

fn text(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn all_figures_in_a_pipe() {
    let all = vec![redis(), cart(), edge(redis(), "cart-7d9f", false), edge(cart(), "redis-0", true)];
    let mut window = finished(all, vec![]);
    let shown = text(|out| write_tables(out, &testing::look(), &mut window, Sort::Worst));
    let expected = "\
window 08:12:00.000 to 08:12:10.000 (10 s) [node1]: complete
WORKLOAD            OPENED  FAILED  CLOSED  LIVE  HS-P50  HS-P90  HS-P99  HS-MAX  RTT-P50  RTT-P99     OUT      IN  RETR  RESETS  STALLED  DROPS  EXECS  EXITS               OOM  STARTS  STOPS
shop/cart-7d9f/app     120       2     118     4   142µs   1.2ms   2.4ms   2.4ms     98µs    1.1ms  4.1KiB  300KiB  4.2%       1        3      0     16  0×12 1×3 SIGKILL×1    0       0      0
shop/redis-0/redis     118       0       0     4    98µs   100µs   200µs   200µs        -        -      0B      0B     -       0        0      9      0  -                     0       0      0

WORKLOAD            PEER            PORT  DIR  VERDICT       OPENED  FAILED  CLOSED  LIVE  HS-P50  HS-P90  HS-P99  HS-MAX  RTT-P50  RTT-P99     OUT      IN  RETR  RESETS  STALLED  DROPS
shop/cart-7d9f/app  shop/redis-0    6379  out  network loss     120       2     118     4   142µs   1.2ms   2.4ms   2.4ms     98µs    1.1ms  4.1KiB  300KiB  4.2%       1        3      0
shop/redis-0/redis  shop/cart-7d9f  6379  in   healthy          118       0       0     4    98µs   100µs   200µs   200µs        -        -      0B      0B     -       0        0      9
";
    assert_eq!(shown, expected, "\n{shown}");
}

#[test]
fn a_terminal_of_80_columns_gets_lines_of_80_columns() {
    let mut look = testing::look();
    look.width = Some(80);
    let all = vec![redis(), cart(), edge(cart(), "redis-0", true)];
    let shown = text(|out| write_tables(out, &look, &mut finished(all.clone(), vec![]), Sort::Name));
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "\n{shown}");
    let shown = text(|out| write_brief(out, &look, &mut finished(all, vec![]), 15));
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "\n{shown}");
}

#[test]
fn the_brief_table_is_bounded_and_says_so() {
    let mut all = vec![redis(), cart(), edge(cart(), "redis-0", true)];
    let shown = text(|out| write_brief(out, &testing::look(), &mut finished(all.clone(), vec![]), 15));
    let names: Vec<&str> =
        shown.lines().skip(2).map(|line| line.trim_end().get(..22).unwrap_or_default().trim_end()).collect();
    assert_eq!(names, ["shop/cart-7d9f/app", "  -> shop/redis-0:6379", "shop/redis-0/redis"], "\n{shown}");
    all.extend(
        (0..30).map(|at| Summary { workload: Some(testing::pod("x", &format!("p{at}"), "c")), ..cart() }),
    );
    let shown = text(|out| write_brief(out, &testing::look(), &mut finished(all, vec![]), 15));
    assert_eq!(shown.lines().count(), 1 + 1 + 15 + 1, "\n{shown}");
    assert!(shown.ends_with("and 18 more: `observer summary` shows them all\n"), "{shown}");
}

#[test]
fn an_edge_without_its_workload_is_shown_too() {
    let all = vec![edge(cart(), "redis-0", true)];
    let shown = text(|out| write_brief(out, &testing::look(), &mut finished(all, vec![]), 15));
    assert!(shown.contains("\nshop/cart-7d9f/app -> shop/redis-0:6379  "), "{shown}");
}

#[test]
fn a_window_says_what_it_lacks() {
    let mut lost = Lost { kind: "tcp_close".to_owned(), cpu: Some(0), count: 7, ..Lost::default() };
    lost.set_source(LossSource::Ring);
    let other = Lost { cpu: Some(1), count: 5, ..lost.clone() };
    let mut window = finished(vec![], vec![lost, other]);
    let shown = text(|out| write_tables(out, &testing::look(), &mut window, Sort::Worst));
    assert_eq!(
        shown,
        "window 08:12:00.000 to 08:12:10.000 (10 s) [node1]: 12 events lost, the figures are too low\n\
         lost: 12 tcp_close records had no room in the ring\n\
         nothing happened that matches\n"
    );
}

#[test]
fn a_stream_of_changes_tells_what_is_the_same_and_what_is_gone() {
    let mut window = Window::default();
    let mut told = |payload| {
        let message = WatchSummariesResponse { payload: Some(payload), ..WatchSummariesResponse::default() };
        let mut finished = window.add(message)?;
        let mut out = Vec::new();
        write_tables(&mut out, &testing::look(), &mut finished, Sort::Worst).unwrap();
        String::from_utf8(out).unwrap().split_once('\n').map(|(_, rest)| rest.to_owned())
    };
    let of =
        |key, pod| Summary { key, workload: Some(testing::pod("shop", pod, "app")), ..Summary::default() };
    assert_eq!(told(Payload::Summary(of(1, "cart"))), None);
    assert_eq!(told(Payload::Summary(of(2, "web"))), None);
    let end = WindowEnd { summaries: 2, total: 2, snapshot: true, ..WindowEnd::default() };
    let first = told(Payload::WindowEnd(end.clone())).unwrap();
    assert!(
        first.starts_with("WORKLOAD") && first.contains("shop/cart") && first.contains("shop/web"),
        "{first}"
    );
    assert_eq!(told(Payload::Summary(of(3, "db\u{1b}"))), None);
    let second = WindowEnd { summaries: 1, total: 2, ended: vec![1], ..WindowEnd::default() };
    let second = told(Payload::WindowEnd(second)).unwrap();
    assert!(second.starts_with("1 of 2 as before\ngone: shop/cart/app\nWORKLOAD"), "{second}");
    assert!(second.contains("shop/db\\x1b/app") && !second.contains("shop/web"), "{second}");
    let third =
        told(Payload::WindowEnd(WindowEnd { total: 1, ended: vec![3], ..WindowEnd::default() })).unwrap();
    assert_eq!(third, "1 of 1 as before\ngone: shop/db\\x1b/app\nnothing else\n");
}
