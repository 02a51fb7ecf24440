//! The bounds.

use super::*;

/// What does not compress: its bytes come from a generator of random numbers.
fn noise(number: u64, bytes: usize) -> Block {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let node_name = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 90) as u8)
    });
    let node_name = node_name.take(bytes).collect();
    let told = v1::Event { sequence: number, node_name, ..v1::Event::default() };
    let mut filling = Filling::new(Kind::Events);
    let at = WallTime(number * S);
    filling.push(number, [at, at], &frame(&told.encode_to_vec()));
    filling.block()
}

#[test]
fn the_file_stays_within_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 16 << 20, ..Limits::default() };
    let store = opened(&folder, limits);
    let run = store.begin(WallTime(5)).unwrap();
    let (mut number, mut written, mut largest) = (0, 0, 0);
    while written < 8 * limits.bytes {
        let blocks: Vec<Block> = (0..4)
            .map(|place| {
                number += 1;
                noise(number, 10_000 + (number * 7 + place) as usize % 90_000)
            })
            .collect();
        written += blocks.iter().map(|block| block.data.len() as u64).sum::<u64>();
        store.commit(run, &batch(blocks), WallTime(number * S)).unwrap();
        let figures = store.figures();
        largest = largest.max(figures.file_bytes);
        assert!(figures.file_bytes <= limits.bytes, "{figures:?}");
    }
    // It makes use of what it may take.
    assert!(largest > limits.bytes * 7 / 8, "{largest}");
    let figures = store.figures();
    assert!(figures.used_bytes > limits.bytes * 3 / 4, "{figures:?}");
    let from = number - figures.events + 1;
    assert_eq!(figures.oldest, Some(WallTime(from * S)));
    let expected: Vec<String> = (from..=number).map(|number| format!("1.{number}")).collect();
    assert_eq!(forward(&store, Place::default()), expected);
    // Who was further back is told that something is missing.
    let behind = store.behind(WallTime(5), 3).unwrap().unwrap();
    assert_eq!(forward(&store, behind)[0], format!("1:MadeRoom {}", from - 4));
    // A smaller bound takes effect when it is opened.
    drop(store);
    let fewer = Limits { bytes: 4 << 20, ..limits };
    let store = opened(&folder, fewer);
    store.commit(run, &batch([noise(number + 1, 1000)]), WallTime((number + 1) * S)).unwrap();
    assert!(store.figures().used_bytes < fewer.bytes);
    drop(store);
    let store = opened(&folder, fewer);
    assert!(store.figures().file_bytes <= fewer.bytes, "{:?}", store.figures());
    assert_eq!(forward(&store, Place::default()).last(), Some(&format!("1.{}", number + 1)));
}

#[test]
fn what_is_too_old_goes() {
    let store = Store::in_memory(Limits { age_ns: 10 * S, ..Limits::default() }).unwrap();
    let first = store.begin(WallTime(5)).unwrap();
    store.commit(first, &batch([block(1..=3)]), WallTime(3 * S)).unwrap();
    let run = store.begin(WallTime(6)).unwrap();
    store.commit(run, &batch([block(4..=6), block(7..=9)]), WallTime(9 * S)).unwrap();
    assert_eq!(forward(&store, Place::default()).len(), 11);
    store.commit(run, &Batch { last_sequence: 9, ..Batch::default() }, WallTime(14 * S)).unwrap();
    assert_eq!(store.runs().unwrap().len(), 1);
    let told = forward(&store, Place::default());
    assert_eq!((told[0].as_str(), told.len()), ("2.4", 6), "{told:?}");
    store.commit(run, &Batch { last_sequence: 9, ..Batch::default() }, WallTime(40 * S)).unwrap();
    assert_eq!((store.figures().events, store.figures().used_bytes), (0, 0));
    assert_eq!(store.figures().oldest, None);
}

#[test]
fn windows_have_a_quarter() {
    let limits = Limits { bytes: 4 << 20, ..Limits::default() };
    let store = Store::in_memory(limits).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    for number in 1..=80 {
        let window = Block { kind: Kind::Windows, ..noise(number, 50_000) };
        store.commit(run, &batch([window, noise(number, 50_000)]), WallTime(number * S)).unwrap();
    }
    let state = store.state().clone();
    assert!(state.costs[1] <= limits.usable() / 4 && state.costs[1] > limits.usable() / 5, "{state:?}");
    assert!(state.used() <= limits.usable() && state.used() > limits.usable() * 9 / 10, "{state:?}");
}
