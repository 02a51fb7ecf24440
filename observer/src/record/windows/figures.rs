//! Figures as they were told, in the domain's types again.

use observer_proto::v1;

use crate::aggregate::Histogram;
use crate::event::{
    Ending, ProcessSummary, RetransmitCause, RetransmitPhase, Stalled, Standstill, TcpSummary, error_name,
};

/// The figures of connections.
pub(crate) fn tcp(told: Option<&v1::TcpSummary>) -> TcpSummary {
    let Some(told) = told else { return TcpSummary::default() };
    let v1::TcpSummary {
        opened,
        failed,
        closed,
        live,
        sent_bytes,
        received_bytes,
        sent_segments,
        received_segments,
        retransmitted_segments,
        resets_sent,
        resets_received,
        handshake_latency,
        rtt,
        listen_drops,
        failures,
        retransmits,
        spurious_retransmits,
        reorderings,
        min_rtt_ns,
        connects_pending,
        deepest_backoff,
        busy_ns,
        peer_window_limited_ns,
        send_buffer_limited_ns,
        longest,
        stalled: still,
        listen_overflows,
        duration,
        folded_events,
    } = told;
    let failures = failures.iter().map(|one| (error(&one.error), one.count));
    let retransmits =
        retransmits.iter().filter_map(|one| Some(((phase(one.phase())?, cause(one.cause())), one.segments)));
    TcpSummary {
        opened: *opened,
        failed: *failed,
        closed: *closed,
        live: *live,
        sent_bytes: *sent_bytes,
        received_bytes: *received_bytes,
        sent_segments: *sent_segments,
        received_segments: *received_segments,
        retransmitted_segments: *retransmitted_segments,
        resets_sent: *resets_sent,
        resets_received: *resets_received,
        listen_drops: *listen_drops,
        listen_overflows: *listen_overflows,
        failures: failures.collect(),
        retransmits: retransmits.collect(),
        spurious_retransmits: *spurious_retransmits,
        reorderings: *reorderings,
        handshake_latency: histogram(handshake_latency.as_ref()),
        rtt: histogram(rtt.as_ref()),
        duration: histogram(duration.as_ref()),
        min_rtt_ns: *min_rtt_ns,
        pending: *connects_pending,
        deepest_backoff: *deepest_backoff,
        busy_ns: *busy_ns,
        peer_window_limited_ns: *peer_window_limited_ns,
        send_buffer_limited_ns: *send_buffer_limited_ns,
        longest: longest.as_ref().map_or_else(Standstill::default, standstill),
        stalled: stalled(still.as_ref()),
        folded: *folded_events,
    }
}

pub(super) fn processes(told: Option<&v1::ProcessSummary>) -> ProcessSummary {
    let Some(told) = told else { return ProcessSummary::default() };
    let v1::ProcessSummary { execs, exits, oom_kills, container_starts, container_stops, folded_events } =
        told;
    let mut summary = ProcessSummary {
        execs: *execs,
        oom_kills: *oom_kills,
        container_starts: *container_starts,
        container_stops: *container_stops,
        folded: *folded_events,
        ..ProcessSummary::default()
    };
    for v1::ExitCount { code, signal, signal_name: _, count } in exits {
        let ending = match (code, signal) {
            (Some(code), _) => Ending::Code(*code as u8),
            (None, Some(signal)) => Ending::Signal { signal: *signal as u8, core_dumped: false },
            (None, None) => {
                summary.other_exits += count;
                continue;
            }
        };
        *summary.exits.entry(ending).or_default() += count;
    }
    summary
}

pub(super) fn stalled(told: Option<&v1::Stalled>) -> Stalled {
    let Some(told) = told else { return Stalled::default() };
    let v1::Stalled { unread, unaccepted, own_window_closed, peer_window_closed, half_closed, unanswered } =
        *told;
    Stalled { unread, unaccepted, own_window_closed, peer_window_closed, half_closed, unanswered }
}

const fn standstill(told: &v1::Standstill) -> Standstill {
    let v1::Standstill {
        unread_ns,
        accept_wait_ns,
        own_window_closed_ns,
        peer_window_closed_ns,
        half_closed_ns,
    } = *told;
    Standstill {
        unread_ns,
        unaccepted_ns: accept_wait_ns,
        own_window_closed_ns,
        peer_window_closed_ns,
        half_closed_ns,
    }
}

fn histogram(told: Option<&v1::Distribution>) -> Histogram {
    let Some(told) = told else { return Histogram::default() };
    let v1::Distribution {
        count,
        sum_ns,
        min_ns,
        max_ns,
        p50_ns: _,
        p90_ns: _,
        p99_ns: _,
        scale: _,
        offset,
        buckets,
        zero_count,
    } = told;
    let buckets = buckets.iter().map(|count| u32::try_from(*count).unwrap_or(u32::MAX)).collect();
    Histogram::told([*count, *sum_ns, *min_ns, *max_ns, *zero_count], *offset, buckets)
}

/// The same word as one of those that errors are told by; `other` where it is none.
fn error(word: &str) -> &'static str {
    let mut words = ["cancelled", "not_sent"].into_iter().chain((0..=113).map(error_name));
    words.find(|known| *known == word).unwrap_or("other")
}

const fn phase(told: v1::RetransmitPhase) -> Option<RetransmitPhase> {
    Some(match told {
        v1::RetransmitPhase::Syn => RetransmitPhase::Syn,
        v1::RetransmitPhase::SynAck => RetransmitPhase::SynAck,
        v1::RetransmitPhase::Data => RetransmitPhase::Data,
        v1::RetransmitPhase::Fin => RetransmitPhase::Fin,
        v1::RetransmitPhase::Unspecified => return None,
    })
}

const fn cause(told: v1::RetransmitCause) -> RetransmitCause {
    match told {
        v1::RetransmitCause::Unspecified => RetransmitCause::Unknown,
        v1::RetransmitCause::Timeout => RetransmitCause::Timeout,
        v1::RetransmitCause::Fast => RetransmitCause::Fast,
        v1::RetransmitCause::TailLossProbe => RetransmitCause::TailLossProbe,
    }
}
