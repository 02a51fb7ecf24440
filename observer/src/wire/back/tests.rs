//! What is made of what was told, and told again, is the same.

#![allow(clippy::unnecessary_wraps, reason = "messages hold them so")]

use observer_proto::{served, v1};
use prost::Message;
use prost_types::Timestamp;

use super::*;
use crate::event::{Now, WallTime};
use crate::wire;

const AT: u64 = 1_700_000_000_123_456_789;

/// The same message in the client's types.
fn told<M: Message + Default>(served: &impl Message) -> M {
    M::decode(served.encode_to_vec().as_slice()).unwrap()
}

fn now() -> Now {
    Now { boot: BootTime(AT), wall: WallTime(AT) }
}

fn at(before_ns: u64) -> Option<Timestamp> {
    Some(wire::timestamp(WallTime(AT - before_ns)))
}

fn pod(name: &str) -> Option<v1::Workload> {
    Some(v1::Workload {
        kind: v1::WorkloadKind::Pod.into(),
        name: name.to_owned(),
        namespace: "shop".to_owned(),
        pod: name.to_owned(),
        pod_uid: format!("uid-{name}"),
        container: "app".to_owned(),
        container_id: "c".repeat(64),
        labels: [("app".to_owned(), name.to_owned())].into(),
        image: "registry/app:1".to_owned(),
        restart_count: Some(3),
        cgroup_id: 77,
        owner_kind: "Deployment".to_owned(),
        owner_name: "web".to_owned(),
        ..v1::Workload::default()
    })
}

fn some_process() -> Option<v1::Process> {
    Some(v1::Process {
        pid: 42,
        start_time: at(9_000),
        parent_pid: 1,
        uid: Some(1_000),
        gid: None,
        comm: "app".to_owned(),
        binary: "/bin/app".to_owned(),
    })
}

fn flow() -> v1::TcpFlow {
    v1::TcpFlow {
        unread_bytes: 5,
        peer_window_bytes: 7,
        congestion_window: 10,
        mss: 1_448,
        delivery_rate: Some(9),
        window_closed_ns: Some(3_000),
        timeouts: 2,
        accepted: true,
        unread_ns: Some(1_500),
        own_window_closed_ns: Some(2_000),
        accept_wait_ns: Some(400),
        accept_wait_most_ns: Some(500),
        ..v1::TcpFlow::default()
    }
}

fn connection_told(outgoing: bool) -> v1::Connection {
    let own = v1::Endpoint {
        address: "fe80::1%2".to_owned(),
        port: 40_000,
        workload: pod("web"),
        ..v1::Endpoint::default()
    };
    let other = v1::Endpoint {
        address: "10.96.0.7".to_owned(),
        port: 80,
        kind: v1::PeerKind::Service.into(),
        service: "shop/db".to_owned(),
        ..v1::Endpoint::default()
    };
    let backend = v1::Endpoint {
        address: "10.0.0.9".to_owned(),
        port: 8_080,
        workload: pod("db"),
        kind: v1::PeerKind::Pod.into(),
        node_name: "node-2".to_owned(),
        ..v1::Endpoint::default()
    };
    let (source, destination) = if outgoing { (own, other) } else { (other, own) };
    v1::Connection {
        tcp: Some(v1::Tcp {
            connection_id: "1f".to_owned(),
            source: Some(source),
            destination: Some(destination),
            outgoing,
            netns: 4,
            backend: outgoing.then_some(backend),
        }),
        workload: pod("web"),
        process: some_process(),
        state: "CLOSE_WAIT".to_owned(),
        start_time: at(60_000),
        handshake_latency_ns: Some(1_000),
        counters: Some(v1::TcpCounters {
            sent_bytes: 1,
            retransmitted_segments: 2,
            rtt_ns: Some(3),
            busy_ns: Some(4),
            peer_window_limited_ns: Some(5),
            send_buffer_limited_ns: Some(0),
            ..v1::TcpCounters::default()
        }),
        adopted: true,
        flow: Some(flow()),
        half_closed_time: at(700),
        peer: Some(v1::PeerEnd {
            connection_id: "20".to_owned(),
            process: some_process(),
            state: "ESTABLISHED".to_owned(),
            handshake_latency_ns: None,
            flow: Some(flow()),
            ..v1::PeerEnd::default()
        }),
        node_name: String::new(),
    }
}

#[test]
fn connections_are_told_as_they_were() {
    for outgoing in [true, false] {
        let before = connection_told(outgoing);
        let again = wire::connection(&connection(&before, BootTime(AT)), BootTime(AT), now());
        assert_eq!(told::<v1::Connection>(&again), before);
    }
    let empty = wire::connection(&connection(&v1::Connection::default(), BootTime(AT)), BootTime(AT), now());
    assert_eq!(told::<v1::Connection>(&empty).state, "UNKNOWN");
}

#[test]
fn listeners_are_told_as_they_were() {
    let before = v1::Listener {
        workload: pod("web"),
        process: some_process(),
        address: "::".to_owned(),
        port: 80,
        netns: 9,
        start_time: at(8_000),
        adopted: false,
        queue: 3,
        queue_most: 5,
        queue_limit: 128,
        dropped: 7,
        oldest_wait_ns: Some(2_500),
        overflowed: Some(6),
        node_name: String::new(),
    };
    let again: served::Listener = wire::listener(&listener(&before, BootTime(AT)), now());
    assert_eq!(told::<v1::Listener>(&again), before);
}

#[test]
fn workloads_are_told_as_they_were() {
    let end = v1::ContainerEnd {
        time: at(5_000),
        kind: v1::EndKind::OomKilled.into(),
        code: None,
        signal: Some(9),
        signal_name: "SIGKILL".to_owned(),
        run_time_ns: Some(1_000),
        restarted_after_ns: None,
        reason: "OOMKilled".to_owned(),
    };
    let before = v1::WorkloadStatus {
        workload: pod("web"),
        live_connections: 4,
        execs: 5,
        connections_opened: 6,
        cgroup_path: "/kubepods/x".to_owned(),
        first_seen: at(90_000),
        restarts_seen: 2,
        last_end: Some(end),
        ready_after_ns: Some(12),
        state: v1::ContainerState::Ended.into(),
        crash_loop: true,
        node_name: String::new(),
        addresses: vec!["10.0.0.7".to_owned(), "fd00::7".to_owned()],
    };
    let again: served::WorkloadStatus = wire::workload_status(&workload_entry(&before), now());
    assert_eq!(told::<v1::WorkloadStatus>(&again), before);
}
