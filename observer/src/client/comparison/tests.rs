//! What differs is told as people read it.

use super::super::testing;
use super::*;

fn named(namespace: &str, name: &str, container: &str) -> ComparedParty {
    ComparedParty {
        kind: PartyKind::Pods.into(),
        namespace: namespace.to_owned(),
        owner_kind: "Deployment".to_owned(),
        name: name.to_owned(),
        container: container.to_owned(),
    }
}

fn figure(name: &str, [a, b]: [f64; 2], unit: ComparedUnit, verdict: Verdict) -> ComparedFigure {
    ComparedFigure {
        figure: name.to_owned(),
        a: Some(a),
        b: Some(b),
        unit: unit.into(),
        verdict: verdict.into(),
        chance: (verdict != Verdict::Same).then_some(0.001),
    }
}

fn compared() -> CompareWindowsResponse {
    let peer =
        |outgoing| ComparedPeer { party: Some(named("data", "db", "")), backend: None, port: 5432, outgoing };
    let comparison = |name, peer, verdict: Verdict, figures| Comparison {
        workload: Some(named("shop", name, "app")),
        peer,
        verdict: verdict.into(),
        figures,
        ..Comparison::default()
    };
    let load = figure("connects", [4.0, 4.1], ComparedUnit::PerSecond, Verdict::Same);
    let side = |windows| ComparedSide {
        node_name: "node1".to_owned(),
        start_time: Some(testing::AT),
        end_time: Some(super::super::time::after(&testing::AT, 600_000_000_000)),
        windows,
        length_ns: windows * 10_000_000_000,
        lost_events: 0,
    };
    CompareWindowsResponse {
        a: Some(side(60)),
        b: Some(ComparedSide { lost_events: 3, ..side(59) }),
        comparisons: vec![
            comparison(
                "web",
                Some(peer(true)),
                Verdict::Worse,
                vec![
                    figure("connect_failures", [0.0, 0.042], ComparedUnit::Share, Verdict::Worse),
                    figure("handshake_p50", [1.2e6, 2.6e6], ComparedUnit::Nanoseconds, Verdict::Worse),
                    figure("rtt_p50", [9e5, 3e5], ComparedUnit::Nanoseconds, Verdict::Better),
                    load.clone(),
                ],
            ),
            comparison("new\u{1b}[2J", Some(peer(false)), Verdict::New, vec![]),
            comparison("cart", None, Verdict::Same, vec![load]),
        ],
        total: 4,
        left_out: 0,
    }
}

#[test]
fn what_differs_is_a_table_and_the_rest_is_counted() {
    let mut out = Vec::new();
    write_comparison(&mut out, &testing::look(), &compared(), false).unwrap();
    expect_test::expect![[r"
        A: 08:12:03.114 to 08:22:03.114, 10 min recorded in 60 windows [node1]
        B: 08:12:03.114 to 08:22:03.114, 9 min 50 s recorded in 59 windows [node1]
        3 events lost on the node in B: its figures may be too low
        VERDICT  WORKLOAD             PEER                 FIGURE                A      B  CHANGE  CHANCE
        worse    shop/web/app         -> data/db:5432      connect failures      0   4.2%  from 0   <0.2%
        worse    shop/web/app         -> data/db:5432      handshake p50     1.2ms  2.6ms   +117%   <0.2%
        better   shop/web/app         -> data/db:5432      rtt p50           900µs  300µs    -67%   <0.2%
        new      shop/new\x1b[2J/app  <- data/db on :5432  -                     -      -       -       -
        1 worse, 1 new, 1 same, 1 not told: select fewer, --all lists all of them
    "]]
    .assert_eq(&String::from_utf8(out).unwrap());
    let mut out = Vec::new();
    write_comparison(&mut out, &testing::look(), &compared(), true).unwrap();
    let all = String::from_utf8(out).unwrap();
    assert!(all.contains("same") && all.contains("shop/cart/app") && !all.contains("--all"), "{all}");
}

#[test]
fn values_and_changes_take_the_unit_that_fits() {
    let per_second = |value| valued(ComparedUnit::PerSecond, value);
    assert_eq!([0.0, 0.05, 1.26, 123.4].map(per_second), ["0", "3.0/min", "1.3/s", "123/s"]);
    assert_eq!(valued(ComparedUnit::BytesPerSecond, 4_198.4), "4.1KiB/s");
    assert_eq!(
        [(0.0, 0.0), (0.0, 1.0), (1.0, 2.5), (1.0, 3.5), (2.0, 90.0), (4.0, 1.0)].map(|(a, b)| change(a, b)),
        ["0", "from 0", "+150%", "x3.5", "x45", "-75%"]
    );
}
