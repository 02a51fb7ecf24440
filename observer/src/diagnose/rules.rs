//! The rules: each gives the figures that show its fault, or none.

use super::evidence::{count, is_something, part, time, time_of};
use super::loss::{Loss, sent_again};
use super::{Evidence, Finding, Subject, Verdict};
use crate::event::{HELD_NS, ListenerSummary, RetransmitPhase, STALL_NS, Standstill, TcpSummary};

/// A rule, and what it finds.
type Rule = fn(&Subject<'_>) -> Vec<Evidence>;

/// What decides most comes first.
pub(super) const IN_ORDER: [(Verdict, Rule); 8] = [
    (Verdict::Refused, refused),
    (Verdict::PeerNotAccepting, peer_not_accepting),
    (Verdict::Unreachable, unreachable),
    (Verdict::OwnProcessNotReading, own_process_not_reading),
    (Verdict::PeerNotReading, peer_not_reading),
    (Verdict::OwnSendBuffer, own_send_buffer),
    (Verdict::NetworkLoss, network_loss),
    (Verdict::NetworkLatency, network_latency),
];

/// Attempts of which one in so many fails are failing.
const FAILING: u64 = 20;
/// Segments of which one in so many is lost suffer from loss (1 %).
const LOSSY: u64 = 100;
/// Fewer lost segments than these decide nothing.
const FEW: u64 = 3;
/// A connection that was busy for less was not limited by anything: 100 ms.
const BUSY_NS: u64 = 100_000_000;
/// A way that stays within the node takes microseconds; so long is slow: 5 ms.
const SLOW_NEAR_NS: u64 = 5_000_000;
/// A way to elsewhere: 100 ms is farther than a continent's width.
const SLOW_FAR_NS: u64 = 100_000_000;

fn refused(subject: &Subject<'_>) -> Vec<Evidence> {
    let of = |figure, tcp: &TcpSummary| {
        let refused = failures(tcp, &["refused"]);
        is_one_in(refused, attempts(tcp), FAILING).then(|| part(figure, refused, attempts(tcp)))
    };
    let peer = subject.peer.edges.iter().filter_map(|tcp| of("peer_refused", tcp));
    of("refused", subject.own).into_iter().chain(peer).collect()
}

fn unreachable(subject: &Subject<'_>) -> Vec<Evidence> {
    let tcp = subject.own;
    let errors = ["host_unreachable", "net_unreachable", "timed_out"];
    let all = failures(tcp, &errors);
    // An attempt that waits may still succeed, as long as others do. It is told once that it waits; later
    // only its segments tell, which are sent again and again.
    let waiting = if tcp.opened == 0 { tcp.pending } else { 0 };
    let again = if attempts(tcp) == 0 { sent_again(tcp, RetransmitPhase::Syn) } else { 0 };
    if !is_one_in(all, attempts(tcp), FAILING) && waiting == 0 && again == 0 {
        return Vec::new();
    }
    let mut evidence: Vec<Evidence> = errors
        .into_iter()
        .map(|error| part(error, failures(tcp, &[error]), attempts(tcp)))
        .filter(is_something)
        .collect();
    let waiting = [count("connects_pending", waiting), count("syn_retransmits", again)];
    evidence.extend(waiting.into_iter().filter(is_something));
    evidence
}

fn peer_not_accepting(subject: &Subject<'_>) -> Vec<Evidence> {
    let mut evidence = not_accepting(
        ["peer_unaccepted", "peer_accept_wait"],
        subject.peer.edges.iter().map(|tcp| (tcp.stalled.unaccepted, tcp.longest.unaccepted_ns)),
    );
    evidence.extend(full_queue(["peer_queue", "peer_listen_overflows"], subject.peer.listener));
    evidence
}

fn own_process_not_reading(subject: &Subject<'_>) -> Vec<Evidence> {
    let TcpSummary { stalled, longest, .. } = subject.own;
    let Standstill { unread_ns, unaccepted_ns, own_window_closed_ns, half_closed_ns, .. } = *longest;
    let mut evidence =
        not_accepting(["unaccepted", "accept_wait"], [(stalled.unaccepted, unaccepted_ns)].into_iter());
    evidence.extend(full_queue(["queue", "listen_overflows"], subject.own_listener));
    evidence.extend(lasting(["unread", "unread_time"], stalled.unread, unread_ns, STALL_NS));
    let names = ["own_window_closed", "own_window_closed_time"];
    evidence.extend(lasting(names, stalled.own_window_closed, own_window_closed_ns, STALL_NS));
    evidence.extend(lasting(
        ["half_closed", "half_closed_time"],
        stalled.half_closed,
        half_closed_ns,
        HELD_NS,
    ));
    evidence
}

fn peer_not_reading(subject: &Subject<'_>) -> Vec<Evidence> {
    let TcpSummary { stalled, longest, busy_ns, peer_window_limited_ns, .. } = subject.own;
    let names = ["peer_window_closed", "peer_window_closed_time"];
    let mut evidence = lasting(names, stalled.peer_window_closed, longest.peer_window_closed_ns, STALL_NS);
    if is_limit(*peer_window_limited_ns, *busy_ns) {
        evidence.push(time_of("peer_window_limited_time", *peer_window_limited_ns, *busy_ns));
    }
    let peer = |of: fn(&TcpSummary) -> u64| subject.peer.edges.iter().map(move |tcp| of(tcp));
    // What nobody has accepted nobody reads either; that is another verdict.
    if peer(|tcp| tcp.longest.unaccepted_ns).all(|lasts_ns| lasts_ns < STALL_NS) {
        let unread = subject.peer.edges.iter().map(|tcp| tcp.stalled.unread).sum();
        let lasts_ns = peer(|tcp| tcp.longest.unread_ns).max().unwrap_or(0);
        evidence.extend(lasting(["peer_unread", "peer_unread_time"], unread, lasts_ns, STALL_NS));
    }
    evidence
}

fn own_send_buffer(subject: &Subject<'_>) -> Vec<Evidence> {
    let TcpSummary { busy_ns, send_buffer_limited_ns, .. } = subject.own;
    if is_limit(*send_buffer_limited_ns, *busy_ns) {
        vec![time_of("send_buffer_limited_time", *send_buffer_limited_ns, *busy_ns)]
    } else {
        Vec::new()
    }
}

fn network_loss(subject: &Subject<'_>) -> Vec<Evidence> {
    let own = subject.own;
    let mut evidence = Vec::new();
    if is_lossy(own) {
        let spurious = count("spurious_retransmits", own.spurious_retransmits);
        evidence.push(part("retransmitted_segments", Loss::of(own).again, own.sent_segments));
        evidence.extend([spurious].into_iter().filter(is_something));
    }
    for peer in subject.peer.edges.iter().filter(|tcp| is_lossy(tcp)) {
        evidence.push(part("peer_retransmitted_segments", Loss::of(peer).again, peer.sent_segments));
    }
    let handshakes = [
        ("syn_retransmits", RetransmitPhase::Syn, subject.peer.listener),
        ("syn_ack_retransmits", RetransmitPhase::SynAck, subject.own_listener),
    ];
    for (figure, phase, listener) in handshakes {
        let segments = sent_again(own, phase);
        // A listener with a full queue takes neither the beginning nor the end of a handshake.
        let full = !full_queue([""; 2], listener).is_empty();
        if own.opened > 0 && segments >= FEW && is_one_in(segments, own.opened, FAILING) && !full {
            evidence.push(part(figure, segments, own.opened));
        }
    }
    // Nothing is answered any more. A closed window is asked for in the same way, and answered.
    if own.stalled.unanswered > own.stalled.peer_window_closed {
        evidence.push(part("unanswered", u64::from(own.stalled.unanswered), own.live));
        evidence.push(count("deepest_backoff", u64::from(own.deepest_backoff)));
    }
    evidence
}

fn network_latency(subject: &Subject<'_>) -> Vec<Evidence> {
    let own = subject.own;
    let slow_ns = if subject.near { SLOW_NEAR_NS } else { SLOW_FAR_NS };
    let handshake = own.handshake_latency.quantile(0.5);
    // The smoothed round-trip time holds what the other side delays its acknowledgements for (up to
    // 40 ms), so only the shortest one says how long the way is.
    if handshake.or(own.min_rtt_ns).is_none_or(|way_ns| way_ns < slow_ns) {
        return Vec::new();
    }
    let figures = [
        ("handshake_latency_p50", handshake),
        ("min_rtt", own.min_rtt_ns),
        ("rtt_p50", own.rtt.quantile(0.5)),
    ];
    figures.into_iter().filter_map(|(figure, value)| Some(time(figure, value?))).collect()
}

/// What an edge is on which no fault was found.
pub(super) fn without_finding(subject: &Subject<'_>) -> Finding {
    let own = subject.own;
    let mut doubts = Vec::new();
    let failed = own.failed;
    if is_one_in(failed, attempts(own), FAILING) {
        doubts.extend(own.failures.iter().map(|(error, failed)| part(error, *failed, attempts(own))));
    }
    if own.opened == 0 && own.pending > 0 {
        doubts.push(count("connects_pending", own.pending));
    }
    let resets = own.resets_sent + own.resets_received;
    if is_one_in(resets, own.closed, 2) {
        doubts.push(part("resets", resets, own.closed));
    }
    if is_one_in(Loss::of(own).lost(), own.sent_segments, LOSSY) {
        doubts.push(part("retransmitted_segments", Loss::of(own).again, own.sent_segments));
        let late =
            [count("spurious_retransmits", own.spurious_retransmits), count("reorderings", own.reorderings)];
        doubts.extend(late.into_iter().filter(is_something));
    }
    let listeners = [("listen_drops", subject.own_listener), ("peer_listen_drops", subject.peer.listener)];
    for (figure, listener) in listeners {
        doubts.extend(listener.map(|listener| count(figure, listener.dropped)).filter(is_something));
    }
    let known = own.opened + own.failed + own.closed;
    if subject.lost_events > known {
        doubts.push(count("lost_events", subject.lost_events));
    }
    let segments = own.sent_segments + own.received_segments;
    if own.opened == 0 && segments == 0 && doubts.is_empty() {
        doubts.push(count("live", own.live));
    }
    if !doubts.is_empty() {
        return Finding { verdict: Verdict::Unknown, evidence: doubts };
    }
    let mut evidence = vec![
        part("retransmitted_segments", own.retransmitted_segments, own.sent_segments),
        part("failed", own.failed, attempts(own)),
    ];
    evidence.extend(own.handshake_latency.quantile(0.5).map(|ns| time("handshake_latency_p50", ns)));
    evidence.extend(own.min_rtt_ns.map(|ns| time("min_rtt", ns)));
    Finding { verdict: Verdict::Healthy, evidence }
}

/// Connections that wait for accept(): how many now, and how long at most.
fn not_accepting(names: [&'static str; 2], waits: impl Iterator<Item = (u32, u64)>) -> Vec<Evidence> {
    let (now, lasts_ns) = waits.fold((0, 0), |(now, lasts_ns), wait| (now + wait.0, lasts_ns.max(wait.1)));
    lasting(names, now, lasts_ns, STALL_NS)
}

/// A listener whose queue is full, or was.
fn full_queue([queue, overflows]: [&'static str; 2], listener: Option<&ListenerSummary>) -> Vec<Evidence> {
    let Some(ListenerSummary { workload: _, most_waiting, limit, dropped: _, overflowed }) = listener else {
        return Vec::new();
    };
    if *most_waiting <= *limit && *overflowed == 0 {
        return Vec::new();
    }
    let queue = part(queue, u64::from(*most_waiting), u64::from(*limit));
    [queue, count(overflows, *overflowed)].into_iter().filter(is_something).collect()
}

/// What lasts at least so long: how many connections it is so of now, and how long at most.
fn lasting([now, time_name]: [&'static str; 2], stalled: u32, lasts_ns: u64, least_ns: u64) -> Vec<Evidence> {
    if lasts_ns < least_ns && stalled == 0 {
        return Vec::new();
    }
    [count(now, u64::from(stalled)), time(time_name, lasts_ns)].into_iter().filter(is_something).collect()
}

/// So many segments did not arrive that it is no accident, and not just late.
fn is_lossy(tcp: &TcpSummary) -> bool {
    let loss = Loss::of(tcp);
    loss.lost() >= FEW && is_one_in(loss.lost(), loss.sent, LOSSY) && !loss.is_reordered()
}

fn failures(tcp: &TcpSummary, errors: &[&str]) -> u64 {
    errors.iter().filter_map(|error| tcp.failures.get(error)).sum()
}

const fn attempts(tcp: &TcpSummary) -> u64 {
    tcp.opened + tcp.failed
}

/// At least one of so many, and at least one.
const fn is_one_in(part: u64, whole: u64, many: u64) -> bool {
    part > 0 && part.saturating_mul(many) >= whole
}

/// That was the limit for at least a third of the time: a writer that a full send buffer puts to sleep is
/// woken when a third of it is free again, so it never waits all the time.
const fn is_limit(limited_ns: u64, busy_ns: u64) -> bool {
    busy_ns >= BUSY_NS && limited_ns.saturating_mul(3) >= busy_ns
}
