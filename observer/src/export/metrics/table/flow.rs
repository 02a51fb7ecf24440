//! Metrics of what holds connections up: flow control, what stands still, full queues.

use super::{CONNECTIONS, EVENTS, Figure, Metric, Unit, Word, connections, counter, gauge, word};
use crate::export::metrics::totals::{lengths, stalls};

const LIMIT: Word = word("limit", "network.tcp.flow_control.limit");
const STALL: Word = word("stall", "network.tcp.stall.type");
const PORT: Word = word("port", "server.port");

pub(super) const METRICS: &[Metric] = &[
    gauge(
        "observer_tcp_deepest_backoff",
        "network.tcp.retransmit.backoff",
        Unit::Things("{doubling}"),
        connections!(|tcp, out| out.count(&[], u64::from(tcp.newest.deepest_backoff))),
    )
    .help("The most often that a timeout was doubled, in the last second.")
    .told("Summary.tcp.deepest_backoff"),
    counter(
        "observer_tcp_busy_seconds_total",
        "network.tcp.flow_control.busy_time",
        Unit::Seconds,
        connections!(|tcp, out| out.nanoseconds(&[], tcp.totals.busy_ns)),
    )
    .help("How long there was something to send or unacknowledged, in seconds, summed over connections.")
    .told("Summary.tcp.busy_ns"),
    counter(
        "observer_tcp_limited_seconds_total",
        "network.tcp.flow_control.limited_time",
        Unit::Seconds,
        connections!(|tcp, out| {
            out.nanoseconds(&["peer_window"], tcp.totals.peer_window_limited_ns);
            out.nanoseconds(&["send_buffer"], tcp.totals.send_buffer_limited_ns);
        }),
    )
    .help("Of the time that is busy, how long the other side's window or the own send buffer was the limit, in seconds.")
    .told("Summary.tcp.peer_window_limited_ns, send_buffer_limited_ns")
    .by(&[LIMIT]),
    gauge(
        "observer_tcp_stalled_connections",
        "network.tcp.stalls",
        CONNECTIONS,
        connections!(|tcp, out| {
            for ((stall, count), ever) in stalls(&tcp.live.stalled).into_iter().zip(tcp.totals.ever.0) {
                if ever {
                    out.count(&[stall], u64::from(count));
                }
            }
        }),
    )
    .help("Connections that stand still now, each for a second at least, by how. Absent for what never was so.")
    .told("Summary.tcp.stalled")
    .by(&[STALL]),
    gauge(
        "observer_tcp_longest_stall_seconds",
        "network.tcp.stall.longest",
        Unit::Seconds,
        connections!(|tcp, out| {
            for ((stall, ns), ever) in lengths(&tcp.newest.longest).into_iter().zip(tcp.totals.ever.1) {
                if ever {
                    out.nanoseconds(&[stall], ns);
                }
            }
        }),
    )
    .help("How long something stood still, in seconds: the longest in the last second. Absent for what never was so.")
    .told("Summary.tcp.longest")
    .by(&[STALL]),
    counter(
        "observer_tcp_folded_events_total",
        "observer.tcp.folded_events",
        EVENTS,
        connections!(|tcp, out| out.count(&[], tcp.totals.folded)),
    )
    .help("Events of these figures that were only counted, since the workload was beyond its budget.")
    .told("Summary.tcp.folded_events"),
    counter(
        "observer_tcp_listen_drops_total",
        "network.tcp.listen.drops",
        CONNECTIONS,
        Figure::Listening(|seen, out| if let Some(tcp) = seen.tcp() {
            out.count(&[], tcp.totals.listen_drops);
        }),
    )
    .help("SYNs and finished handshakes that the workload's listeners dropped, most often for a full queue.")
    .told("Summary.tcp.listen_drops"),
    counter(
        "observer_tcp_accept_queue_overflows_total",
        "network.tcp.accept_queue.overflows",
        CONNECTIONS,
        Figure::Listening(|seen, out| if let Some(tcp) = seen.tcp() {
            out.count(&[], tcp.totals.listen_overflows);
        }),
    )
    .help("Of the drops, what found the queue for accept() full, as far as that is known.")
    .told("Summary.tcp.listen_overflows"),
    gauge(
        "observer_tcp_accept_queue_connections",
        "network.tcp.accept_queue.length",
        CONNECTIONS,
        Figure::Listening(|seen, out| seen.listeners(|port, _, waiting| out.count(&[port], waiting))),
    )
    .help("Connections that wait for accept(), by the listener's port: the most in the last second. Told of listeners that ever had a queue or dropped something.")
    .told("Listener.queue_most")
    .by(&[PORT]),
    gauge(
        "observer_tcp_accept_queue_limit",
        "network.tcp.accept_queue.limit",
        CONNECTIONS,
        Figure::Listening(|seen, out| seen.listeners(|port, listener, _| out.count(&[port], listener.limit))),
    )
    .help("How many connections may wait for accept(), by the listener's port.")
    .told("Listener.queue_limit")
    .by(&[PORT]),
    counter(
        "observer_tcp_listener_drops_total",
        "network.tcp.listener.drops",
        CONNECTIONS,
        Figure::Listening(|seen, out| seen.listeners(|port, listener, _| out.count_since(&[port], listener.dropped, listener.start))),
    )
    .help("What a listener dropped, by its port. A workload's listeners beyond 64 are told together, without a port.")
    .told("Listener.dropped")
    .by(&[PORT]),
];
