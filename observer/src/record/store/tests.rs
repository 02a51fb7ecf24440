//! What is written is read again, in order, in both directions, within the bounds.

mod bounds;
mod faults;
mod holes;
mod incidents;

use observer_proto::v1;
use prost::Message as _;
use tempfile::TempDir;

use super::*;
use crate::record::block::Filling;
use crate::record::block::frame;

/// A second.
const S: u64 = 1_000_000_000;

fn event(sequence: u64, cgroup: u64) -> v1::Event {
    let workload = v1::Workload { cgroup_id: cgroup, ..v1::Workload::default() };
    let workload = Some(workload);
    v1::Event { sequence, node_name: "node".to_owned(), workload, ..v1::Event::default() }
}

/// A block of the events with these numbers, one a second.
fn block(numbers: std::ops::RangeInclusive<u64>) -> Block {
    let mut filling = Filling::new(Kind::Events);
    for number in numbers {
        let at = WallTime(number * S);
        filling.push(number, [at, at], &frame(&event(number, number % 3).encode_to_vec()));
    }
    filling.block()
}

fn batch(blocks: impl IntoIterator<Item = Block>) -> Batch {
    let blocks: Vec<Block> = blocks.into_iter().collect();
    let last_sequence = blocks.last().map_or(0, |block| block.last);
    Batch { blocks, last_sequence, ..Batch::default() }
}

fn gap(message: &str, count: Option<u64>) -> v1::Gap {
    v1::Gap { message: message.to_owned(), count, ..v1::Gap::default() }
}

/// In words: numbers of events, and what the gaps say, run by run.
fn words(chunk: &Chunk) -> Vec<String> {
    let run = chunk.run.number;
    let words = chunk.items.iter().map(|one| match one {
        Recorded::Event { sequence, payload, event } => {
            let told = v1::Event::decode(event.clone()).unwrap();
            assert_eq!((told.sequence, &frame(event)[..]), (*sequence, &payload[..]));
            format!("{run}.{sequence}")
        }
        Recorded::Gap(gap) => {
            let count = gap.count.map_or_else(String::new, |count| format!(" {count}"));
            format!("{run}:{:?}{}{count}", gap.reason(), gap.message)
        }
    });
    words.collect()
}

fn forward(store: &Store, mut from: Place) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(chunk) = store.forward(from).unwrap() {
        assert!(chunk.after > from && chunk.before >= from, "{from:?} {chunk:?}");
        told.extend(words(&chunk));
        from = chunk.after;
    }
    told
}

fn backward(store: &Store) -> Vec<String> {
    let (mut told, mut to) = (Vec::new(), Place::END);
    while let Some(chunk) = store.backward(to).unwrap() {
        assert!(chunk.before < to && chunk.after <= to, "{to:?} {chunk:?}");
        told.push(words(&chunk));
        to = chunk.before;
    }
    told.into_iter().rev().flatten().collect()
}

fn opened(folder: &TempDir, limits: Limits) -> Store {
    Store::open(folder.path(), limits, WallTime(S)).unwrap()
}

#[test]
fn what_is_written_is_read_in_both_directions() {
    let store = Store::in_memory(Limits::default()).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    assert_eq!(forward(&store, Place::default()), Vec::<String>::new());
    store.commit(run, &batch([block(1..=3), block(4..=5)]), WallTime(5 * S)).unwrap();
    // The open block is written again.
    store.commit(run, &batch([block(4..=6)]), WallTime(6 * S)).unwrap();
    let expected: Vec<String> = (1..=6).map(|number| format!("1.{number}")).collect();
    assert_eq!(forward(&store, Place::default()), expected);
    assert_eq!(backward(&store), expected);
    for after in 0..=6 {
        let from = store.behind(WallTime(5), after).unwrap().unwrap();
        assert_eq!(forward(&store, from), expected[after as usize..]);
    }
    assert_eq!(store.behind(WallTime(6), 1).unwrap(), None);
    assert_eq!(store.figures().events, 6);
    assert_eq!(store.figures().oldest, Some(WallTime(S)));
    let from = store.at(Kind::Events, WallTime(4 * S)).unwrap();
    assert_eq!(forward(&store, from), expected[3..]);
    let from = store.at(Kind::Events, WallTime(7 * S)).unwrap();
    assert_eq!(forward(&store, from), Vec::<String>::new());
}

#[test]
fn what_is_missing_is_told_in_its_place() {
    let store = Store::in_memory(Limits::default()).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    let gaps = vec![(0, gap("a", None)), (2, gap("b", None)), (3, gap("c", Some(2))), (3, gap("d", None))];
    store.commit(run, &Batch { gaps, ..batch([block(1..=3), block(6..=7)]) }, WallTime(7 * S)).unwrap();
    let of = "Unspecified";
    let expected = [
        format!("1:{of}a"),
        "1.1".to_owned(),
        "1.2".to_owned(),
        format!("1:{of}b"),
        "1.3".to_owned(),
        format!("1:{of}c 2"),
        format!("1:{of}d"),
        "1.6".to_owned(),
        "1.7".to_owned(),
    ];
    assert_eq!(forward(&store, Place::default()), expected);
    assert_eq!(backward(&store), expected);
    // Nothing follows yet, and then a gap alone does.
    let end = store.behind(WallTime(5), 7).unwrap().unwrap();
    assert_eq!(store.forward(end).unwrap(), None);
    let more = Batch { gaps: vec![(7, gap("e", None))], last_sequence: 7, ..Batch::default() };
    store.commit(run, &more, WallTime(8 * S)).unwrap();
    let chunk = store.forward(end).unwrap().unwrap();
    assert_eq!((words(&chunk), chunk.after), (vec![format!("1:{of}e")], Place { gaps: 1, ..end }));
    assert_eq!(store.forward(chunk.after).unwrap(), None);
}

