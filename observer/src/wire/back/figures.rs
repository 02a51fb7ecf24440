//! Figures of windows.

use std::collections::BTreeMap;

use observer_proto::v1;

use crate::aggregate::Histogram;
use crate::event::{
    Ending, ProcessSummary, RetransmitCause, RetransmitPhase, Stalled, Standstill, TcpSummary, error_name,
};

/// Errors that are no kernel's.
const OWN_ERRORS: [&str; 2] = ["cancelled", "not_sent"];
/// The highest number of an error that the kernel has for a socket.
const HIGHEST_ERRNO: u32 = 133;

/// Connections of a window.
pub(super) fn tcp(told: &v1::TcpSummary) -> TcpSummary {
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
        listen_drops,
        listen_overflows,
        failures,
        retransmits,
        spurious_retransmits,
        reorderings,
        handshake_latency,
        rtt,
        duration,
        min_rtt_ns,
        connects_pending,
        deepest_backoff,
        busy_ns,
        peer_window_limited_ns,
        send_buffer_limited_ns,
        longest,
        stalled: still,
        folded_events,
    } = told;
    let mut by_error = BTreeMap::new();
    for failure in failures {
        *by_error.entry(error(&failure.error)).or_default() += failure.count;
    }
    let by_cause = retransmits.iter().map(|one| ((phase(one.phase()), cause(one.cause())), one.segments));
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
        failures: by_error,
        retransmits: by_cause.collect(),
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
        longest: longest.as_ref().map(standstill).unwrap_or_default(),
        stalled: still.as_ref().map(stalled).unwrap_or_default(),
        folded: *folded_events,
    }
}

/// Processes of a window.
pub(super) fn processes(told: &v1::ProcessSummary) -> ProcessSummary {
    let v1::ProcessSummary { execs, exits, oom_kills, container_starts, container_stops, folded_events } = told;
    let mut summary = ProcessSummary {
        execs: *execs,
        oom_kills: *oom_kills,
        container_starts: *container_starts,
        container_stops: *container_stops,
        folded: *folded_events,
        ..ProcessSummary::default()
    };
    for v1::ExitCount { code, signal, signal_name: _, count } in exits {
        let by_signal = signal.map(|signal| Ending::Signal { signal: signal as u8, core_dumped: false });
        match by_signal.or_else(|| code.map(|code| Ending::Code(code as u8))) {
            Some(how) => *summary.exits.entry(how).or_default() += count,
            None => summary.other_exits += count,
        }
    }
    summary
}

/// What stands still.
pub(super) const fn stalled(told: &v1::Stalled) -> Stalled {
    let v1::Stalled { unread, unaccepted, own_window_closed, peer_window_closed, half_closed, unanswered } = *told;
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

/// A distribution; of another scale than ours it is left out.
fn histogram(told: Option<&v1::Distribution>) -> Histogram {
    let Some(told) = told.filter(|told| told.scale == Histogram::scale()) else { return Histogram::default() };
    let buckets = told.buckets.iter().map(|count| u32::try_from(*count).unwrap_or(u32::MAX)).collect();
    Histogram::of_buckets(told.offset, buckets, told.zero_count, [told.sum_ns, told.min_ns, told.max_ns])
}

/// The error of that name.
fn error(name: &str) -> &'static str {
    let own = OWN_ERRORS.into_iter().find(|own| *own == name);
    let known = || (1..=HIGHEST_ERRNO).map(error_name).find(|known| *known == name);
    own.or_else(known).unwrap_or("other")
}

const fn phase(told: v1::RetransmitPhase) -> RetransmitPhase {
    match told {
        v1::RetransmitPhase::Syn => RetransmitPhase::Syn,
        v1::RetransmitPhase::SynAck => RetransmitPhase::SynAck,
        v1::RetransmitPhase::Data | v1::RetransmitPhase::Unspecified => RetransmitPhase::Data,
        v1::RetransmitPhase::Fin => RetransmitPhase::Fin,
    }
}

const fn cause(told: v1::RetransmitCause) -> RetransmitCause {
    match told {
        v1::RetransmitCause::Unspecified => RetransmitCause::Unknown,
        v1::RetransmitCause::Timeout => RetransmitCause::Timeout,
        v1::RetransmitCause::Fast => RetransmitCause::Fast,
        v1::RetransmitCause::TailLossProbe => RetransmitCause::TailLossProbe,
    }
}
