//! What simulated nodes tell: events and summaries as a real daemon's, of workloads that are each node's own.

use observer_proto::v1::event::Detail;
use observer_proto::v1::{
    Distribution, Edge, Endpoint, Event, EventType, PeerKind, Process, Summary, Tcp, TcpClose, TcpConnect,
    TcpCounters, TcpSummary, Workload, WorkloadKind,
};
use prost_types::Timestamp;

use super::node::Happened;

/// Pods of each node.
const PODS: usize = 8;
/// Edges of each pod in a window.
const EDGES: usize = 3;

/// What the events of a node are made of.
#[derive(Debug)]
pub(super) struct Content {
    node_name: String,
    workloads: Vec<Workload>,
}

impl Content {
    /// A node's.
    pub(super) fn new(node_name: &str, number: usize) -> Self {
        let workloads = (0..PODS).map(|pod| workload(number, pod)).collect();
        Self { node_name: node_name.to_owned(), workloads }
    }

    /// What happened, as it is told: connections that open and close in turn.
    pub(super) fn event(&self, happened: Happened) -> Event {
        let Happened { sequence, time_ns } = happened;
        let connection = sequence / 2;
        let place = connection as usize % PODS;
        let source = self.workloads.get(place).cloned().unwrap_or_default();
        let tcp = Some(self.tcp(connection, place, source.clone()));
        let (kind, detail) = if sequence % 2 == 0 {
            (EventType::TcpConnect, Detail::TcpConnect(TcpConnect { tcp, handshake_latency_ns: 182_000 }))
        } else {
            let counters = Some(counters(connection));
            let close = TcpClose { tcp, duration_ns: Some(48_211_907), counters, error: String::new() };
            (EventType::TcpClose, Detail::TcpClose(close))
        };
        Event {
            sequence,
            time: Some(timestamp(time_ns)),
            r#type: kind.into(),
            node_name: self.node_name.clone(),
            workload: Some(source),
            process: Some(process(place as u32)),
            detail: Some(detail),
        }
    }

    fn tcp(&self, connection: u64, place: usize, source: Workload) -> Tcp {
        let near = Endpoint {
            address: format!("10.7.{place}.4"),
            port: 32_768 + (connection % 28_000) as u32,
            workload: Some(source),
            ..Endpoint::default()
        };
        let far = Endpoint {
            address: format!("10.96.{}.17", connection % 200),
            port: 5432,
            workload: self.workloads.get((place + 1) % PODS).cloned(),
            kind: PeerKind::Pod.into(),
            service: "shop/database".to_owned(),
            ..Endpoint::default()
        };
        Tcp {
            connection_id: format!("{:x}", 0x9d3f_0000_u64 + connection),
            source: Some(near),
            destination: Some(far),
            outgoing: true,
            netns: 4_026_532_000 + place as u32,
            backend: None,
        }
    }

    /// The summaries of a window: of each pod, and of its edges.
    pub(super) fn summaries(&self, start: Timestamp, length_ns: u64) -> Vec<Summary> {
        let mut all = Vec::new();
        for (place, workload) in self.workloads.iter().enumerate() {
            for edge in 0..=EDGES {
                let edge = (edge > 0).then(|| self.edge(place, edge));
                all.push(Summary {
                    window_start: Some(start),
                    window_ns: length_ns,
                    workload: Some(workload.clone()),
                    edge,
                    tcp: Some(figures()),
                    ..Summary::default()
                });
            }
        }
        all
    }

    fn edge(&self, place: usize, edge: usize) -> Edge {
        Edge {
            kind: PeerKind::Pod.into(),
            address: format!("10.8.{place}.{edge}"),
            port: 5432,
            outgoing: true,
            workload: self.workloads.get((place + edge) % PODS).cloned(),
            service: "shop/database".to_owned(),
            ..Edge::default()
        }
    }
}

fn workload(number: usize, pod: usize) -> Workload {
    let name = format!("checkout-{number:04x}-{pod}");
    Workload {
        kind: WorkloadKind::Container.into(),
        name: name.clone(),
        namespace: "shop".to_owned(),
        pod: name,
        container: "server".to_owned(),
        cgroup_id: 7_000 + pod as u64,
        ..Workload::default()
    }
}

fn process(place: u32) -> Process {
    Process {
        pid: 20_000 + place,
        start_time: Some(timestamp(1_700_000_000_123_456_789)),
        parent_pid: 19_000,
        uid: Some(1000),
        comm: "checkout".to_owned(),
        binary: "/usr/local/bin/checkout".to_owned(),
        gid: Some(1000),
    }
}

fn counters(connection: u64) -> TcpCounters {
    TcpCounters {
        sent_bytes: 512 + connection % 1000,
        received_bytes: 48_211,
        sent_segments: 12,
        received_segments: 41,
        rtt_ns: Some(212_000),
        min_rtt_ns: Some(180_000),
        rtt_variation_ns: Some(31_000),
        delivered_segments: 11,
        busy_ns: Some(8_000_000),
        ..TcpCounters::default()
    }
}

fn figures() -> TcpSummary {
    let times = Distribution {
        count: 120,
        sum_ns: 24_000_000,
        min_ns: 90_000,
        max_ns: 1_200_000,
        p50_ns: 190_000,
        p90_ns: 400_000,
        p99_ns: 900_000,
        scale: 5,
        offset: -430,
        buckets: vec![3, 9, 21, 38, 27, 12, 6, 3, 1],
        zero_count: 0,
    };
    TcpSummary {
        opened: 120,
        closed: 118,
        live: 14,
        sent_bytes: 91_000,
        received_bytes: 4_811_000,
        sent_segments: 1440,
        received_segments: 4920,
        handshake_latency: Some(times.clone()),
        rtt: Some(times),
        ..TcpSummary::default()
    }
}

/// A time of so many nanoseconds.
pub(super) fn timestamp(ns: u64) -> Timestamp {
    Timestamp { seconds: (ns / 1_000_000_000) as i64, nanos: (ns % 1_000_000_000) as i32 }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn an_event_takes_what_a_real_one_takes() {
        let content = Content::new("node-0001", 1);
        let bytes = |sequence| content.event(Happened { sequence, time_ns: 1 }).encoded_len();
        let mean = usize::midpoint(bytes(100), bytes(101));
        assert!((450..650).contains(&mean), "{mean}");
        assert_eq!(content.summaries(timestamp(1), 1).len(), PODS * (EDGES + 1));
    }
}
