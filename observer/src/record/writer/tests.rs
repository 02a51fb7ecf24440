//! What is written when, what waits, and what is missing when it cannot be written: by a clock of the test's own.

use std::sync::atomic::{AtomicU64, Ordering};

use observer_proto::v1;
use prost::Message as _;
use tempfile::TempDir;

use super::*;
use crate::event::Event;
use crate::event::examples::{close, event, pod, tcp};
use crate::event::{Counters, WallTime};
use crate::record::ranges::{OfTime, RecordedWindows};
use crate::record::shared::{Disk, Settings};
use crate::record::store::{Place, Recorded};

const S: u64 = 1_000_000_000;
const START: u64 = 1_000 * S;

struct Setting {
    folder: TempDir,
    shared: Arc<Shared>,
    writer: Writer,
    disk: &'static AtomicU64,
}

fn at(ns: u64) -> Now {
    Now { boot: BootTime(ns), wall: WallTime(START + ns) }
}

fn settings(folder: &TempDir, start: u64, disk: &'static AtomicU64) -> Settings {
    let limits = Limits { bytes: 16 << 20, ..Limits::default() };
    Settings { folder: folder.path().to_owned(), limits, start: WallTime(start), disk: Disk::Has(disk) }
}

impl Setting {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(1 << 40)));
        let shared = Arc::new(Shared::new(settings(&folder, START, disk)));
        let writer = Writer::new(Arc::clone(&shared), at(0));
        Self { folder, shared, writer, disk }
    }

    fn events(&mut self, numbers: std::ops::RangeInclusive<u64>, ns: u64) {
        let told: Vec<_> = numbers.map(|number| published(number, ns)).collect();
        self.writer.events(&told, at(ns));
    }

    /// What is on disk: numbers, and gaps in words.
    fn told(&self) -> Vec<String> {
        let store = self.shared.store().unwrap();
        let (mut told, mut place) = (Vec::new(), Place::default());
        while let Some(chunk) = store.forward(place).unwrap() {
            place = chunk.after;
            told.extend(chunk.items.iter().map(|one| match one {
                Recorded::Event { sequence, .. } => sequence.to_string(),
                Recorded::Gap(gap) => format!("{:?} {:?} {}", gap.reason(), gap.count, gap.message),
            }));
        }
        told
    }
}

fn published(sequence: u64, ns: u64) -> Arc<Published> {
    let workload = pod(1, "shop", "web");
    let detail = close(&tcp(sequence, true, "10.0.0.2:80", None), Counters::default());
    let made = event(&workload, sequence, detail);
    let made = Event { sequence, time: WallTime(START + ns), boot_time: BootTime(ns), ..made };
    Published::new(&Arc::new(made), &"node-1".into())
}

