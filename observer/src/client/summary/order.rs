//! The order of summaries: by one figure, or the worst first.

use std::cmp::Reverse;

use observer_proto::v1::{Distribution, Summary};

use super::{label, rows};

/// What summaries are sorted by; all but the name from large to small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sort {
    /// OOM kills, failures and stalls, share of retransmits, handshake, rtt, in this order
    Worst,
    /// The workload's name
    Name,
    /// Connections opened
    Opened,
    /// Connections that failed
    Failed,
    /// Connections alive
    Live,
    /// Handshake latency, p99
    Handshake,
    /// Round-trip time, p99
    Rtt,
    /// Bytes in both directions
    Bytes,
    /// Segments sent again
    Retransmits,
    /// Resets in both directions
    Resets,
    /// Connections that stand still
    Stalled,
    /// Programs executed
    Execs,
}

impl Sort {
    /// The fields without which summaries cannot be sorted.
    pub(crate) const NEEDED: &[&str] = &["workload", "edge", "tcp", "processes"];
}

/// Sorts; those that are equal by their names, so that the order is stable.
pub(crate) fn sort(summaries: &mut [Summary], by: Sort) {
    summaries.sort_by_cached_key(|summary| {
        let way = if summary.edge.is_some() { rows::way(summary) } else { String::new() };
        let owner = label::owner(summary.workload.as_ref());
        (Reverse(weight(summary, by)), owner, summary.node_name.clone(), way)
    });
}

/// The figures to sort by, the first before the next.
pub(crate) fn weight(summary: &Summary, by: Sort) -> [u64; 5] {
    let tcp = summary.tcp.clone().unwrap_or_default();
    let processes = summary.processes.clone().unwrap_or_default();
    let p99 = |distribution: &Option<Distribution>| distribution.as_ref().map_or(0, |d| d.p99_ns);
    let resets = tcp.resets_sent.saturating_add(tcp.resets_received);
    let bytes = tcp.sent_bytes.saturating_add(tcp.received_bytes);
    let first = match by {
        Sort::Worst => {
            // Per ten thousand.
            let share =
                tcp.retransmitted_segments.saturating_mul(10_000).checked_div(tcp.sent_segments).unwrap_or(0);
            let stalled = tcp.stalled.as_ref().map_or(0, rows::stalled);
            let failures = tcp.failed.saturating_add(resets).saturating_add(stalled);
            return [
                processes.oom_kills,
                failures,
                share,
                p99(&tcp.handshake_latency).max(p99(&tcp.rtt)),
                bytes.saturating_add(processes.execs),
            ];
        }
        Sort::Name => 0,
        Sort::Opened => tcp.opened,
        Sort::Failed => tcp.failed,
        Sort::Live => tcp.live,
        Sort::Handshake => p99(&tcp.handshake_latency),
        Sort::Rtt => p99(&tcp.rtt),
        Sort::Bytes => bytes,
        Sort::Retransmits => tcp.retransmitted_segments,
        Sort::Resets => resets,
        Sort::Stalled => tcp.stalled.as_ref().map_or(0, rows::stalled),
        Sort::Execs => processes.execs,
    };
    [first, 0, 0, 0, 0]
}
