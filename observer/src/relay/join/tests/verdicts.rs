//! The verdicts of all nodes as one answer.

use prost_types::Timestamp;

use super::super::{Addresses, verdicts};
use super::*;

fn response(node: &str, start: i64, edges: Vec<v1::Summary>) -> (Arc<str>, v1::ExplainResponse) {
    let total = edges.len() as u64;
    let answer = v1::ExplainResponse {
        edges,
        total,
        node_name: node.into(),
        window_start: Some(Timestamp { seconds: start, nanos: 0 }),
        window_ns: 50_000_000_000 + start as u64,
        lost_events: 2,
        missing_nodes: Vec::new(),
    };
    (node.into(), answer)
}

fn stalled(summary: v1::Summary, stalled: v1::Stalled, longest: v1::Standstill) -> v1::Summary {
    let tcp = summary.tcp.clone().unwrap();
    let tcp = v1::TcpSummary { live: 9, stalled: Some(stalled), longest: Some(longest), ..tcp };
    let diagnosis = v1::Diagnosis { verdict: v1::Verdict::OwnProcessNotReading.into(), ..healthy() };
    v1::Summary { tcp: Some(tcp), diagnosis: Some(diagnosis), ..summary }
}

fn asks() -> v1::Summary {
    to(pod("cart"), 8080, known("web", "b"))
}

fn asked() -> v1::Summary {
    from(pod("web"), 8080, known("cart", "a"))
}

fn both(near: v1::Summary, far: v1::Summary) -> v1::Diagnosis {
    let told = vec![response("a", 7, vec![near]), response("b", 9, vec![far])];
    let all = verdicts(told, &Addresses::default());
    assert_eq!((all.edges.len(), all.total), (1, 1));
    all.edges[0].diagnosis.clone().unwrap()
}

fn evidence(of: &v1::Diagnosis) -> Vec<(&str, u64)> {
    of.evidence.iter().map(|one| (&*one.figure, one.value)).collect()
}

#[test]
fn the_servers_side_decides() {
    let unaccepted = stalled(
        asked(),
        v1::Stalled { unaccepted: 4, unread: 4, ..v1::Stalled::default() },
        v1::Standstill {
            accept_wait_ns: 3_000_000_000,
            unread_ns: 2_000_000_000,
            ..v1::Standstill::default()
        },
    );
    let found = both(asks(), unaccepted);
    assert_eq!(found.verdict(), v1::Verdict::PeerNotAccepting);
    assert_eq!(evidence(&found), [("peer_unaccepted", 4), ("peer_accept_wait", 3_000_000_000)]);
    assert!(found.others.is_empty(), "not accepted is not read: {found:?}");

    let unread = stalled(
        asked(),
        v1::Stalled { unread: 2, ..v1::Stalled::default() },
        v1::Standstill { unread_ns: 5_000_000_000, ..v1::Standstill::default() },
    );
    let found = both(asks(), unread);
    assert_eq!(found.verdict(), v1::Verdict::PeerNotReading);
    assert_eq!(evidence(&found), [("peer_unread", 2), ("peer_unread_time", 5_000_000_000)]);
}

#[test]
fn a_full_queue_explains_what_nobody_answers() {
    let mut near = asks();
    near.tcp = Some(v1::TcpSummary {
        failed: 5,
        failures: vec![v1::FailureCount { error: "timed_out".into(), count: 5 }],
        ..figures(10)
    });
    near.diagnosis = Some(v1::Diagnosis { verdict: v1::Verdict::Unreachable.into(), ..healthy() });
    let mut far = asked();
    let count = |figure: &str, value, of| v1::Evidence {
        figure: figure.into(),
        value,
        of,
        unit: v1::Unit::Count.into(),
    };
    far.diagnosis = Some(v1::Diagnosis {
        verdict: v1::Verdict::Refused.into(),
        evidence: Vec::new(),
        others: vec![v1::Finding {
            verdict: v1::Verdict::OwnProcessNotReading.into(),
            evidence: vec![count("queue", 129, Some(128)), count("listen_overflows", 40, None)],
        }],
    });
    let found = both(near, far);
    assert_eq!(found.verdict(), v1::Verdict::PeerNotAccepting);
    assert_eq!(
        found.evidence,
        [count("peer_queue", 129, Some(128)), count("peer_listen_overflows", 40, None)]
    );
    assert_eq!(found.others.len(), 1, "{found:?}");
    assert_eq!(found.others[0].verdict(), v1::Verdict::Unreachable);
}

#[test]
fn where_nobody_can_tell_whose_they_are_the_other_sides_figures_count_for_each() {
    let answers = v1::Endpoint { address: String::new(), ..end_of(":8080", "web", "b") };
    let through = to(pod("cart"), 80, service("web", 80, Some(answers)));
    let unread = stalled(
        asked(),
        v1::Stalled { unread: 2, ..v1::Stalled::default() },
        v1::Standstill { unread_ns: 5_000_000_000, ..v1::Standstill::default() },
    );
    let told = vec![response("a", 7, vec![asks(), through]), response("b", 9, vec![unread])];
    let all = verdicts(told, &Addresses::default());
    let found: Vec<_> =
        all.edges.iter().map(|one| (&*one.node_name, one.diagnosis.as_ref().unwrap().verdict())).collect();
    let not_reading = v1::Verdict::PeerNotReading;
    assert_eq!(found, [("a", not_reading), ("a", not_reading), ("b", v1::Verdict::OwnProcessNotReading)]);
    assert_eq!(all.total, 3);
}

#[test]
fn without_figures_the_verdict_stays() {
    let near = v1::Summary { tcp: None, ..asks() };
    assert_eq!(both(near, asked()), healthy());
    let far = v1::Summary { tcp: None, ..asked() };
    assert_eq!(both(asks(), far), healthy());
}

#[test]
fn one_answer_of_all_nodes() {
    let with = |name: &str, verdict: v1::Verdict| v1::Summary {
        diagnosis: Some(v1::Diagnosis { verdict: verdict.into(), ..healthy() }),
        ..to(pod(name), 80, unknown("1.1.1.1"))
    };
    let missing = |name: &str| v1::NodeStatus { node_name: name.into(), ..v1::NodeStatus::default() };
    let mut first = response("n2", 9, vec![with("b", v1::Verdict::Refused), with("a", v1::Verdict::Healthy)]);
    first.1.missing_nodes = vec![missing("n9")];
    first.1.total = 50;
    let mut second = response(
        "n1",
        7,
        vec![
            with("a", v1::Verdict::NetworkLoss),
            with("b", v1::Verdict::Refused),
            with("a", v1::Verdict::Unknown),
        ],
    );
    second.1.missing_nodes = vec![missing("n8")];
    let all = verdicts(vec![first.clone(), second.clone()], &Addresses::default());
    let order = all.edges.iter().map(|one| (&*one.workload.as_ref().unwrap().name, &*one.node_name));
    let order: Vec<_> = order.collect();
    assert_eq!(order, [("a", "n1"), ("b", "n1"), ("b", "n2"), ("a", "n1"), ("a", "n2")]);
    assert_eq!((all.total, all.lost_events, all.window_ns), (53, 4, 50_000_000_009));
    assert_eq!(all.window_start.unwrap().seconds, 7);
    assert_eq!(all.missing_nodes, [missing("n8"), missing("n9")]);
    assert_eq!(verdicts(vec![second, first], &Addresses::default()), all);
    assert_eq!(verdicts(Vec::new(), &Addresses::default()), v1::ExplainResponse::default());
}
