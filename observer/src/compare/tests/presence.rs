//! What comes and goes, what is one of many, and what has no room.

use super::*;
use crate::compare::figures::{Totals, ends};
use crate::event::Ending;

/// A load that is quickly made.
const QUIET: Load = Load { attempts: 30, sent: 0, ..USUAL };

#[test]
fn what_comes_and_goes_is_named_unless_there_is_too_little_of_it() {
    let mut dice = Dice(5);
    let both = |dice: &mut Dice, other: Option<u64>| -> Vec<Window> {
        (0..20)
            .map(|number| {
                let mut of = vec![(1, "web", tcp(dice, &USUAL))];
                if other.is_some_and(|windows| number < windows) {
                    of.push((2, "cart", tcp(dice, &USUAL)));
                }
                window(number, &of)
            })
            .collect()
    };
    let (without, with) = (both(&mut dice, None), both(&mut dice, Some(15)));
    let cart = |comparison: &Comparison| {
        comparison.rows.iter().find(|row| row.key.workload.name == "cart").unwrap().verdict
    };
    assert_eq!(cart(&compared(&without, &with)), Verdict::New);
    assert_eq!(cart(&compared(&with, &without)), Verdict::Gone);
    let once = both(&mut dice, Some(1));
    assert_eq!(cart(&compared(&without, &once)), Verdict::TooLittle);
    // Three windows are too few for anything.
    let slow = steady(&mut dice, 3, |_| Load { handshake_ns: 1e8, ..USUAL });
    assert_eq!(edge(&compared(&without, &slow)).verdict, Verdict::TooLittle);
}

#[test]
fn many_windows_become_fewer_and_a_new_pod_of_the_same_owner_is_the_same() {
    let mut dice = Dice(9);
    let of = |dice: &mut Dice, count: u64, id: u64, load: &Load| -> Vec<Window> {
        (0..count)
            .map(|number| {
                let mut window = window(number, &[(id, "web-5f7c-aaaaa", tcp(dice, load))]);
                for summary in window.edges.values_mut() {
                    let mut workload = crate::event::Workload::clone(&summary.workload);
                    workload.labels.insert("pod-template-hash".to_owned(), "5f7c".to_owned());
                    workload.pod = format!("web-5f7c-{id}");
                    summary.workload = Arc::new(workload);
                }
                window
            })
            .collect()
    };
    let a = of(&mut dice, 500, 1, &USUAL);
    let b = of(&mut dice, 130, 2, &Load { failing: 0.1, ..USUAL });
    let comparison = compared(&a, &b);
    assert_eq!(comparison.extents[0].windows, 500);
    let row = edge(&comparison);
    assert_eq!((row.key.workload.name.as_str(), row.key.workload.owner_kind.as_str()), ("web", "Deployment"));
    assert_eq!(differing(row), [(Figure::ConnectFailures, Verdict::Worse)]);
    assert_eq!(row.windows, [500, 130]);
}

#[test]
fn windows_that_are_one_count_once_where_something_is_new() {
    let mut dice = Dice(13);
    let windows = |dice: &mut Dice, cart: u64| -> Vec<Window> {
        (0..500)
            .map(|number| {
                let mut of = vec![(1, "web", tcp(dice, &QUIET))];
                if number < cart {
                    of.push((2, "cart", tcp(dice, &QUIET)));
                }
                window(number, &of)
            })
            .collect()
    };
    // Five are one: eight of them are within two.
    let [without, with] = [0, 8].map(|cart| windows(&mut dice, cart));
    let found = compared(&without, &with);
    let row = found.rows.iter().find(|row| row.key.workload.name == "cart").unwrap();
    assert_eq!(row.verdict, Verdict::TooLittle);
}

#[test]
fn one_that_differs_among_many_is_found() {
    let mut dice = Dice(17);
    let names: Vec<String> = (0..40).map(|id| format!("web-{id}")).collect();
    let side = |dice: &mut Dice, handshake_ns: f64| -> Vec<Window> {
        (0..20)
            .map(|number| {
                let of = names.iter().zip(1..).map(|(name, id)| {
                    let load = if id == 7 { Load { handshake_ns, ..QUIET } } else { QUIET };
                    (id, name.as_str(), tcp(dice, &load))
                });
                window(number, &of.collect::<Vec<_>>())
            })
            .collect()
    };
    let (a, b) = (side(&mut dice, 1e6), side(&mut dice, 4e6));
    let found = compared(&a, &b);
    let worse: Vec<&Row> = found.rows.iter().filter(|row| row.verdict == Verdict::Worse).collect();
    assert!(worse.iter().any(|row| row.key.workload.name == "web-6"), "{worse:?}");
    // Its edge and itself, and no others but by a rare chance.
    assert!((2..=3).contains(&worse.len()), "{}", worse.len());
}

#[test]
fn ends_that_went_well_are_no_trouble() {
    let of = |ending, container_stops, oom_kills| {
        let exits = [(ending, 9)].into_iter().collect();
        ends(Some(&ProcessSummary { exits, oom_kills, container_stops, ..ProcessSummary::default() }))
    };
    let signal = |signal| Ending::Signal { signal, core_dumped: false };
    assert_eq!([of(Ending::Code(0), 3, 0), of(Ending::Code(143), 3, 0), of(signal(15), 3, 0)], [0; 3]);
    assert_eq!([of(Ending::Code(1), 3, 0), of(signal(11), 3, 0)], [3; 2]);
    // Killed for memory, which is one thing; and a process of one that goes on.
    assert_eq!([of(signal(9), 1, 1), of(signal(9), 0, 1)], [1; 2]);
}

#[test]
fn what_has_no_room_is_left_out_and_counted_once() {
    let names: Vec<String> = (0..MOST_KEYS).map(|id| format!("web-{id}")).collect();
    let of: Vec<_> =
        names.iter().zip(1..).map(|(name, id)| (id, name.as_str(), TcpSummary::default())).collect();
    let windows = [window(0, &of), window(1, &of)];
    let mut first = First::default();
    for side in [Side::A, Side::B] {
        for window in &windows {
            first.add(side, window, &Filters::default());
        }
    }
    // An edge and a workload of each: of the keys half found room.
    assert_eq!(first.again().left_out, MOST_KEYS as u64);
}

#[test]
fn the_windows_of_those_that_are_compared_have_a_bound() {
    let mut keys = BTreeMap::new();
    for id in 0..5_000 {
        let key = Key::of_workload(&pod(id, "shop", &format!("web-{id}")));
        let mut totals = Totals::default();
        (totals.attempts, totals.windows) = (id, 120);
        keys.insert(key, [totals.clone(), totals]);
    }
    fit(&mut keys);
    assert!((500..5_000).contains(&keys.len()), "{}", keys.len());
    // Those stay that do most.
    let least = keys.values().map(|totals| totals[0].attempts).min().unwrap();
    assert_eq!(least, 5_000 - keys.len() as u64);
}
