//! What is missing in the middle, and what belongs to it.

use super::*;

/// A block of the events with these numbers, all of one moment.
fn block_at(numbers: std::ops::RangeInclusive<u64>, at: WallTime) -> Block {
    let mut filling = Filling::new(Kind::Events);
    for number in numbers {
        filling.push(number, [at, at], &frame(&event(number, number % 3).encode_to_vec()));
    }
    filling.block()
}

/// One with an incident that keeps 4 to 5 s, and a hole behind that.
fn with_hole(folder: &TempDir) -> Store {
    let store = opened(folder, Limits { age_ns: 20 * S, ..Limits::default() });
    let run = store.begin(WallTime(5)).unwrap();
    let incident = v1::Incident { id: "a".to_owned(), ..v1::Incident::default() };
    store.put_incident(&v1::StoredIncident { incident: Some(incident), opening: None }).unwrap();
    store.keep("a", WallTime(4 * S), WallTime(5 * S)).unwrap();
    let amended = (1..=30).map(|number| (number, frame(&event(number, 9).encode_to_vec()).into())).collect();
    let gaps = vec![(8, gap("in the hole", None))];
    let blocks = [block(1..=3), block(4..=6), block(7..=9), block(10..=30)];
    store.commit(run, &Batch { gaps, amended, ..batch(blocks) }, WallTime(31 * S)).unwrap();
    store
}

#[test]
fn who_begins_in_a_hole_is_told_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_hole(&folder);
    let from = store.at(Kind::Events, WallTime(8 * S)).unwrap();
    assert_eq!(forward(&store, from)[..2], ["1:MadeRoom 3", "1.10"]);
    let reach = |store: &Store| (store.figures().oldest, store.figures().complete_since);
    assert_eq!(reach(&store), (Some(WallTime(4 * S)), Some(WallTime(10 * S))));
    store.reopen().unwrap();
    assert_eq!(reach(&store), (Some(WallTime(4 * S)), Some(WallTime(10 * S))));
}

#[test]
fn what_belongs_to_a_hole_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_hole(&folder);
    let numbers = store.read(|read| {
        let all = read.open_table(tables::AMENDED)?;
        let rows = redb::ReadableTable::iter(&all)?.map(|row| Ok(row?.0.value().1));
        rows.collect::<Result<Vec<u64>>>()
    });
    assert_eq!(numbers.unwrap(), [vec![4, 5, 6], (10..=30).collect()].concat());
    let small = store.state().small;
    store.reopen().unwrap();
    assert_eq!(store.state().small, small);
    assert!(small > 24 * 32);
}

#[test]
fn a_gap_at_the_edge_of_what_is_exported_is_exported() {
    let store = Store::in_memory(Limits::default()).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    let at = |seconds| Some(crate::wire::timestamp(WallTime(seconds * S)));
    let paused = v1::Gap { since: at(3), until: at(8), ..gap("paused", Some(4)) };
    let more = Batch { gaps: vec![(3, paused)], ..batch([block(1..=3), block(8..=9)]) };
    store.commit(run, &more, WallTime(9 * S)).unwrap();
    let gaps = |since, until| {
        let mut found = 0;
        let take = |part| {
            found += usize::from(matches!(part, Raw::Gap(..)));
            Ok::<_, StoreError>(())
        };
        store.export([WallTime(since * S), WallTime(until * S)], take).unwrap();
        found
    };
    assert_eq!([gaps(1, 3), gaps(4, 7), gaps(5, 9), gaps(9, 9), gaps(1, 2)], [1, 1, 1, 0, 0]);
}

#[test]
fn what_is_behind_a_damaged_block_is_read() {
    let store = Store::in_memory(Limits::default()).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    store.commit(run, &batch([block(1..=3), block(4..=6), block(7..=9)]), WallTime(9 * S)).unwrap();
    let damage = store.write(|write, _| {
        write.open_table(SLICES)?.insert((2, 0), &[0xff; 20][..])?;
        Ok(())
    });
    damage.unwrap();
    let told = forward(&store, Place::default());
    let damaged = "1:Unspecifiedwhat is recorded of it is damaged 3";
    assert_eq!(told, ["1.1", "1.2", "1.3", damaged, "1.7", "1.8", "1.9"]);
}

#[test]
fn what_a_wrong_clock_told_grows_old_with_what_came_after_it() {
    let age = 100 * S;
    let store = Store::in_memory(Limits { age_ns: age, ..Limits::default() }).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    let wrong = WallTime(1_000_000 * S);
    store.commit(run, &batch([block_at(1..=3, wrong)]), wrong).unwrap();
    let now = WallTime(1_000 * S);
    store.commit(run, &batch([block_at(4..=6, now)]), now).unwrap();
    assert_eq!(store.figures().events, 6);
    let later = WallTime(1_000 * S + age + S);
    store.commit(run, &batch([block_at(7..=9, later)]), later).unwrap();
    assert_eq!(forward(&store, Place::default()), ["1.7", "1.8", "1.9"]);
}
