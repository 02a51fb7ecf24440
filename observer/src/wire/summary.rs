//! Summaries on the wire.

use observer_proto::served as v1;

use super::diagnosis::diagnosis;
use super::event::{ending, retransmit_cause, retransmit_phase};
use super::{address, answers, boot_timestamp, peer_kind, place, workload};
use crate::aggregate::Histogram;
use crate::diagnose::{Diagnosis, Ends, Verdict};
use crate::event::{
    Backend, Edge, EdgeSummary, Now, Peer, ProcessSummary, Stalled, Standstill, TcpSummary, Window, Workload,
    WorkloadId, WorkloadSummary,
};
use crate::filter::Filters;

/// What of a window passes the filters: each workload, followed by its edges, in a stable order.
pub(crate) fn summaries<'a>(
    window: &'a Window,
    filters: &Filters,
    now: Now,
) -> Vec<(Summarized<'a>, v1::Summary)> {
    let whole = whole(window, now);
    let ends = Ends::of(window);
    let passing = window.workloads.values().filter(|summary| filters.summary(summary));
    let own = passing.map(|summary| (order(&summary.workload), None, of_workload(&whole, summary)));
    let passing = window.edges.iter().filter(|(edge, summary)| filters.edge(edge, summary));
    let of_edges = passing.map(|(edge, summary)| {
        let diagnosis = ends.diagnose(edge, summary);
        (order(&summary.workload), Some(edge), of_edge(&whole, edge, summary, &diagnosis))
    });
    let mut rows: Vec<_> = own.chain(of_edges).collect();
    rows.sort_unstable_by(|(a, a_edge, _), (b, b_edge, _)| (a, a_edge).cmp(&(b, b_edge)));
    let of = |workload: (_, _, _, _, WorkloadId), edge| Summarized { workload: workload.4, edge };
    rows.into_iter().map(|(workload, edge, summary)| (of(workload, edge), summary)).collect()
}

/// What a summary is of: a workload, or an edge of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Summarized<'a> {
    workload: WorkloadId,
    edge: Option<&'a Edge>,
}

/// The edges of a window that are to be explained: those with a fault first, in a stable order.
pub(crate) fn explained(window: &Window, filters: &Filters, now: Now) -> Vec<v1::Summary> {
    let whole = whole(window, now);
    let ends = Ends::of(window);
    let passing = window.edges.iter().filter(|(edge, summary)| filters.explained(edge, summary));
    let mut rows: Vec<_> = passing
        .map(|(edge, summary)| {
            let diagnosis = ends.diagnose(edge, summary);
            let rank = rank(diagnosis.verdict.verdict);
            ((rank, order(&summary.workload), edge), of_edge(&whole, edge, summary, &diagnosis))
        })
        .collect();
    rows.sort_by_key(|(key, _)| *key);
    rows.into_iter().map(|(_, summary)| summary).collect()
}

/// Those with a fault come first, and those without at the end.
const fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::NetworkLoss
        | Verdict::NetworkLatency
        | Verdict::PeerNotAccepting
        | Verdict::PeerNotReading
        | Verdict::OwnProcessNotReading
        | Verdict::OwnSendBuffer
        | Verdict::Refused
        | Verdict::Unreachable => 0,
        Verdict::Unknown => 1,
        Verdict::Healthy => 2,
    }
}

/// What all summaries of a window have in common.
fn whole(window: &Window, now: Now) -> v1::Summary {
    let Window { start, length_ns, lost_events, workloads: _, edges: _, listeners: _, live: _ } = window;
    v1::Summary {
        window_start: Some(boot_timestamp(*start, now)),
        window_ns: *length_ns,
        lost_events: *lost_events,
        ..v1::Summary::default()
    }
}

/// A window is complete: so many summaries it has.
pub(crate) fn window_end(window: &Window, total: usize, now: Now) -> v1::WindowEnd {
    v1::WindowEnd {
        window_start: Some(boot_timestamp(window.start, now)),
        window_ns: window.length_ns,
        summaries: total as u64,
        lost_events: window.lost_events,
        folded_events: folded(window),
        total: total as u64,
        snapshot: false,
        ended: Vec::new(),
        nodes: 0,
    }
}

