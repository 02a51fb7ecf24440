//! Summaries on the wire.

use observer_proto::v1;

use super::event::{ending, retransmit_cause, retransmit_phase};
use super::{address, boot_timestamp, peer_kind, workload};
use crate::aggregate::Histogram;
use crate::event::{
    Edge, EdgeSummary, Now, Peer, ProcessSummary, TcpSummary, Window, Workload, WorkloadId, WorkloadSummary,
};
use crate::serve::Filters;

/// What of a window passes the filters: each workload, followed by its edges, in a stable order.
pub(in crate::serve) fn summaries(window: &Window, filters: &Filters, now: Now) -> Vec<v1::Summary> {
    let Window { start, length_ns, lost_events, workloads, edges, live: _ } = window;
    let whole = v1::Summary {
        window_start: Some(boot_timestamp(*start, now)),
        window_ns: *length_ns,
        lost_events: *lost_events,
        ..v1::Summary::default()
    };
    let passing = workloads.values().filter(|summary| filters.summary(summary));
    let own = passing.map(|summary| (order(&summary.workload), None, of_workload(&whole, summary)));
    let passing = edges.iter().filter(|(edge, summary)| filters.edge(edge, summary));
    let of_edges =
        passing.map(|(edge, summary)| (order(&summary.workload), Some(edge), of_edge(&whole, edge, summary)));
    let mut rows: Vec<_> = own.chain(of_edges).collect();
    rows.sort_unstable_by(|(a, a_edge, _), (b, b_edge, _)| (a, a_edge).cmp(&(b, b_edge)));
    rows.into_iter().map(|(_, _, summary)| summary).collect()
}

/// A window is complete.
pub(in crate::serve) fn window_end(window: &Window, summaries: usize, now: Now) -> v1::WindowEnd {
    v1::WindowEnd {
        window_start: Some(boot_timestamp(window.start, now)),
        window_ns: window.length_ns,
        summaries: summaries as u64,
        lost_events: window.lost_events,
    }
}

/// The stable order of workloads: by namespace, pod, container, name, and then by age.
pub(in crate::serve) fn order(workload: &Workload) -> (&str, &str, &str, &str, WorkloadId) {
    (&workload.namespace, &workload.pod, &workload.container, workload.name(), workload.id)
}

fn of_workload(whole: &v1::Summary, summary: &WorkloadSummary) -> v1::Summary {
    let WorkloadSummary { workload: owner, tcp, processes } = summary;
    v1::Summary {
        workload: Some(workload(owner)),
        tcp: Some(tcp_summary(tcp)),
        processes: Some(process_summary(processes)),
        ..whole.clone()
    }
}

fn of_edge(whole: &v1::Summary, edge: &Edge, summary: &EdgeSummary) -> v1::Summary {
    let Edge { workload: _, kind, peer: _, address: ip, interface, port, outgoing } = edge;
    let EdgeSummary { workload: owner, peer: Peer { kind: _, workload: peer }, tcp } = summary;
    let edge = v1::Edge {
        kind: peer_kind(*kind).into(),
        address: ip.map(|ip| address(ip, *interface)).unwrap_or_default(),
        port: (*port).into(),
        outgoing: *outgoing,
        workload: peer.as_deref().map(workload),
    };
    v1::Summary {
        workload: Some(workload(owner)),
        edge: Some(edge),
        tcp: Some(tcp_summary(tcp)),
        ..whole.clone()
    }
}

fn tcp_summary(summary: &TcpSummary) -> v1::TcpSummary {
    let TcpSummary {
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
        failures,
        retransmits,
        spurious_retransmits,
        reorderings,
        handshake_latency,
        rtt,
    } = summary;
    let failures = failures
        .iter()
        .map(|(error, count)| v1::FailureCount { error: (*error).to_owned(), count: *count })
        .collect();
    let retransmits = retransmits
        .iter()
        .map(|((phase, cause), segments)| v1::RetransmitCount {
            phase: retransmit_phase(*phase).into(),
            cause: retransmit_cause(*cause).into(),
            segments: *segments,
        })
        .collect();
    v1::TcpSummary {
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
        failures,
        retransmits,
        spurious_retransmits: *spurious_retransmits,
        reorderings: *reorderings,
        handshake_latency: distribution(handshake_latency),
        rtt: distribution(rtt),
    }
}

/// `None` without values: nothing was measured, which is not the same as 0.
fn distribution(histogram: &Histogram) -> Option<v1::Distribution> {
    Some(v1::Distribution {
        count: histogram.count(),
        sum_ns: histogram.sum(),
        min_ns: histogram.min(),
        max_ns: histogram.max(),
        p50_ns: histogram.quantile(0.5)?,
        p90_ns: histogram.quantile(0.9)?,
        p99_ns: histogram.quantile(0.99)?,
        scale: Histogram::scale(),
        offset: histogram.offset(),
        buckets: histogram.buckets().iter().map(|count| u64::from(*count)).collect(),
        zero_count: histogram.zero_count(),
    })
}

fn process_summary(summary: &ProcessSummary) -> v1::ProcessSummary {
    let ProcessSummary { execs, exits, oom_kills, container_starts, container_stops } = summary;
    let exits = exits.iter().map(|(how, count)| {
        let (code, signal, signal_name) = ending(*how);
        v1::ExitCount { code, signal, signal_name, count: *count }
    });
    // The proto does not tell endings with a core dump from those without, so they are one count.
    let mut told: Vec<v1::ExitCount> = Vec::new();
    for exit in exits {
        match told.iter_mut().find(|known| (known.code, known.signal) == (exit.code, exit.signal)) {
            Some(known) => known.count += exit.count,
            None => told.push(exit),
        }
    }
    v1::ProcessSummary {
        execs: *execs,
        exits: told,
        oom_kills: *oom_kills,
        container_starts: *container_starts,
        container_stops: *container_stops,
    }
}