fn numbers(numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

#[test]
fn what_is_new_is_written_within_a_second_and_else_nothing_is() {
    let mut of = Setting::new();
    assert_eq!(of.writer.tick(at(S)), RETRY_NS);
    of.events(1..=3, 2 * S);
    assert_eq!(of.writer.tick(at(2 * S + 1)), COMMIT_NS - 1);
    assert_eq!(of.told(), Vec::<String>::new());
    of.writer.tick(at(2 * S + COMMIT_NS));
    assert_eq!(of.told(), numbers(1..=3));
    assert_eq!(of.shared.counts().commits, 1);
    for second in 3..100 {
        of.writer.tick(at(second * S));
    }
    assert_eq!(of.shared.counts().commits, 1);
    // Somebody who wants to read it now.
    of.events(4..=4, 100 * S);
    of.writer.commit(at(100 * S));
    assert_eq!(of.told(), numbers(1..=4));
}

#[test]
fn full_blocks_and_open_ones_make_one_record() {
    let mut of = Setting::new();
    let mut expected = Vec::new();
    for second in 1..=20 {
        let first = (second - 1) * 331 + 1;
        of.events(first..=first + 330, second * S);
        of.writer.tick(at(second * S + COMMIT_NS));
        expected.extend(numbers(first..=first + 330));
        assert_eq!(of.told(), expected, "{second}");
    }
    let store = of.shared.store().unwrap();
    assert!(store.figures().used_bytes < 1 << 20, "{:?}", store.figures());
}

#[test]
fn a_full_disk_pauses_it_and_it_goes_on_by_itself() {
    let mut of = Setting::new();
    of.events(1..=3, S);
    of.writer.tick(at(2 * S));
    of.disk.store(1_000, Ordering::Relaxed);
    of.events(4..=5, 3 * S);
    of.writer.tick(at(4 * S));
    let Standing::Paused(reason) = of.shared.standing() else { panic!("{:?}", of.shared.standing()) };
    assert!(reason.contains("the disk is full: 1000 bytes are left"), "{reason}");
    // What was taken in before waits, what comes now is missing.
    of.events(6..=9, 5 * S);
    of.writer.tick(at(6 * S));
    assert_eq!(of.told(), numbers(1..=3));
    of.disk.store(1 << 40, Ordering::Relaxed);
    of.writer.tick(at(6 * S));
    assert_eq!(of.told(), numbers(1..=3));
    of.writer.tick(at(20 * S));
    assert_eq!(of.shared.standing(), Standing::Recording);
    of.events(10..=11, 21 * S);
    of.writer.tick(at(22 * S));
    let mut expected = numbers(1..=5);
    expected.push(format!("Paused Some(4) {reason}"));
    expected.extend(numbers(10..=11));
    assert_eq!(of.told(), expected);
    let counts = of.shared.counts();
    assert_eq!((counts.errors, counts.missed), (1, 4));
}

#[test]
fn a_folder_that_comes_later_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let disk: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(1 << 40)));
    let settings = settings(&folder, START, disk);
    let blocked = Settings { folder: folder.path().join("a"), ..settings };
    std::fs::write(folder.path().join("a"), b"no folder").unwrap();
    let shared = Arc::new(Shared::new(blocked));
    let mut writer = Writer::new(Arc::clone(&shared), at(0));
    assert!(matches!(shared.standing(), Standing::Paused(_)), "{:?}", shared.standing());
    writer.events(&[published(1, S)], at(S));
    std::fs::remove_file(folder.path().join("a")).unwrap();
    writer.tick(at(10 * S));
    assert_eq!(shared.standing(), Standing::Recording);
    writer.events(&[published(2, 11 * S)], at(11 * S));
    writer.tick(at(12 * S));
    let of = Setting { folder, shared, writer, disk };
    let told = of.told();
    assert!(told[0].starts_with("Paused Some(1) cannot use") && told[1..] == ["2"], "{told:?}");
}

#[test]
fn what_nobody_had_time_for_is_told() {
    let mut of = Setting::new();
    of.events(1..=3, S);
    of.writer.behind(4, 3, [WallTime(START + S), WallTime(START + 2 * S)], at(2 * S));
    of.events(8..=9, 2 * S);
    of.writer.commit(at(2 * S));
    let gap = vec!["Behind Some(4) ".to_owned()];
    assert_eq!(of.told(), [numbers(1..=3), gap, numbers(8..=9)].concat());
}

#[test]
fn a_run_that_is_stopped_is_told_from_one_that_is_killed() {
    let mut of = Setting::new();
    of.events(1..=2, S);
    of.writer.stop(at(2 * S));
    let Setting { folder, shared, writer, disk } = of;
    drop((shared, writer));
    let shared = Arc::new(Shared::new(settings(&folder, START + 5 * S, disk)));
    let writer = Writer::new(Arc::clone(&shared), at(5 * S));
    let mut of = Setting { folder, shared, writer, disk };
    of.events(1..=1, 6 * S);
    of.writer.commit(at(6 * S));
    assert_eq!(of.told(), ["1", "2", "NotRunning None ", "1"]);
    // Killed: nothing more is written.
    let Setting { folder, shared, writer, disk } = of;
    drop((shared, writer));
    let shared = Arc::new(Shared::new(settings(&folder, START + 9 * S, disk)));
    let writer = Writer::new(Arc::clone(&shared), at(9 * S));
    let of = Setting { folder, shared, writer, disk };
    assert_eq!(of.told(), ["1", "2", "NotRunning None ", "1", "Killed None "]);
}

