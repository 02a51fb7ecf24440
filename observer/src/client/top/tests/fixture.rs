//! A node with a shop on it, at one moment and at others.

use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{
    Connection, ContainerEnd, ContainerState, Diagnosis, Distribution, Edge, EndKind, Evidence, ExitCount,
    FailureCount, ListConnectionsResponse, ListWorkloadsResponse, Lost, PeerKind, ProcessSummary, Summary,
    TcpCounters, TcpFlow, TcpSummary, Unit, Verdict, WatchSummariesResponse, WindowEnd, Workload,
    WorkloadKind, WorkloadStatus,
};
use prost_types::Timestamp;

use super::super::super::color::Paint;
use super::super::super::compact::Line;
use super::super::super::testing::{self, AT};
use super::super::Message;

pub(super) fn pod(namespace: &str, name: &str, container: &str) -> Workload {
    let container_id = format!("{namespace}-{name}-{container}-0123456789");
    Workload { container_id, pod_uid: format!("uid-{name}"), ..testing::pod(namespace, name, container) }
}

fn host() -> Workload {
    Workload { kind: WorkloadKind::Host.into(), name: "host".to_owned(), ..Workload::default() }
}

fn distribution(p50_ns: u64, p99_ns: u64) -> Distribution {
    Distribution { count: 10, p50_ns, p99_ns, ..Distribution::default() }
}

fn tcp(opened: u64, failed: u64, again: u64) -> TcpSummary {
    TcpSummary {
        opened,
        failed,
        closed: opened,
        live: 2,
        sent_bytes: opened * 1_000,
        received_bytes: opened * 5_000,
        sent_segments: 1_000,
        retransmitted_segments: again,
        handshake_latency: Some(distribution(63_000, 142_300)),
        rtt: Some(distribution(39_000, 1_240_000)),
        failures: if failed > 0 {
            vec![FailureCount { error: "refused".to_owned(), count: failed }]
        } else {
            Vec::new()
        },
        ..TcpSummary::default()
    }
}

fn workload(workload: Workload, tcp: TcpSummary) -> Summary {
    let exits = vec![ExitCount { code: Some(0), count: 1, ..ExitCount::default() }];
    let processes = Some(ProcessSummary { execs: 1, exits, ..ProcessSummary::default() });
    Summary { workload: Some(workload), tcp: Some(tcp), processes, ..Summary::default() }
}

fn edge(
    of: Workload,
    to: Workload,
    (port, outgoing): (u32, bool),
    verdict: Verdict,
    tcp: TcpSummary,
) -> Summary {
    let evidence = Evidence {
        figure: "refused".to_owned(),
        value: tcp.failed,
        of: Some(tcp.failed + tcp.opened),
        unit: Unit::Count.into(),
    };
    let evidence = if tcp.failed > 0 { vec![evidence] } else { Vec::new() };
    Summary {
        workload: Some(of),
        edge: Some(Edge {
            kind: PeerKind::Pod.into(),
            port,
            outgoing,
            workload: Some(to),
            ..Edge::default()
        }),
        tcp: Some(tcp),
        diagnosis: Some(Diagnosis { verdict: verdict.into(), evidence, others: Vec::new() }),
        ..Summary::default()
    }
}

/// The messages of the n-th window. From one to the next the server gets worse than the client.
pub(super) fn window(n: u64) -> Vec<Message> {
    window_of(n, 0)
}

/// The same with losses.
pub(super) fn window_of(n: u64, lost: u64) -> Vec<Message> {
    let (client, server) = (pod("shop", "client-1-5a37", "connect"), pod("shop", "server-0-8c0a", "serve"));
    let failed = 3 * (1 - n.min(1)) + 1;
    let mut worse = tcp(6, 2 * n, 4);
    worse.resets_sent = 1;
    let mut payloads = vec![
        Payload::Summary(workload(host(), tcp(0, 0, 0))),
        Payload::Summary(workload(server.clone(), worse.clone())),
        Payload::Summary(workload(client.clone(), tcp(6, failed, 0))),
        Payload::Summary(edge(server.clone(), client.clone(), (8080, false), Verdict::NetworkLoss, worse)),
        Payload::Summary(edge(client.clone(), server, (8080, true), Verdict::Healthy, tcp(6, 0, 0))),
        Payload::Summary(edge(
            client,
            pod("data", "database-primary-0", "postgres"),
            (5432, true),
            Verdict::Refused,
            tcp(0, failed, 0),
        )),
    ];
    if lost > 0 {
        payloads.push(Payload::Lost(Lost { count: lost, kind: "tcp_close".to_owned(), ..Lost::default() }));
    }
    payloads.push(Payload::WindowEnd(WindowEnd {
        window_start: Some(at(2 * n)),
        window_ns: 2_000_000_000,
        lost_events: lost,
        ..WindowEnd::default()
    }));
    payloads.into_iter().map(message).collect()
}

