//! Live connections and listeners as messages.

use observer_proto::v1;

use super::{address, boot_timestamp, counters, process, tcp, workload};
use crate::event::{Connection, Flow, Listener, Now, Queue, interface};

/// A live connection.
pub(in crate::serve) fn connection(connection: &Connection, now: Now) -> v1::Connection {
    let Connection {
        tcp: ends,
        workload: owner,
        process: of,
        start,
        adopted,
        handshake_latency_ns,
        state,
        counters: told,
        flow: stands,
        half_closed,
    } = connection;
    v1::Connection {
        tcp: Some(tcp(Some(owner), ends)),
        workload: Some(workload(owner)),
        process: of.as_deref().map(|of| process(of, now)),
        state: state.name().to_owned(),
        start_time: Some(boot_timestamp(*start, now)),
        handshake_latency_ns: *handshake_latency_ns,
        counters: Some(counters(told)),
        adopted: *adopted,
        flow: stands.as_ref().map(flow),
        half_closed_time: half_closed.map(|time| boot_timestamp(time, now)),
    }
}

fn flow(flow: &Flow) -> v1::TcpFlow {
    let Flow {
        unread_bytes,
        read_sequence: _,
        unacknowledged_bytes,
        unsent_bytes,
        peer_window_bytes,
        own_window_bytes,
        congestion_window,
        mss,
        pacing_rate,
        delivery_rate,
        window_closed_ns,
        timeouts,
        backoff,
        accepted,
    } = flow;
    v1::TcpFlow {
        unread_bytes: *unread_bytes,
        unacknowledged_bytes: *unacknowledged_bytes,
        unsent_bytes: *unsent_bytes,
        peer_window_bytes: *peer_window_bytes,
        own_window_bytes: *own_window_bytes,
        congestion_window: *congestion_window,
        mss: *mss,
        pacing_rate: *pacing_rate,
        delivery_rate: *delivery_rate,
        window_closed_ns: *window_closed_ns,
        timeouts: *timeouts,
        backoff: *backoff,
        accepted: *accepted,
    }
}

/// A listening socket.
pub(in crate::serve) fn listener(listener: &Listener, now: Now) -> v1::Listener {
    let Listener {
        id: _,
        workload: owner,
        process: of,
        local,
        netns,
        start,
        adopted,
        queue: Queue { waiting, limit, dropped: _ },
        most_waiting,
        dropped,
        oldest_waiting,
    } = listener;
    v1::Listener {
        workload: Some(workload(owner)),
        process: of.as_deref().map(|of| process(of, now)),
        address: address(local.ip(), interface(*local)),
        port: local.port().into(),
        netns: *netns,
        start_time: Some(boot_timestamp(*start, now)),
        adopted: *adopted,
        queue: *waiting,
        queue_most: *most_waiting,
        queue_limit: *limit,
        dropped: *dropped,
        oldest_wait_ns: oldest_waiting.map(|since| now.boot.since_ns(since)),
    }
}
