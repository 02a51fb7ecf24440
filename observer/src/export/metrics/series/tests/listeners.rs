//! Series of listeners, whose ports have no bound of their own.

use super::*;
use crate::event::ListenerSummary;

const DROPS: &str = "observer_tcp_listener_drops_total";

/// A window in which these ports of a pod dropped one each.
fn dropped(second: u64, of: &Arc<Workload>, ports: impl Iterator<Item = u16>) -> Window {
    let listener = |port| {
        let summary = ListenerSummary {
            workload: Arc::clone(of),
            most_waiting: 1,
            limit: 8,
            dropped: 1,
            overflowed: 1,
        };
        ((of.id, port), summary)
    };
    Window { listeners: ports.map(listener).collect(), ..window(second, []) }
}

#[test]
fn one_workload_has_so_many_and_those_that_are_gone_end() {
    let mut series = Series::new(&Settings::default());
    let a = pod(1, "a");
    for second in 1..=10 {
        let first = 20_000 + second as u16 * 100;
        series.add(&dropped(second, &a, first..first + 100), now(second));
        series.list(&[entry(&a)], now(second));
    }
    let all = told(&series, DROPS);
    assert!(all.len() <= 65 && all["shop/a/a"] > 900, "{all:?}");
    assert_eq!(all.values().sum::<u64>(), 1_000, "nothing is missing");
    assert!(series.figures().series < 3 * 70, "{:?}", series.figures());
    // The workload stays, and one of its listeners comes again.
    series.list(&[entry(&a)], now(100));
    assert!(told(&series, DROPS).is_empty());
    assert_eq!(series.figures().series, 2, "restarts and crash loops");
    series.add(&dropped(101, &a, 20_100..20_101), now(101));
    let metric = metrics().find(|metric| metric.name == DROPS).unwrap();
    let mut starts = Vec::new();
    series.each(metric, &mut |point| starts.push(point.start));
    assert_eq!(starts, [now(100).wall], "it begins anew");
}

#[test]
fn the_overflow_tells_no_ports() {
    let mut series = Series::new(&Settings { max_series: 1, ..Settings::default() });
    for second in 1..=10 {
        let first = 20_000 + second as u16 * 100;
        series.add(&dropped(second, &pod(second, &format!("p{second}")), first..first + 100), now(second));
    }
    assert_eq!(told(&series, DROPS), [("overflow".to_owned(), 1_000)].into());
}