/// Events of a window that were only counted.
fn folded(window: &Window) -> u64 {
    window.workloads.values().map(|summary| summary.tcp.folded + summary.processes.folded).sum()
}

/// The stable order of workloads: by namespace, pod, container, name, and then by age.
pub(crate) fn order(workload: &Workload) -> (&str, &str, &str, &str, WorkloadId) {
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

fn of_edge(whole: &v1::Summary, of: &Edge, summary: &EdgeSummary, verdict: &Diagnosis) -> v1::Summary {
    let EdgeSummary { workload: owner, peer, backend, tcp } = summary;
    v1::Summary {
        workload: Some(workload(owner)),
        edge: Some(edge(of, peer, backend.as_deref())),
        tcp: Some(tcp_summary(tcp)),
        diagnosis: Some(diagnosis(verdict)),
        ..whole.clone()
    }
}

/// An edge: the peer as it is known, and who answers for it.
pub(super) fn edge(of: &Edge, peer: &Peer, answering: Option<&Backend>) -> v1::Edge {
    let Edge { workload: _, kind, peer: _, address: ip, interface, port, outgoing, backend } = of;
    let Peer { kind: _, workload: peer, place: at, dns_name } = peer;
    let backend = backend.as_ref().zip(answering).map(|(to, answering)| v1::Endpoint {
        address: to.address.map(|ip| ip.to_string()).unwrap_or_default(),
        ..answers(answering)
    });
    let (service, node_name) = place(at.as_deref());
    v1::Edge {
        kind: peer_kind(*kind).into(),
        address: ip.map(|ip| address(ip, *interface)).unwrap_or_default(),
        port: (*port).into(),
        outgoing: *outgoing,
        workload: peer.as_deref().map(workload),
        service,
        node_name,
        backend,
        dns_name: dns_name.as_deref().unwrap_or_default().to_owned(),
    }
}

pub(super) fn tcp_summary(summary: &TcpSummary) -> v1::TcpSummary {
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
        listen_overflows,
        failures,
        retransmits,
        spurious_retransmits,
        reorderings,
        handshake_latency,
        rtt,
        duration,
        min_rtt_ns,
        pending,
        deepest_backoff,
        busy_ns,
        peer_window_limited_ns,
        send_buffer_limited_ns,
        longest,
        stalled: still,
        folded,
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
        listen_overflows: *listen_overflows,
        failures,
        retransmits,
        spurious_retransmits: *spurious_retransmits,
        reorderings: *reorderings,
        handshake_latency: distribution(handshake_latency),
        rtt: distribution(rtt),
        duration: distribution(duration),
        min_rtt_ns: *min_rtt_ns,
        connects_pending: *pending,
        deepest_backoff: *deepest_backoff,
        busy_ns: *busy_ns,
        peer_window_limited_ns: *peer_window_limited_ns,
        send_buffer_limited_ns: *send_buffer_limited_ns,
        longest: Some(standstill(longest)),
        stalled: Some(stalled(still)),
        folded_events: *folded,
    }
}

const fn standstill(standstill: &Standstill) -> v1::Standstill {
    let Standstill { unread_ns, unaccepted_ns, own_window_closed_ns, peer_window_closed_ns, half_closed_ns } =
        *standstill;
    v1::Standstill {
        unread_ns,
        accept_wait_ns: unaccepted_ns,
        own_window_closed_ns,
        peer_window_closed_ns,
        half_closed_ns,
    }
}

pub(super) const fn stalled(stalled: &Stalled) -> v1::Stalled {
    let Stalled { unread, unaccepted, own_window_closed, peer_window_closed, half_closed, unanswered } =
        *stalled;
    v1::Stalled { unread, unaccepted, own_window_closed, peer_window_closed, half_closed, unanswered }
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

pub(super) fn process_summary(summary: &ProcessSummary) -> v1::ProcessSummary {
    let ProcessSummary { execs, exits, other_exits, oom_kills, container_starts, container_stops, folded } =
        summary;
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
    if *other_exits > 0 {
        told.push(v1::ExitCount { count: *other_exits, ..v1::ExitCount::default() });
    }
    v1::ProcessSummary {
        execs: *execs,
        exits: told,
        oom_kills: *oom_kills,
        container_starts: *container_starts,
        container_stops: *container_stops,
        folded_events: *folded,
    }
}