#[test]
fn runs_follow_each_other_with_what_is_missing_between() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder, Limits::default());
    let run = store.begin(WallTime(5)).unwrap();
    assert_eq!(store.begin(WallTime(5)).unwrap(), run);
    store.commit(run, &batch([block(1..=2)]), WallTime(2 * S)).unwrap();
    drop(store);
    let store = opened(&folder, Limits::default());
    // It was killed; the next one is stopped.
    let run = store.begin(WallTime(6)).unwrap();
    assert_eq!(run, 2);
    let last = Batch { ended: true, last_sequence: 3, ..batch([block(1..=3)]) };
    store.commit(run, &last, WallTime(3 * S)).unwrap();
    let run = store.begin(WallTime(7)).unwrap();
    let killed = "2:Killed".to_owned();
    let mut expected = vec!["1.1".to_owned(), "1.2".into(), killed, "2.1".into(), "2.2".into(), "2.3".into()];
    expected.push("3:NotRunning".to_owned());
    assert_eq!(forward(&store, Place::default()), expected);
    store.commit(run, &batch([block(1..=1)]), WallTime(4 * S)).unwrap();
    expected.push("3.1".to_owned());
    assert_eq!(forward(&store, Place::default()), expected);
    assert_eq!(backward(&store), expected);
    let from = store.behind(WallTime(6), 2).unwrap().unwrap();
    assert_eq!(forward(&store, from), expected[5..]);
    // Of a run that is not known only what came later is new.
    let later = |start| forward(&store, store.later_than(WallTime(start)).unwrap());
    assert_eq!((later(5), later(6), later(7)), (expected[2..].to_vec(), expected[6..].to_vec(), Vec::new()));
    let gap = store.forward(Place { run: 3, after: 0, gaps: 0 }).unwrap().unwrap().items.remove(0);
    let Recorded::Gap(gap) = gap else { panic!("{gap:?}") };
    assert_eq!(
        (wall_time(gap.since.as_ref()), wall_time(gap.until.as_ref())),
        (WallTime(3 * S), WallTime(7))
    );
    assert_eq!(wall_time(gap.start_time.as_ref()), WallTime(7));
}

#[test]
fn what_became_known_later_is_told() {
    let store = Store::in_memory(Limits::default()).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    store.commit(run, &batch([block(1..=9)]), WallTime(9 * S)).unwrap();
    let newer = v1::Event { node_name: "newer".to_owned(), ..event(2, 2) };
    let named = v1::Workload { cgroup_id: 1, pod: "web".to_owned(), ..v1::Workload::default() };
    let more = Batch {
        amended: vec![(2, frame(&newer.encode_to_vec()).into())],
        completed: vec![(1, 5, named.encode_to_vec().into())],
        last_sequence: 9,
        ..Batch::default()
    };
    store.commit(run, &more, WallTime(9 * S)).unwrap();
    let chunk = store.forward(Place::default()).unwrap().unwrap();
    words(&chunk);
    for one in &chunk.items {
        let Recorded::Event { sequence, event: told, .. } = one else { panic!("{one:?}") };
        let told = v1::Event::decode(told.clone()).unwrap();
        let expected = match sequence {
            2 => newer.clone(),
            1 | 4 => v1::Event { workload: Some(named.clone()), ..event(*sequence, 1) },
            _ => event(*sequence, sequence % 3),
        };
        assert_eq!(told, expected);
    }
}

#[test]
fn what_is_exported_is_the_same_elsewhere() {
    let store = Store::in_memory(Limits::default()).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    let gaps = vec![(4, gap("b", None))];
    let amended = vec![(2, frame(&event(2, 7).encode_to_vec()).into())];
    let completed =
        vec![(1, 5, v1::Workload { cgroup_id: 1, ..v1::Workload::default() }.encode_to_vec().into())];
    let all = Batch { gaps, amended, completed, ..batch([block(1..=3), block(4..=6), block(7..=9)]) };
    store.commit(run, &all, WallTime(9 * S)).unwrap();
    let run = store.begin(WallTime(6)).unwrap();
    store.commit(run, &batch([block(1..=3)]), WallTime(9 * S)).unwrap();
    let mut parts = Vec::new();
    let collect = |part| {
        parts.push(part);
        Ok::<_, StoreError>(())
    };
    store.export([WallTime(0), WallTime(u64::MAX)], collect).unwrap();
    let other = Store::in_memory(Limits { age_ns: u64::MAX, ..Limits::default() }).unwrap();
    other.take_in(parts, WallTime(9 * S)).unwrap();
    let read = |store: &Store| {
        let (mut items, mut from) = (Vec::new(), Place::default());
        while let Some(chunk) = store.forward(from).unwrap() {
            items.extend(chunk.items);
            from = chunk.after;
        }
        items
    };
    assert_eq!(read(&store), read(&other));
    assert_eq!(store.runs().unwrap(), other.runs().unwrap());
    let mut numbers = Vec::new();
    let collect = |part| {
        if let Raw::Block(block) = part {
            numbers.push((block.first, block.last));
        }
        Ok::<_, StoreError>(())
    };
    store.export([WallTime(5 * S), WallTime(6 * S)], collect).unwrap();
    assert_eq!(numbers, [(4, 6)]);
}
