//! kill -9 at any moment: what was handed over more than a second before is there, in order, and nothing twice.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use prost::Message as _;

use crate::event::examples::{close, event, pod, tcp};
use crate::event::{Counters, Event, Now};
use crate::inventory::host;
use crate::record::shared::Disk;
use crate::record::{Limits, Place, Recorded, Recorder, Settings, Store};
use crate::wire::Published;

/// Tells the process that is to be killed where it records.
const FOLDER: &str = "OBSERVER_TEST_RECORDS";
/// So often it is killed.
const KILLS: u64 = 100;
/// Small, so that room is made as well.
const LIMITS: Limits = Limits { bytes: 16 << 20, age_ns: u64::MAX };
/// Events of a round, and rounds of 5 ms.
const ROUND: u64 = 100;

/// A process of its own, which records as fast as it is told and says what it has handed over. Not a test by itself.
#[test]
fn a_recorder_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let start = host::now();
    let settings = Settings {
        folder: Path::new(&folder).to_owned(),
        limits: LIMITS,
        start: start.wall,
        disk: Disk::Real,
    };
    let mut recorder = Recorder::start(settings).unwrap();
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nbegins {}", start.wall.0).unwrap();
    for round in 0.. {
        let now = host::now();
        let told = (1..=ROUND).map(|place| published(round * ROUND + place, now)).collect();
        recorder.publish(told);
        assert_eq!(recorder.take_missed(), 0);
        writeln!(out, "handed {} {}", (round + 1) * ROUND, now.boot.0).unwrap();
        sleep(Duration::from_millis(5));
    }
}

fn published(sequence: u64, now: Now) -> Arc<Published> {
    let workload = pod(1, "shop", &format!("web-{}", sequence % 7));
    // Not all alike, so that the bound is reached.
    let detail = close(
        &tcp(sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15), true, "10.0.0.2:80", None),
        Counters::default(),
    );
    let made = event(&workload, 1, detail);
    let made = Event { sequence, time: now.wall, boot_time: now.boot, ..made };
    Published::new(&Arc::new(made), &"node-1".into())
}

fn start(folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "record::tests::killed::a_recorder_that_is_killed", "--nocapture"]);
    command.env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What a process said before it was killed: its start, and what it had handed over when.
fn said(child: &mut Child) -> (u64, Vec<(u64, u64)>) {
    let (mut begin, mut handed) = (0, Vec::new());
    for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["begins", start] => begin = start.parse().unwrap(),
            ["handed", number, at] => {
                if let (Ok(number), Ok(at)) = (number.parse(), at.parse()) {
                    handed.push((number, at));
                }
            }
            _ => {}
        }
    }
    (begin, handed)
}

#[test]
fn what_is_older_than_a_second_is_there_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (mut total, mut opened) = (0, Duration::ZERO);
    for kill in 0..KILLS {
        let mut child = start(folder.path());
        // Some while it opens, some in the middle of a commit, some just behind one.
        sleep(Duration::from_millis(if kill % 10 == 9 { 1_200 } else { 40 } + (kill * 7_919) % 260));
        child.kill().unwrap();
        child.wait().unwrap();
        let killed = host::now().boot.0;
        let (begin, handed) = said(&mut child);
        let began = Instant::now();
        let store = Store::open(folder.path(), LIMITS, host::now().wall).unwrap();
        opened += began.elapsed();
        let numbers = numbers(&store, begin);
        // As a block of a run that made room begins anywhere, and ends with the last that is there.
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{kill}: {numbers:?}");
        let before = killed - 1_000_000_000;
        let due = handed.iter().rev().find(|(_, at)| *at < before).map_or(0, |(number, _)| *number);
        let last = numbers.last().copied().unwrap_or(0);
        assert!(last >= due, "{kill}: {last} of {due} are there");
        assert!(handed.last().is_none_or(|(number, _)| last <= number + ROUND), "{kill}: {last}");
        total += last;
    }
    assert!(total > 10_000, "{total}");
    assert!(opened < Duration::from_secs(30), "{opened:?}");
    // Each run is told from the one before as killed.
    let store = Store::open(folder.path(), LIMITS, host::now().wall).unwrap();
    assert!(store.figures().file_bytes <= LIMITS.bytes, "{:?}", store.figures());
    assert!(store.runs().unwrap().len() > 1);
}

/// The numbers that are there of the run that began then.
fn numbers(store: &Store, start: u64) -> Vec<u64> {
    let (mut numbers, mut place) = (Vec::new(), Place::default());
    while let Some(chunk) = store.forward(place).unwrap() {
        place = chunk.after;
        for one in &chunk.items {
            let Recorded::Event { sequence, event, .. } = one else { continue };
            assert_eq!(observer_proto::v1::Event::decode(event.clone()).unwrap().sequence, *sequence);
            if chunk.run.start().0 == start {
                numbers.push(*sequence);
            }
        }
    }
    numbers
}
