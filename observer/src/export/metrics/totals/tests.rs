//! Windows add up, and what is no sum is the newest one's.

use super::*;
use crate::aggregate::Histogram;

fn histogram(value: u64) -> Histogram {
    let mut histogram = Histogram::default();
    histogram.record(value);
    histogram
}

#[test]
fn counts_add_up_and_gauges_are_the_newest_windows() {
    let mut totals = TcpTotals::default();
    let window = TcpSummary {
        opened: 2,
        failures: BTreeMap::from([("refused", 3)]),
        rtt: histogram(7),
        min_rtt_ns: Some(7),
        longest: Standstill { unread_ns: 5, ..Standstill::default() },
        ..TcpSummary::default()
    };
    let other = TcpSummary { min_rtt_ns: Some(3), ..window.clone() };
    totals.add(&window, 1);
    totals.add(&other, 1);
    assert_eq!((totals.opened, totals.failures["refused"], totals.rtt.count()), (4, 6, 2));
    assert_eq!(totals.newest.at(1).min_rtt_ns, Some(3));
    totals.add(&TcpSummary::default(), 2);
    assert_eq!((totals.newest.at(2), totals.newest.at(1)), (NewestTcp::default(), NewestTcp::default()));
    assert_eq!(totals.ever.1, [true, false, false, false, false], "it stood still once");
}

#[test]
fn what_is_live_is_summed_within_a_window_alone() {
    let mut totals = TcpTotals::default();
    let stalled = Stalled { half_closed: 1, ..Stalled::default() };
    totals.add_live(3, &stalled, 1);
    totals.add_live(4, &stalled, 1);
    assert_eq!((totals.live.at(1).connections, totals.live.at(1).stalled.half_closed), (7, 2));
    totals.add_live(4, &Stalled::default(), 2);
    assert_eq!(totals.live.at(2), LiveTcp { connections: 4, stalled: Stalled::default() });
    assert_eq!(totals.live.at(3).connections, 0);
}

#[test]
fn a_core_dump_makes_no_other_kind_of_end() {
    let mut totals = ProcessTotals::default();
    let exits = [true, false].map(|core_dumped| (Ending::Signal { signal: 11, core_dumped }, 1));
    totals.add(&ProcessSummary { exits: exits.into(), ..ProcessSummary::default() });
    assert_eq!(totals.exits.into_values().collect::<Vec<_>>(), [2]);
}
