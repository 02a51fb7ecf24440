//! Live connections and listeners as messages.

use observer_proto::served as v1;

use super::{address, boot_timestamp, connection_id, counters, process, tcp, workload};
use crate::event::{
    BootTime, Connection, Flow, Listener, Now, PeerEnd, Queue, Stalls, interface, peer_window_closed_ns,
};

/// A live connection, as of its last reading.
pub(crate) fn connection(connection: &Connection, sampled: BootTime, now: Now) -> v1::Connection {
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
        stalls,
        peer_end,
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
        flow: stands.as_ref().map(|stands| flow(stands, stalls, *start, sampled)),
        half_closed_time: half_closed.map(|time| boot_timestamp(time, now)),
        peer: peer_end.as_deref().map(|end| peer(end, sampled, now)),
        node_name: String::new(),
    }
}

fn peer(end: &PeerEnd, sampled: BootTime, now: Now) -> v1::PeerEnd {
    let PeerEnd { id, workload: _, process: of, state, start, handshake_latency_ns, flow: stands, stalls } =
        end;
    v1::PeerEnd {
        connection_id: connection_id(*id),
        process: of.as_deref().map(|of| process(of, now)),
        state: state.name().to_owned(),
        handshake_latency_ns: *handshake_latency_ns,
        flow: stands.as_ref().map(|stands| flow(stands, stalls, *start, sampled)),
        node_name: String::new(),
        workload: None,
    }
}

fn flow(flow: &Flow, stalls: &Stalls, start: BootTime, sampled: BootTime) -> v1::TcpFlow {
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
        window_closed_ns: _,
        timeouts,
        backoff,
        accepted,
    } = flow;
    let Stalls { unread, own_window_closed, peer_window_closed: _, waited, accepted: accepted_by } = stalls;
    let until_now = |since: BootTime| sampled.since_ns(since);
    let from_start = |until: BootTime| until.since_ns(start);
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
        window_closed_ns: peer_window_closed_ns(Some(flow), stalls, sampled),
        timeouts: *timeouts,
        backoff: *backoff,
        accepted: *accepted,
        unread_ns: unread.map(until_now),
        own_window_closed_ns: own_window_closed.map(until_now),
        accept_wait_ns: waited.map(from_start),
        // Without a reading that found it waiting, how long it waited is not remarkable.
        accept_wait_most_ns: accepted_by.filter(|_| waited.is_some()).map(from_start),
    }
}

/// A listening socket.
pub(crate) fn listener(listener: &Listener, now: Now) -> v1::Listener {
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
        overflowed,
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
        overflowed: *overflowed,
        oldest_wait_ns: oldest_waiting.map(|since| now.boot.since_ns(since)),
        node_name: String::new(),
    }
}
