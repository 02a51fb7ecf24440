//! What is kept in memory, and how it is read.

use std::sync::Arc;

use super::*;
use crate::event::examples::{close, event, pod, tcp};
use crate::event::{Counters, Event};
use crate::room::Room;
use crate::serve::Filters;

const STARTED: WallTime = WallTime(5);

/// With room for so many events.
fn history(capacity: usize, owners: &[(u64, u64)]) -> Events {
    let mut events = Events::new(capacity * made(1, 1).bytes(), STARTED);
    let mut sequence = 0;
    for &(owner, count) in owners {
        for _ in 0..count {
            sequence += 1;
            events.push(&made(owner, sequence));
        }
    }
    events
}

fn made(owner: u64, sequence: u64) -> Arc<Event> {
    let workload = pod(owner, "shop", &format!("pod-{owner}"));
    let detail = close(&tcp(sequence, true, "10.0.0.2:80", None), Counters::default());
    let made = event(&workload, sequence, detail);
    Arc::new(Event { sequence, time: WallTime(100 + sequence), ..made })
}

fn numbers(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

/// What comes for an ask in pages of three, how many pages there are, and how much is missing.
fn read(events: &Events, ask: Ask) -> (Vec<u64>, usize, u64) {
    let filters = Filters::default();
    let Found { span, reach, .. } = events.find(&ask, &filters);
    let (mut told, mut pages, mut rest) = (Vec::new(), 0, Some(span));
    while let Some(span) = rest {
        let page = events.page(span, &filters, 3);
        told.extend(numbers(&page.events));
        (pages, rest) = (pages + 1, page.rest);
    }
    (told, pages, reach.missing)
}

fn all(events: &Events) -> Vec<u64> {
    read(events, Ask::default()).0
}

#[test]
fn one_alone_has_all_the_room() {
    let events = history(4, &[(1, 6)]);
    assert_eq!((all(&events), events.len()), (vec![3, 4, 5, 6], 4));
    assert_eq!(events.size()[0], events.size()[1]);
    assert_eq!((all(&history(0, &[(1, 6)])).len(), history(0, &[(1, 6)]).len()), (0, 0));
}

#[test]
fn a_flood_leaves_the_others_their_share() {
    let events = history(12, &[(1, 3), (2, 2), (3, 1000)]);
    let told = all(&events);
    assert_eq!(told[..5], [1, 2, 3, 4, 5], "{told:?}");
    assert_eq!((told.len(), told[11]), (12, 1005));
}

#[test]
fn who_comes_late_gets_a_share() {
    let events = history(12, &[(1, 1000), (2, 6), (3, 6)]);
    let told = all(&events);
    let of = |numbers: std::ops::RangeInclusive<u64>| told.iter().filter(|one| numbers.contains(one)).count();
    let counts = [of(1..=1000), of(1001..=1006), of(1007..=1012)];
    assert_eq!((counts.iter().sum::<usize>(), events.len()), (12, 12));
    assert!(counts.iter().all(|count| *count >= 3), "{counts:?}");
}

#[test]
fn what_was_asked_for_comes_in_pages_and_in_order() {
    // 1, 3, 5 of one and 2, 4, 6 of another.
    let mut events = Events::new(1 << 20, STARTED);
    (1..=6).for_each(|sequence| events.push(&made(1 + sequence % 2, sequence)));
    let time = |ns: u64| Some(WallTime(100 + ns));
    let ask = Ask::default();
    for (ask, expected) in [
        (ask, vec![1, 2, 3, 4, 5, 6]),
        (Ask { after: 4, ..ask }, vec![5, 6]),
        (Ask { after: 6, ..ask }, vec![]),
        (Ask { after: 4, another_run: true, ..ask }, vec![1, 2, 3, 4, 5, 6]),
        (Ask { since: time(3), ..ask }, vec![3, 4, 5, 6]),
        (Ask { until: time(3), ..ask }, vec![1, 2, 3]),
        (Ask { since: time(2), until: time(5), ..ask }, vec![2, 3, 4, 5]),
        (Ask { first: Some(4), ..ask }, vec![1, 2, 3, 4]),
        (Ask { first: Some(2), since: time(3), ..ask }, vec![3, 4]),
        (Ask { last: Some(2), ..ask }, vec![5, 6]),
        (Ask { last: Some(9), ..ask }, vec![1, 2, 3, 4, 5, 6]),
        (Ask { last: Some(0), ..ask }, vec![]),
        (Ask { last: Some(2), until: time(5), ..ask }, vec![4, 5]),
    ] {
        let (told, pages, missing) = read(&events, ask);
        assert_eq!((&told, missing), (&expected, 0), "{ask:?}");
        assert!(pages == 1 + expected.len() / 3 || expected.len() % 3 == 0, "{ask:?}: {pages}");
    }
}

#[test]
fn it_gives_way_where_memory_is_short() {
    let (mut events, room) = (Events::new(32 << 20, STARTED), Room::default());
    events.share(&room);
    let mut sequence = 0;
    let mut come = |events: &mut Events, count: u64| {
        for _ in 0..count {
            sequence += 1;
            events.push(&made(1, sequence));
        }
        events.len()
    };
    let each = made(1, 1).bytes();
    assert_eq!(come(&mut events, 40_000), 40_000);
    // Others have theirs first.
    room.set((8 << 20) + 1_000 * each as u64);
    assert_eq!(come(&mut events, 1_000), 41_000);
    assert_eq!((room.left(), come(&mut events, 1_000)), (8 << 20, 41_000));
    assert!(!events.give_way());
    // There is less than half of that: all of it is to come back.
    room.set(3 << 20);
    assert!(events.give_way());
    let fewer = events.len();
    assert_eq!(41_000 - fewer, (5 << 20) / each + 1);
    assert_eq!((come(&mut events, 1_000), room.left()), (fewer, 3 << 20));
    let spared = (4 << 20) / each;
    room.set(0);
    while events.give_way() {}
    assert_eq!((events.len(), come(&mut events, 1_000)), (spared, spared));
    room.set(32 << 20);
    assert_eq!(come(&mut events, 20_000), spared + 20_000);
}

#[test]
fn who_has_little_keeps_it_where_memory_is_short() {
    let (mut events, room) = (Events::new(32 << 20, STARTED), Room::default());
    events.share(&room);
    let counts = [10_u64, 20_000, 30_000, 100];
    let mut sequence = 0;
    for (owner, count) in (1..).zip(counts) {
        for _ in 0..count {
            sequence += 1;
            events.push(&made(owner, sequence));
        }
    }
    room.set(0);
    while events.give_way() {}
    let (told, ..) = read(&events, Ask::default());
    let mut from = 0;
    let [few, many, most, some] = counts.map(|count| {
        from += count;
        told.iter().filter(|sequence| (from - count + 1..=from).contains(sequence)).count()
    });
    let spared = (4 << 20) / made(1, 1).bytes();
    assert_eq!((few, some, many), (10, 100, most));
    assert!((spared - 2..=spared).contains(&(few + many + most + some)), "{many} of {spared}");
}

#[test]
fn what_is_gone_is_counted() {
    let events = history(4, &[(1, 10)]);
    let reach = |ask: Ask| events.find(&ask, &Filters::default()).reach;
    let ask = Ask::default();
    assert_eq!((reach(ask).missing, reach(ask).complete_since), (6, WallTime(106)));
    assert_eq!(reach(ask).oldest, Some(WallTime(107)));
    assert_eq!(reach(Ask { after: 4, ..ask }).missing, 2);
    assert_eq!(reach(Ask { after: 6, ..ask }).missing, 0);
    assert_eq!(reach(Ask { last: Some(4), ..ask }).missing, 0);
    assert_eq!(reach(Ask { last: Some(5), ..ask }).missing, 6);
    assert_eq!(reach(Ask { since: Some(WallTime(107)), ..ask }).missing, 0);
    assert_eq!(reach(Ask { since: Some(WallTime(106)), ..ask }).missing, 6);
    assert_eq!(reach(Ask { after: 4, another_run: true, ..ask }).missing, 6);
    let fresh = history(9, &[(1, 3)]);
    assert_eq!(fresh.find(&ask, &Filters::default()).reach.complete_since, STARTED);
}

#[test]
fn a_memory_that_keeps_nothing_knows_nothing_of_what_follows() {
    let asked = Ask { after: 7, resumed: Some(STARTED), ..Ask::default() };
    let found = |capacity| Events::new(capacity, STARTED).find(&asked, &Filters::default());
    assert!(found(1 << 20).suffices, "nothing has come since");
    assert!(!found(0).suffices, "the recording may have more");
}

#[test]
fn a_stream_of_which_nothing_had_come_goes_on_in_this_run_alone() {
    let resumed = Ask { resumed: Some(STARTED), ..Ask::default() };
    let found = |events: &Events, ask| events.find(&ask, &Filters::default()).suffices;
    let all = history(9, &[(1, 3)]);
    assert!(found(&all, resumed), "what was recorded before is not asked for");
    assert!(!found(&all, Ask::default()) && !found(&all, Ask { another_run: true, ..resumed }));
    assert!(!found(&history(4, &[(1, 10)]), resumed), "what is gone may be recorded");
}

#[test]
fn all_of_a_time_is_found_however_many_there_are() {
    let now = crate::event::Now::default();
    let mut subscribers = crate::serve::Subscribers::new("node-1", crate::serve::Limits::default(), now);
    let all: Vec<_> = (1..=17_000).map(|sequence| made(1, sequence)).collect();
    subscribers.publish(&all);
    let (events, complete_since) = subscribers.between(WallTime(0), WallTime(u64::MAX));
    assert_eq!((numbers(&events), complete_since), ((1..=17_000).collect(), now.wall));
}
