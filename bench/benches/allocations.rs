//! How often the pure stages ask for memory, for each event, once all tables are as full as they get: prints JSON.
#![allow(unsafe_code, reason = "an allocator is unsafe by its nature")]
#![allow(clippy::print_stdout, reason = "the figures are its output")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use observer::bench::{Aggregation, Attribution, Events, Raw, connections, decode, processes};

/// Rounds before it is counted, and rounds that are: windows end in both.
const BEFORE: u64 = 400;
const COUNTED: u64 = 400;

/// What happens in a round.
type Happening = (&'static str, fn(u64) -> Raw);

/// The system's allocator, which counts what it is asked for.
struct Counting;

static ASKED: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: all is done by the system's allocator; the count touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps to the same rules.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the same rules.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps to the same rules.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Adds what `work` asks for.
fn counted<T>(sum: &mut u64, work: impl FnOnce() -> T) -> T {
    let before = ASKED.load(Ordering::Relaxed);
    let result = work();
    *sum += ASKED.load(Ordering::Relaxed) - before;
    result
}

fn main() {
    let happenings: [Happening; 2] =
        [("connections", |round| connections(round, 1000)), ("processes", |round| processes(round, 500))];
    let mut told = BTreeMap::new();
    for (name, raw) in happenings {
        let (mut attribution, mut aggregation) = (Attribution::default(), Aggregation::default());
        let (mut sums, mut count, mut windows) = ([0; 3], 0, 0);
        let mut events = Events::default();
        for round in 0..BEFORE + COUNTED {
            if round == BEFORE {
                (sums, count, windows) = ([0; 3], 0, 0);
            }
            let raw = raw(round);
            let records = counted(&mut sums[0], || decode(&raw));
            counted(&mut sums[1], || attribution.attribute(records, round, &mut events));
            windows += counted(&mut sums[2], || aggregation.aggregate(&events, round));
            count += events.count();
        }
        assert!(count > 0 && windows > 0, "{count} events in {windows} windows");
        for (stage, sum) in ["decode", "attribute", "aggregate"].into_iter().zip(sums) {
            told.insert(format!("{stage}_{name}"), (sum as f64 / count as f64 * 1000.0).round() / 1000.0);
        }
    }
    let figures: Vec<String> = told.iter().map(|(name, figure)| format!("\"{name}\":{figure}")).collect();
    println!("{{{}}}", figures.join(","));
}