pub(super) fn message(payload: Payload) -> Message {
    let payload = Some(payload);
    Message::Summary(Box::new(WatchSummariesResponse {
        payload,
        node_name: "node1".to_owned(),
        time: Some(AT),
    }))
}

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp { seconds: AT.seconds + i64::try_from(seconds).unwrap(), ..AT }
}

pub(super) fn workloads() -> ListWorkloadsResponse {
    let running = |workload| WorkloadStatus {
        workload: Some(workload),
        state: ContainerState::Running.into(),
        ..WorkloadStatus::default()
    };
    let last_end = ContainerEnd {
        time: Some(AT),
        kind: EndKind::Error.into(),
        code: Some(1),
        run_time_ns: Some(2_000_000_000),
        ..ContainerEnd::default()
    };
    let fails = WorkloadStatus {
        restarts_seen: 7,
        last_end: Some(last_end),
        state: ContainerState::Ended.into(),
        crash_loop: true,
        ..running(pod("shop", "cart-7d9f", "app"))
    };
    let server = WorkloadStatus { restarts_seen: 1, ..running(pod("shop", "server-0-8c0a", "serve")) };
    let workloads = vec![
        fails,
        running(pod("shop", "client-1-5a37", "connect")),
        running(pod("shop", "idle-0", "sleep")),
        server,
    ];
    ListWorkloadsResponse { workloads, ..ListWorkloadsResponse::default() }
}

/// Connections of the client; other ones than before with another n.
pub(super) fn connections(n: u64) -> ListConnectionsResponse {
    let connection = |number: u64| {
        let mut tcp = testing::tcp(true);
        tcp.connection_id = number.to_string();
        for (end, port) in [(&mut tcp.source, 40_000 + number), (&mut tcp.destination, 8080)] {
            end.as_mut().unwrap().port = u32::try_from(port).unwrap();
        }
        tcp.destination.as_mut().unwrap().workload = Some(pod("shop", "server-0-8c0a", "serve"));
        let counters = TcpCounters {
            rtt_ns: Some(120_000 * number),
            sent_segments: 100,
            retransmitted_segments: 3,
            ..TcpCounters::default()
        };
        let flow = TcpFlow { unread_bytes: 2_048, unread_ns: Some(3_000_000_000), ..TcpFlow::default() };
        Connection {
            tcp: Some(tcp),
            workload: Some(pod("shop", "client-1-5a37", "connect")),
            process: Some(testing::process()),
            state: "ESTABLISHED".to_owned(),
            start_time: Some(at(0)),
            counters: Some(counters).filter(|_| number.is_multiple_of(2)),
            flow: Some(flow).filter(|_| number.is_multiple_of(2)),
            ..Connection::default()
        }
    };
    let connections = (n + 1..n + 13).map(connection).collect();
    let (total, time) = (1_200, Some(at(75)));
    ListConnectionsResponse { connections, total, time, ..ListConnectionsResponse::default() }
}

/// Lines of events, one each second.
pub(super) fn lines(numbers: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = Line> {
    numbers.map(|n| {
        let failed = n % 10 == 0;
        let kind = if failed {
            "tcp_connect_failure (refused after 63 µs"
        } else {
            "tcp_close (303 µs, 1000 B out, 1000 B in, rtt 37 µs, 0 of 6 segments retransmitted"
        };
        let text = format!(
            "08:12:{n:02}.758 shop/client-1-5a37/connect -> shop/server-0-8c0a:8080 {kind}, pid {n})"
        );
        Line { time: Some(at(n)), paint: if failed { Paint::Failure } else { Paint::Plain }, text }
    })
}
