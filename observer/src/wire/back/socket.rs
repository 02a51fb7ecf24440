//! Live connections and listeners.

use std::sync::Arc;

use observer_proto::v1;

use super::{address, boot_time, process, socket_id, tcp, workload};
use crate::event::{
    BootTime, Busy, Connection, ConnectionId, Counters, Flow, Listener, PeerEnd, Queue, Stalls, TcpState,
};

/// A live connection, as of that reading.
pub(crate) fn connection(told: &v1::Connection, sampled: BootTime) -> Connection {
    let v1::Connection {
        tcp: ends,
        workload: of,
        process: by,
        state: in_state,
        start_time,
        handshake_latency_ns,
        counters: read,
        adopted,
        flow: stood,
        half_closed_time,
        peer,
        node_name: _,
    } = told;
    let start = boot_time(start_time.as_ref());
    let ends = tcp(&ends.clone().unwrap_or_default());
    let (flow, stalls) = flow_of(stood.as_ref(), start, sampled);
    let peer_end = peer.as_ref().map(|peer| Box::new(peer_end(peer, &ends, start, sampled)));
    Connection {
        tcp: ends,
        workload: workload(of.as_ref()),
        process: process(by.as_ref()),
        start,
        adopted: *adopted,
        handshake_latency_ns: *handshake_latency_ns,
        state: state(in_state),
        counters: read.as_ref().map(counters).unwrap_or_default(),
        flow,
        half_closed: half_closed_time.as_ref().map(|time| boot_time(Some(time))),
        stalls,
        peer_end,
    }
}

/// A listening socket.
pub(crate) fn listener(told: &v1::Listener, sampled: BootTime) -> Listener {
    let v1::Listener {
        workload: of,
        process: by,
        address: at,
        port,
        netns,
        start_time,
        adopted,
        queue,
        queue_most,
        queue_limit,
        dropped,
        oldest_wait_ns,
        overflowed,
        node_name: _,
    } = told;
    Listener {
        id: ConnectionId(0),
        workload: workload(of.as_ref()),
        process: process(by.as_ref()),
        local: address(at, *port),
        netns: *netns,
        start: boot_time(start_time.as_ref()),
        adopted: *adopted,
        queue: Queue { waiting: *queue, limit: *queue_limit, dropped: *dropped as u32 },
        most_waiting: *queue_most,
        dropped: *dropped,
        overflowed: *overflowed,
        oldest_waiting: oldest_wait_ns.map(|ns| before(sampled, ns)),
    }
}

fn peer_end(told: &v1::PeerEnd, ends: &crate::event::Tcp, start: BootTime, sampled: BootTime) -> PeerEnd {
    let v1::PeerEnd {
        connection_id,
        process: by,
        state: in_state,
        handshake_latency_ns,
        flow,
        node_name: _,
        workload: _,
    } = told;
    let (flow, stalls) = flow_of(flow.as_ref(), start, sampled);
    let answerer = ends.backend.as_ref().map_or(&ends.peer, |backend| &backend.peer);
    PeerEnd {
        id: socket_id(connection_id),
        workload: answerer.workload.as_ref().map_or_else(|| workload(None), Arc::clone),
        process: process(by.as_ref()),
        state: state(in_state),
        start,
        handshake_latency_ns: *handshake_latency_ns,
        flow,
        stalls,
    }
}

/// The state of that name.
fn state(name: &str) -> TcpState {
    (1..=12).map(TcpState).find(|state| state.name() == name).unwrap_or(TcpState(0))
}

fn before(time: BootTime, ns: u64) -> BootTime {
    BootTime(time.0.saturating_sub(ns))
}

/// How it stood, and since when.
fn flow_of(told: Option<&v1::TcpFlow>, start: BootTime, sampled: BootTime) -> (Option<Flow>, Stalls) {
    let Some(told) = told else { return (None, Stalls::default()) };
    let v1::TcpFlow {
        unread_bytes,
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
        unread_ns,
        own_window_closed_ns,
        accept_wait_ns,
        accept_wait_most_ns,
    } = *told;
    let flow = Flow {
        unread_bytes,
        read_sequence: 0,
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
    };
    let after = |ns: u64| BootTime(start.0.saturating_add(ns));
    let stalls = Stalls {
        unread: unread_ns.map(|ns| before(sampled, ns)),
        own_window_closed: own_window_closed_ns.map(|ns| before(sampled, ns)),
        // What is told is the longer one of this and what the flow has.
        peer_window_closed: None,
        waited: accept_wait_ns.map(after),
        accepted: accept_wait_most_ns.map(after),
    };
    (Some(flow), stalls)
}

fn counters(told: &v1::TcpCounters) -> Counters {
    let v1::TcpCounters {
        sent_bytes,
        received_bytes,
        sent_segments,
        received_segments,
        retransmitted_segments,
        rtt_ns,
        min_rtt_ns,
        rtt_variation_ns,
        delivered_segments,
        congested_segments,
        spurious_retransmits,
        reorderings,
        busy_ns,
        peer_window_limited_ns,
        send_buffer_limited_ns,
    } = *told;
    Counters {
        sent_bytes,
        received_bytes,
        sent_segments,
        received_segments,
        retransmitted_segments: retransmitted_segments.into(),
        rtt_ns,
        min_rtt_ns,
        rtt_variation_ns,
        delivered_segments,
        congested_segments,
        spurious_retransmits,
        reorderings,
        busy: busy_ns.map(|total_ns| Busy {
            total_ns,
            peer_window_limited_ns: peer_window_limited_ns.unwrap_or(0),
            send_buffer_limited_ns: send_buffer_limited_ns.unwrap_or(0),
        }),
    }
}
