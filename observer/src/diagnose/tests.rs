//! The table of cases: what the figures of an edge say.

use std::collections::BTreeMap;

use super::*;
use crate::aggregate::Histogram;
use crate::event::examples::pod;
use crate::event::{RetransmitCause, RetransmitPhase, Stalled, Standstill};

const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// An edge on which all is well.
fn well() -> TcpSummary {
    let mut tcp = TcpSummary {
        opened: 100,
        closed: 100,
        sent_segments: 1_000,
        received_segments: 1_000,
        min_rtt_ns: Some(60_000),
        ..TcpSummary::default()
    };
    tcp.handshake_latency.record(80_000);
    tcp.rtt.record(70_000);
    tcp
}

fn with(change: impl FnOnce(&mut TcpSummary)) -> TcpSummary {
    let mut tcp = well();
    change(&mut tcp);
    tcp
}

fn failed(error: &'static str, count: u64) -> impl FnOnce(&mut TcpSummary) {
    move |tcp| {
        tcp.failed = count;
        tcp.failures = BTreeMap::from([(error, count)]);
    }
}

fn only(histogram_ns: u64) -> Histogram {
    let mut histogram = Histogram::default();
    histogram.record(histogram_ns);
    histogram
}

fn listener(most_waiting: u32, overflowed: u64) -> ListenerSummary {
    ListenerSummary { workload: pod(2, "shop", "b"), most_waiting, limit: 5, dropped: 40, overflowed }
}

/// The verdict on an edge whose other side this node does not see, near or far.
fn alone(own: &TcpSummary, near: bool) -> Diagnosis {
    edge(&Subject { own, own_listener: None, near, peer: Peer::default(), lost_events: 0 })
}

/// The verdict on an edge whose other side has these figures.
fn between(own: &TcpSummary, peer: &TcpSummary) -> Diagnosis {
    let edges = [peer];
    edge(&Subject {
        own,
        own_listener: None,
        near: true,
        peer: Peer { edges: &edges, listener: None },
        lost_events: 0,
    })
}

fn figures(finding: &Finding) -> Vec<&'static str> {
    finding.evidence.iter().map(|evidence| evidence.figure).collect()
}

