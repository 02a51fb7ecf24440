//! An hour of a node, by a clock of its own, and many times what there is room for.

use std::sync::Arc;
use std::time::Duration;

use observer_proto::served;

use crate::event::examples::{close, event, pod, tcp};
use crate::event::{BootTime, Counters, Event, Now, WallTime};
use crate::filter::{Filters, Purpose};
use crate::inventory::host;
use crate::record::Limits;
use crate::record::trial::Trial;

const S: u64 = 1_000_000_000;
/// Events of a second: of the 20,000 that a node may have a part, so that an hour takes seconds in a build without
/// optimizations.
const A_SECOND: u64 = 50;
const SECONDS: u64 = 3_600;

fn at(second: u64) -> Now {
    Now { boot: BootTime(second * S), wall: WallTime(1_700_000_000 * S + second * S) }
}

/// Events of a second: their connections are told apart by numbers that do not repeat, so they compress little.
fn events(second: u64) -> Vec<Arc<Event>> {
    let now = at(second);
    let made = (1..=A_SECOND).map(|place| {
        let sequence = second * A_SECOND + place;
        let noise = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let workload = pod(1 + noise % 50, "shop", &format!("web-{}", noise % 50));
        let remote = format!("10.{}.{}.{}:80", noise >> 56, noise >> 48 & 255, noise >> 40 & 255);
        let made = event(&workload, 1, close(&tcp(noise, true, &remote, None), Counters::default()));
        Arc::new(Event { sequence, time: now.wall, boot_time: now.boot, ..made })
    });
    made.collect()
}

#[test]
fn an_hour_stays_within_its_bounds() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let limits = Limits { bytes: 4 << 20, age_ns: 30 * 60 * S };
    let mut trial = Trial::new(folder.path(), limits, at(0));
    let mut spent = Duration::ZERO;
    for second in 0..SECONDS {
        let events = events(second);
        let before = host::thread_time();
        trial.record(&events, at(second));
        spent += host::thread_time().saturating_sub(before);
        let figures = trial.figures();
        assert!(figures.file_bytes <= limits.bytes, "{second}: {figures:?}");
        let oldest = figures.oldest.map_or(0, |oldest| at(second).wall.0 - oldest.0);
        assert!(oldest <= limits.age_ns + 60 * S, "{second}: {oldest} ns");
    }
    let figures = trial.figures();
    let all = SECONDS * A_SECOND;
    assert_eq!(trial.missed(), 0, "there is no room for the test itself");
    // Much more came than there is room for, and what there is room for is there.
    assert!(figures.events < all * 3 / 4 && figures.used_bytes > limits.bytes / 2, "{figures:?} of {all}");
    assert!(trial.commits() <= SECONDS, "{}", trial.commits());
    // Without optimizations it takes ten times as long.
    let each = spent.as_nanos() as u64 / all;
    assert!(each < 100_000, "{each} ns for each event");

    let filter = served::Filter { pods: vec!["shop/web-7".to_owned()], ..served::Filter::default() };
    let filters = Filters::compile(vec![filter], Vec::new(), Purpose::Events, "node-1").unwrap();
    let began = host::thread_time();
    let read = trial.replay(&filters, u64::MAX);
    let each = host::thread_time().saturating_sub(began).as_nanos() as u64 / read.events;
    assert_eq!(read.events, figures.events);
    assert!(read.passed > read.events / 100 && read.passed < read.events / 25, "{read:?}");
    assert!(each < 50_000, "{each} ns for each event");
}
