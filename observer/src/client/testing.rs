//! Messages for the tests of everything that is shown.

mod server;

use jiff::tz::TimeZone;
use observer_proto::v1::event::Detail;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{
    Endpoint, Event, EventType, PeerKind, Process, Tcp, TcpConnect, WatchEventsResponse, Workload,
    WorkloadKind,
};
use prost_types::Timestamp;

pub(crate) use server::serve;

use super::chosen::Chosen;
use super::color::Painter;
use super::look::{Format, Look};
use super::time::TimeFormat;

pub(crate) const AT: Timestamp = Timestamp { seconds: 1_769_847_123, nanos: 114_159_265 };

pub(crate) fn look() -> Look {
    Look {
        format: Format::Compact,
        painter: Painter { enabled: false },
        width: None,
        times: TimeFormat::Time,
        zone: TimeZone::UTC,
        chosen: Chosen::All,
    }
}

pub(crate) fn pod(namespace: &str, pod: &str, container: &str) -> Workload {
    Workload {
        kind: WorkloadKind::Pod.into(),
        name: pod.to_owned(),
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
        container_id: "0123456789abcdef".repeat(4),
        labels: [("app".to_owned(), "cart".to_owned())].into(),
        ..Workload::default()
    }
}

pub(crate) fn tcp(outgoing: bool) -> Tcp {
    Tcp {
        connection_id: "7f3a".to_owned(),
        source: Some(Endpoint {
            address: "10.1.0.7".to_owned(),
            port: 51_722,
            workload: Some(pod("shop", "cart-7d9f", "app")),
            kind: PeerKind::Pod.into(),
            ..Endpoint::default()
        }),
        destination: Some(Endpoint {
            address: "10.1.0.9".to_owned(),
            port: 6_379,
            workload: Some(pod("shop", "redis-0", "redis")),
            kind: PeerKind::Pod.into(),
            ..Endpoint::default()
        }),
        outgoing,
        backend: None,
        netns: 4_026_532_281,
    }
}

pub(crate) fn process() -> Process {
    Process {
        pid: 4_312,
        parent_pid: 11,
        uid: Some(0),
        gid: Some(0),
        comm: "cart".to_owned(),
        binary: "/usr/bin/cart".to_owned(),
        start_time: Some(AT),
    }
}

pub(crate) fn event(kind: EventType, detail: Detail) -> Event {
    Event {
        sequence: 41,
        time: Some(AT),
        r#type: kind.into(),
        node_name: "node1".to_owned(),
        workload: Some(pod("shop", "cart-7d9f", "app")),
        process: Some(process()),
        detail: Some(detail),
    }
}

pub(crate) fn connect() -> Event {
    let connect = TcpConnect { tcp: Some(tcp(true)), handshake_latency_ns: 142_300 };
    event(EventType::TcpConnect, Detail::TcpConnect(connect))
}

pub(crate) fn response(event: Event) -> WatchEventsResponse {
    WatchEventsResponse {
        payload: Some(Payload::Event(event)),
        node_name: "node1".to_owned(),
        time: Some(AT),
    }
}
