//! What a list of connections is sorted by, of which both ends may be known.

use std::cmp::Reverse;

use observer_proto::v1;

use super::nanos;

/// What stands for a connection in that order, from large to small; those that are equal by their age. Of what both ends tell it is
/// the worse, or the larger: whoever has to wait for the other one is as badly off.
pub(super) fn weight(by: v1::ConnectionOrder, connection: &v1::Connection) -> ([u64; 3], Reverse<i128>) {
    let counters = connection.counters.unwrap_or_default();
    let far = connection.peer.as_ref();
    let flows = [connection.flow.unwrap_or_default(), far.and_then(|far| far.flow).unwrap_or_default()];
    let most = |of: fn(&v1::TcpFlow) -> u64| flows.iter().map(of).max().unwrap_or(0);
    let rtt = counters.rtt_ns.unwrap_or(0);
    let age = Reverse(connection.start_time.as_ref().map_or(i128::MAX, nanos));
    let of = match by {
        v1::ConnectionOrder::Unspecified => {
            [most(longest_stall), counters.retransmitted_segments.into(), rtt]
        }
        v1::ConnectionOrder::Retransmits => [counters.retransmitted_segments.into(), 0, 0],
        v1::ConnectionOrder::Rtt => [rtt, 0, 0],
        v1::ConnectionOrder::Handshake => {
            let far = far.and_then(|far| far.handshake_latency_ns);
            [connection.handshake_latency_ns.max(far).unwrap_or(0), 0, 0]
        }
        v1::ConnectionOrder::Bytes => [counters.sent_bytes.saturating_add(counters.received_bytes), 0, 0],
        v1::ConnectionOrder::Unread => [most(|flow| flow.unread_bytes), 0, 0],
        v1::ConnectionOrder::Unsent => {
            [most(|flow| flow.unsent_bytes.saturating_add(flow.unacknowledged_bytes)), 0, 0]
        }
        v1::ConnectionOrder::Age => [0; 3],
    };
    (of, age)
}

fn longest_stall(flow: &v1::TcpFlow) -> u64 {
    let stalls = [flow.unread_ns, flow.own_window_closed_ns, flow.window_closed_ns, flow.accept_wait_ns];
    stalls.into_iter().flatten().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::ConnectionOrder::{Age, Handshake, Unread, Unsent};

    use super::*;

    /// With what the far end tells.
    fn with_far(end: v1::PeerEnd) -> v1::Connection {
        v1::Connection { peer: Some(end), ..v1::Connection::default() }
    }

    fn flow(flow: v1::TcpFlow) -> v1::Connection {
        with_far(v1::PeerEnd { flow: Some(flow), ..v1::PeerEnd::default() })
    }

    #[test]
    fn what_is_bad_at_the_far_end_alone_is_as_bad() {
        let waits = |ns| v1::TcpFlow { accept_wait_ns: Some(ns), ..v1::TcpFlow::default() };
        let near = |ns| v1::Connection { flow: Some(waits(ns)), ..v1::Connection::default() };
        let worst = |of: &v1::Connection| weight(v1::ConnectionOrder::Unspecified, of).0[0];
        assert_eq!([worst(&near(5)), worst(&flow(waits(7)))], [5, 7]);
        let both = v1::Connection { flow: Some(waits(9)), ..flow(waits(7)) };
        assert_eq!(worst(&both), 9);

        let unread = flow(v1::TcpFlow { unread_bytes: 3, ..v1::TcpFlow::default() });
        assert_eq!(weight(Unread, &unread).0, [3, 0, 0]);
        let unsent =
            flow(v1::TcpFlow { unsent_bytes: u64::MAX, unacknowledged_bytes: 1, ..v1::TcpFlow::default() });
        assert_eq!(weight(Unsent, &unsent).0, [u64::MAX, 0, 0]);
        let greeted = with_far(v1::PeerEnd { handshake_latency_ns: Some(4), ..v1::PeerEnd::default() });
        assert_eq!(weight(Handshake, &greeted).0, [4, 0, 0]);
        assert_eq!(weight(Age, &unsent).0, [0; 3]);
    }
}