/// What a case is, the edge's figures, the verdict, and the figures that it is given with.
type Case = (&'static str, TcpSummary, Verdict, &'static [&'static str]);

fn check(cases: impl IntoIterator<Item = Case>) {
    for (case, tcp, verdict, evidence) in cases {
        let found = alone(&tcp, true).verdict;
        assert_eq!(found.verdict, verdict, "{case}: {found:?}");
        let named = figures(&found);
        assert!(evidence.iter().all(|figure| named.contains(figure)), "{case}: {named:?}");
        assert!(verdict == Verdict::Healthy || evidence.len() == named.len(), "{case}: {named:?}");
    }
}

fn retransmitted(segments: u64) -> TcpSummary {
    with(|tcp| tcp.retransmitted_segments = segments)
}

fn longest(longest: Standstill) -> TcpSummary {
    with(|tcp| tcp.longest = longest)
}

fn limited(peer_window_ms: u64, send_buffer_ms: u64) -> TcpSummary {
    with(|tcp| {
        tcp.busy_ns = SECOND;
        tcp.peer_window_limited_ns = peer_window_ms * MILLISECOND;
        tcp.send_buffer_limited_ns = send_buffer_ms * MILLISECOND;
    })
}

#[test]
fn attempts() {
    use Verdict as V;
    let one_of_many = TcpSummary { opened: 999, ..with(failed("refused", 1)) };
    let none = TcpSummary { opened: 0, ..with(failed("refused", 2)) };
    let waiting = TcpSummary { pending: 1, ..TcpSummary::default() };
    let syns = BTreeMap::from([((RetransmitPhase::Syn, RetransmitCause::Timeout), 2)]);
    let long = TcpSummary { retransmits: syns, retransmitted_segments: 2, ..TcpSummary::default() };
    check([
        ("traffic", well(), V::Healthy, &["retransmitted_segments", "failed"] as &[_]),
        ("one refused in a thousand", one_of_many, V::Healthy, &[]),
        ("refused", with(failed("refused", 10)), V::Refused, &["refused"]),
        ("all refused", none, V::Refused, &["refused"]),
        ("no route", with(failed("net_unreachable", 9)), V::Unreachable, &["net_unreachable"]),
        ("no host", with(failed("host_unreachable", 9)), V::Unreachable, &["host_unreachable"]),
        ("no answer", with(failed("timed_out", 9)), V::Unreachable, &["timed_out"]),
        ("no answer yet", waiting, V::Unreachable, &["connects_pending"]),
        ("no answer for long", long, V::Unreachable, &["syn_retransmits"]),
        ("a late answer", with(|tcp| tcp.pending = 1), V::Healthy, &[]),
        ("given up", with(failed("cancelled", 50)), V::Unknown, &["cancelled"]),
        ("nothing", TcpSummary { live: 3, ..TcpSummary::default() }, V::Unknown, &["live"]),
    ]);
}

#[test]
fn segments() {
    use Verdict as V;
    let reordered = TcpSummary { spurious_retransmits: 29, reorderings: 40, ..retransmitted(30) };
    let figures: &[_] = &["retransmitted_segments", "spurious_retransmits", "reorderings"];
    let overtaken = TcpSummary { spurious_retransmits: 55, reorderings: 17, ..retransmitted(85) };
    let often = TcpSummary { spurious_retransmits: 11, reorderings: 54, ..retransmitted(24) };
    let twice = TcpSummary { spurious_retransmits: 4, reorderings: 50, ..retransmitted(20) };
    let both = TcpSummary { spurious_retransmits: 17, reorderings: 1, ..retransmitted(84) };
    let few = TcpSummary { sent_segments: 8, ..retransmitted(1) };
    let answers = BTreeMap::from([((RetransmitPhase::SynAck, RetransmitCause::Timeout), 9)]);
    let answered_again = TcpSummary { retransmits: answers, ..retransmitted(9) };
    let asked = BTreeMap::from([((RetransmitPhase::Syn, RetransmitCause::Timeout), 9)]);
    let asked_again = TcpSummary { retransmits: asked, ..retransmitted(9) };
    let silent = Stalled { unanswered: 1, ..Stalled::default() };
    let silent = TcpSummary { live: 3, stalled: silent, deepest_backoff: 4, ..well() };
    check([
        ("one in a thousand", retransmitted(1), V::Healthy, &[] as &[_]),
        ("loss", retransmitted(30), V::NetworkLoss, &["retransmitted_segments"]),
        ("reordering", reordered, V::Healthy, &[]),
        ("much reordering", overtaken, V::Unknown, figures),
        ("reordering more often than that", often, V::Unknown, figures),
        ("reordering twice as often", twice, V::Unknown, figures),
        ("loss and reordering", both, V::NetworkLoss, &["retransmitted_segments", "spurious_retransmits"]),
        ("one of few", few, V::Unknown, &["retransmitted_segments"]),
        ("handshakes asked for", asked_again, V::NetworkLoss, &["syn_retransmits"]),
        ("handshakes answered", answered_again, V::NetworkLoss, &["syn_ack_retransmits"]),
        ("no answer any more", silent, V::NetworkLoss, &["unanswered", "deepest_backoff"]),
        ("resets", with(|tcp| tcp.resets_received = 60), V::Unknown, &["resets"]),
    ]);
}

#[test]
fn what_stands_still() {
    use Verdict as V;
    let none = Standstill::default();
    let unread = |unread_ns| longest(Standstill { unread_ns, ..none });
    let unaccepted = longest(Standstill { unaccepted_ns: 2 * SECOND, ..none });
    let own_window = longest(Standstill { own_window_closed_ns: 2 * SECOND, ..none });
    let half_closed = |seconds| longest(Standstill { half_closed_ns: seconds * SECOND, ..none });
    let window = Standstill { peer_window_closed_ns: 9 * SECOND, ..none };
    let asked = Stalled { peer_window_closed: 1, unanswered: 1, ..Stalled::default() };
    let window = TcpSummary { stalled: asked, ..longest(window) };
    let hardly_busy = TcpSummary { busy_ns: 9 * MILLISECOND, ..limited(9, 0) };
    check([
        ("unread now", with(|tcp| tcp.stalled.unread = 2), V::OwnProcessNotReading, &["unread"] as &[_]),
        ("was unread", unread(3 * SECOND), V::OwnProcessNotReading, &["unread_time"]),
        ("soon read", unread(SECOND / 2), V::Healthy, &[]),
        ("not accepted", unaccepted, V::OwnProcessNotReading, &["accept_wait"]),
        ("own window closed", own_window, V::OwnProcessNotReading, &["own_window_closed_time"]),
        ("not closed", half_closed(61), V::OwnProcessNotReading, &["half_closed_time"]),
        ("not closed for a while", half_closed(59), V::Healthy, &[]),
        ("window closed", window, V::PeerNotReading, &["peer_window_closed", "peer_window_closed_time"]),
        ("slow reader", limited(900, 0), V::PeerNotReading, &["peer_window_limited_time"]),
        ("hardly busy", hardly_busy, V::Healthy, &[]),
        ("send buffer", limited(0, 500), V::OwnSendBuffer, &["send_buffer_limited_time"]),
        ("now and then", limited(300, 300), V::Healthy, &[]),
    ]);
}

#[test]
fn a_long_way_is_no_fault_and_a_short_one_has_to_be_quick() {
    for (way_ns, near, verdict) in [
        (20 * MILLISECOND, true, Verdict::NetworkLatency),
        (20 * MILLISECOND, false, Verdict::Healthy),
        (300 * MILLISECOND, false, Verdict::NetworkLatency),
    ] {
        let handshakes = with(|tcp| tcp.handshake_latency = only(way_ns));
        let old = with(|tcp| {
            tcp.handshake_latency = Histogram::default();
            tcp.min_rtt_ns = Some(way_ns);
        });
        for tcp in [handshakes, old] {
            assert_eq!(alone(&tcp, near).verdict.verdict, verdict, "{way_ns} near {near}");
        }
    }
    let delayed = with(|tcp| tcp.rtt = only(40 * MILLISECOND));
    assert_eq!(alone(&delayed, true).verdict.verdict, Verdict::Healthy, "acknowledgements may be delayed");
}

#[test]
fn what_the_other_side_shows() {
    let stalled = |stalled: Stalled, longest: Standstill| TcpSummary { longest, stalled, ..well() };
    let unread = stalled(
        Stalled { unread: 1, ..Stalled::default() },
        Standstill { unread_ns: 5 * SECOND, ..Standstill::default() },
    );
    let found = between(&well(), &unread).verdict;
    assert_eq!(
        (found.verdict, &figures(&found)[..]),
        (Verdict::PeerNotReading, &["peer_unread", "peer_unread_time"][..])
    );
    let unaccepted = stalled(
        Stalled { unread: 1, unaccepted: 1, ..Stalled::default() },
        Standstill { unread_ns: 5 * SECOND, unaccepted_ns: 5 * SECOND, ..Standstill::default() },
    );
    let found = between(&well(), &unaccepted);
    assert_eq!(found.verdict.verdict, Verdict::PeerNotAccepting);
    assert!(found.others.is_empty(), "not accepted is not read: {found:?}");
    let found = between(&TcpSummary::default(), &with(failed("refused", 9))).verdict;
    assert_eq!((found.verdict, &figures(&found)[..]), (Verdict::Refused, &["peer_refused"][..]));
    let lossy = with(|tcp| tcp.retransmitted_segments = 50);
    let found = between(&well(), &lossy).verdict;
    assert_eq!(
        (found.verdict, &figures(&found)[..]),
        (Verdict::NetworkLoss, &["peer_retransmitted_segments"][..])
    );
}

#[test]
fn a_full_queue_explains_what_is_sent_again() {
    let own = with(|tcp| {
        tcp.retransmitted_segments = 50;
        tcp.retransmits.insert((RetransmitPhase::Syn, RetransmitCause::Timeout), 50);
        failed("timed_out", 20)(tcp);
    });
    let full = listener(6, 40);
    let subject = Subject {
        own: &own,
        own_listener: None,
        near: true,
        peer: Peer { edges: &[], listener: Some(&full) },
        lost_events: 0,
    };
    let found = edge(&subject);
    assert_eq!(found.verdict.verdict, Verdict::PeerNotAccepting);
    assert_eq!(figures(&found.verdict), ["peer_queue", "peer_listen_overflows"]);
    let others: Vec<_> = found.others.iter().map(|finding| finding.verdict).collect();
    assert_eq!(others, [Verdict::Unreachable]);
    let well = well();
    let incoming = Subject { own: &well, own_listener: Some(&full), peer: Peer::default(), ..subject };
    assert_eq!(edge(&incoming).verdict.verdict, Verdict::OwnProcessNotReading);
    let idle = listener(0, 0);
    let dropping = Subject { own_listener: Some(&idle), ..incoming };
    let found = edge(&dropping).verdict;
    assert_eq!((found.verdict, &figures(&found)[..]), (Verdict::Unknown, &["listen_drops"][..]));
}

#[test]
fn losses_leave_what_happened_open() {
    let own = well();
    let subject = |lost_events| Subject {
        own: &own,
        own_listener: None,
        near: true,
        peer: Peer::default(),
        lost_events,
    };
    assert_eq!(edge(&subject(5)).verdict.verdict, Verdict::Healthy);
    assert_eq!(edge(&subject(5_000)).verdict.verdict, Verdict::Unknown);
}