#[test]
fn what_becomes_known_late_is_recorded() {
    let mut of = Setting::new();
    of.events(1..=2, S);
    of.writer.commit(at(S));
    let named = crate::event::Workload { pod: "named".to_owned(), ..(*pod(1, "shop", "web")).clone() };
    of.writer.complete(&named, 1, at(2 * S));
    of.writer.tick(at(3 * S));
    let store = of.shared.store().unwrap();
    let chunk = store.forward(Place::default()).unwrap().unwrap();
    let pods = chunk.items.iter().map(|one| match one {
        Recorded::Event { event, .. } => v1::Event::decode(event.clone()).unwrap().workload.unwrap().pod,
        Recorded::Gap(gap) => panic!("{gap:?}"),
    });
    assert_eq!(pods.collect::<Vec<_>>(), ["named", "web"]);
    assert!(of.folder.path().join("observer.redb").exists());
}

#[test]
fn a_full_disk_closes_nothing() {
    let mut of = Setting::new();
    of.events(1..=3, S);
    of.writer.tick(at(2 * S));
    of.disk.store(1_000, Ordering::Relaxed);
    of.events(4..=5, 3 * S);
    of.writer.tick(at(4 * S));
    assert!(matches!(of.shared.standing(), Standing::Paused(_)));
    // If it were opened anew, it would be made.
    std::fs::remove_file(of.folder.path().join("observer.redb")).unwrap();
    of.writer.tick(at(20 * S));
    assert!(!of.folder.path().join("observer.redb").exists());
    assert_eq!(of.told(), numbers(1..=3));
}

#[test]
fn who_reads_has_the_window_that_is_not_long_enough_yet() {
    let mut of = Setting::new();
    let window = Window { start: BootTime(S), length_ns: S, ..Window::default() };
    of.writer.window(&window, at(2 * S));
    of.writer.commit_all(at(2 * S));
    let store = of.shared.store().unwrap();
    let (_, windows) = store.windows(Place::default()).unwrap().unwrap();
    assert_eq!(windows.len(), 1);
}

#[test]
fn what_is_missing_between_windows_is_told() {
    let mut of = Setting::new();
    let window = |start: u64| Window { start: BootTime(start * S), length_ns: 10 * S, ..Window::default() };
    for start in [0, 10] {
        of.writer.window(&window(start), at((start + 10) * S));
    }
    of.writer.commit_all(at(20 * S));
    // Killed: nothing more is written.
    let Setting { folder, disk, writer, shared } = of;
    drop((writer, shared));
    let shared = Arc::new(Shared::new(settings(&folder, START + 60 * S, disk)));
    let mut writer = Writer::new(Arc::clone(&shared), at(60 * S));
    writer.window(&window(60), at(70 * S));
    writer.commit_all(at(70 * S));
    let store = shared.store().unwrap();
    let told = |range: [u64; 2]| {
        let mut windows = RecordedWindows::of(range.map(|s| WallTime(START + s * S)));
        let mut told = Vec::new();
        while let Some(some) = windows.next(&store).unwrap() {
            told.extend(some.into_iter().map(|one| match one {
                OfTime::Window(window) => format!("{}", (window.start.0 - START) / S),
                OfTime::Gap(gap) => format!("{:?}", gap.reason()),
            }));
        }
        told
    };
    assert_eq!(told([0, 100]), ["0", "10", "Killed", "60"]);
    assert_eq!(told([5, 15]), ["10"], "the window in which the time begins is not of it");
    assert_eq!(told([30, 100]), ["Killed", "60"]);
    assert_eq!(told([30, 50]), ["Killed"]);
}
