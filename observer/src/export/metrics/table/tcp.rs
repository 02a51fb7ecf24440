//! Metrics of connections.

use observer_proto::v1::TriggerKind;

use super::{
    CONNECTIONS, EVENTS, IO_DIRECTION, Kind, Metric, Out, Unit, Value, Word, connections, counter, gauge,
    metric, word,
};
use crate::event::{RetransmitCause, RetransmitPhase};
use crate::export::metrics::subject::SeenTcp;

const SEGMENTS: Unit = Unit::Things("{segment}");

const ERROR_TYPE: Word = word("error_type", "error.type");
const RETRANSMIT_TYPE: Word = word("type", "network.tcp.retransmit.type");
const RETRANSMIT_PHASE: Word = word("phase", "network.tcp.retransmit.phase");

/// From 7.6 µs to 32 s.
const LATENCIES: Kind = Kind::Histogram { first: -17, last: 5, step: 1 };
/// From 1 ms to 18 h.
const LIVES: Kind = Kind::Histogram { first: -10, last: 16, step: 2 };

pub(super) const METRICS: &[Metric] = &[
    counter(
        "observer_tcp_connection_successes_total",
        "network.tcp.connection.successes",
        CONNECTIONS,
        connections!(|tcp, out| out.count(&[], tcp.totals.opened)),
    )
    .help("Connections that were established, asked for and accepted ones.")
    .told("Summary.tcp.opened")
    .exemplars(&[TriggerKind::Latency]),
    counter(
        "observer_tcp_connection_failures_total",
        "network.tcp.connection.failures",
        CONNECTIONS,
        connections!(failures),
    )
    .help("Connections that were asked for and failed, by the error.")
    .told("Summary.tcp.failures")
    .by(&[ERROR_TYPE])
    .exemplars(&[TriggerKind::ConnectFailures]),
    counter(
        "observer_tcp_unanswered_connects_total",
        "network.tcp.connection.unanswered",
        CONNECTIONS,
        connections!(|tcp, out| out.count(&[], tcp.totals.pending)),
    )
    .help("Attempts to connect that nobody had answered after a second. Each ends later as a success or a failure.")
    .told("Summary.tcp.connects_pending")
    .exemplars(&[TriggerKind::ConnectFailures]),
    counter(
        "observer_tcp_connection_closes_total",
        "network.tcp.connection.closes",
        CONNECTIONS,
        connections!(|tcp, out| out.count(&[], tcp.totals.closed)),
    )
    .help("Connections that ended.")
    .told("Summary.tcp.closed"),
    gauge(
        "observer_tcp_connections",
        "network.tcp.connection.count",
        CONNECTIONS,
        connections!(|tcp, out| out.count(&[], tcp.live.connections)),
    )
    .help("Connections that are established now.")
    .told("Summary.tcp.live"),
    counter(
        "observer_tcp_io_bytes_total",
        "network.tcp.io",
        Unit::Bytes,
        connections!(|tcp, out| {
            out.count(&["transmit"], tcp.totals.sent_bytes);
            out.count(&["receive"], tcp.totals.received_bytes);
        }),
    )
    .help("Payload that the other side acknowledged (transmit) and that was received, in bytes.")
    .told("Summary.tcp.sent_bytes, received_bytes")
    .by(&[IO_DIRECTION]),
    counter(
        "observer_tcp_segments_total",
        "network.tcp.segments",
        SEGMENTS,
        connections!(|tcp, out| {
            out.count(&["transmit"], tcp.totals.sent_segments);
            out.count(&["receive"], tcp.totals.received_segments);
        }),
    )
    .help("Segments sent, those sent again included, and received.")
    .told("Summary.tcp.sent_segments, received_segments")
    .by(&[IO_DIRECTION]),
    counter(
        "observer_tcp_retransmitted_segments_total",
        "network.tcp.retransmitted_segments",
        SEGMENTS,
        connections!(|tcp, out| out.count(&[], tcp.totals.retransmitted_segments)),
    )
    .help("Segments sent again, as the sockets count them.")
    .told("Summary.tcp.retransmitted_segments")
    .exemplars(&[TriggerKind::Retransmits]),
    counter("observer_tcp_retransmits_total", "network.tcp.retransmits", SEGMENTS, connections!(retransmits))
        .help("Segments sent again, as events told them, by what they are and why.")
        .told("Summary.tcp.retransmits")
        .by(&[RETRANSMIT_PHASE, RETRANSMIT_TYPE])
        .exemplars(&[TriggerKind::Retransmits]),
    counter(
        "observer_tcp_spurious_retransmits_total",
        "network.tcp.retransmits.spurious",
        SEGMENTS,
        connections!(|tcp, out| out.count(&[], tcp.totals.spurious_retransmits)),
    )
    .help("Segments that the other side had already when they came again.")
    .told("Summary.tcp.spurious_retransmits"),
    counter(
        "observer_tcp_reorderings_total",
        "network.tcp.reorderings",
        EVENTS,
        connections!(|tcp, out| out.count(&[], tcp.totals.reorderings)),
    )
    .help("How often segments overtook each other on their way to the other side.")
    .told("Summary.tcp.reorderings"),
    counter(
        "observer_tcp_resets_total",
        "network.tcp.resets",
        Unit::Things("{reset}"),
        connections!(|tcp, out| {
            out.count(&["transmit"], tcp.totals.resets_sent);
            out.count(&["receive"], tcp.totals.resets_received);
        }),
    )
    .help("Resets sent and received.")
    .told("Summary.tcp.resets_sent, resets_received")
    .by(&[IO_DIRECTION])
    .exemplars(&[TriggerKind::Resets]),
    metric(
        "observer_tcp_handshake_duration_seconds",
        "network.tcp.handshake.duration",
        LATENCIES,
        Unit::Seconds,
        connections!(|tcp, out| out.durations(&tcp.totals.handshake)),
    )
    .help("How long handshakes took, in seconds: from SYN to SYN-ACK where a connection was asked for, from SYN-ACK to ACK where one was accepted.")
    .told("Summary.tcp.handshake_latency"),
    metric(
        "observer_tcp_rtt_seconds",
        "network.tcp.rtt",
        LATENCIES,
        Unit::Seconds,
        connections!(|tcp, out| out.durations(&tcp.totals.rtt)),
    )
    .help("Smoothed round-trip times, in seconds: one figure for each connection and reading.")
    .told("Summary.tcp.rtt"),
    gauge(
        "observer_tcp_min_rtt_seconds",
        "network.tcp.rtt.min",
        Unit::Seconds,
        connections!(|tcp, out| if let Some(ns) = tcp.newest.min_rtt_ns {
            out.nanoseconds(&[], ns);
        }),
    )
    .help("The shortest round-trip time that any connection had of late, in seconds; absent where the last second tells none.")
    .told("Summary.tcp.min_rtt_ns"),
    metric(
        "observer_tcp_connection_duration_seconds",
        "network.tcp.connection.duration",
        LIVES,
        Unit::Seconds,
        connections!(|tcp, out| out.durations(&tcp.totals.duration)),
    )
    .help("How long connections lived that ended, in seconds.")
    .told("Summary.tcp.duration"),
];

fn failures(tcp: &SeenTcp<'_>, out: &mut Out<'_>) {
    let mut told = 0;
    for (error, count) in &tcp.totals.failures {
        out.count(&[error], *count);
        told += count;
    }
    // What was only counted may have no error.
    let rest = tcp.totals.failed.saturating_sub(told);
    if rest > 0 {
        out.put(&["_OTHER"], Value::Count(rest));
    }
}

fn retransmits(tcp: &SeenTcp<'_>, out: &mut Out<'_>) {
    for ((phase, cause), segments) in &tcp.totals.retransmits {
        let phase = match phase {
            RetransmitPhase::Syn => "syn",
            RetransmitPhase::SynAck => "syn_ack",
            RetransmitPhase::Data => "data",
            RetransmitPhase::Fin => "fin",
        };
        let cause = match cause {
            RetransmitCause::Unknown => "unknown",
            RetransmitCause::Timeout => "timeout",
            RetransmitCause::Fast => "fast",
            RetransmitCause::TailLossProbe => "tail_loss_probe",
        };
        out.count(&[phase, cause], *segments);
    }
}
