//! kill -9 at any moment: what was written before is there, in order, and nothing twice.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use prost::Message as _;

use crate::event::examples::{close, event, pod, tcp};
use crate::event::{Counters, Event, Now, WallTime};
use crate::inventory::host;
use crate::record::shared::Disk;
use crate::record::{Limits, Recorded, Recorder, Settings, Store};
use crate::wire::Published;

/// Tells the process that is to be killed where it records.
const FOLDER: &str = "OBSERVER_TEST_RECORDS";
/// So often it is killed.
const KILLS: u64 = 100;
/// Small, so that room is made as well.
const LIMITS: Limits = Limits { bytes: 16 << 20, age_ns: u64::MAX };
/// So many bytes may wait.
const WAITING: usize = 4 << 20;
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
    let reader = recorder.reader();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nbegins {}", start.wall.0).unwrap();
    for round in 0.. {
        let now = host::now();
        let told = (1..=ROUND).map(|place| published(round * ROUND + place, now)).collect();
        // On a busy machine it waits for the recorder.
        while recorder.waiting() > WAITING {
            sleep(Duration::from_millis(1));
        }
        recorder.publish(told);
        assert_eq!(recorder.take_missed(), 0);
        writeln!(out, "handed {}", (round + 1) * ROUND).unwrap();
        if round % 7 == 6 {
            runtime.block_on(reader.commit());
            writeln!(out, "written {}", (round + 1) * ROUND).unwrap();
        }
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
    // The file's name may be that of a newer one meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "record::tests::killed::a_recorder_that_is_killed", "--nocapture"]);
    command.env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What a process said.
#[derive(Debug, Default)]
struct Said {
    begin: u64,
    handed: u64,
    written: u64,
}

impl Said {
    /// Takes a line in; false at the end.
    fn take(&mut self, out: &mut impl BufRead) -> bool {
        let mut line = Vec::new();
        if out.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            return false;
        }
        // The last one may be cut short.
        let line = String::from_utf8_lossy(&line).into_owned();
        let Some((what, number)) = line.strip_suffix('\n').and_then(|line| line.split_once(' ')) else {
            return true;
        };
        let Ok(number) = number.parse() else { return true };
        match what {
            "begins" => self.begin = number,
            "handed" => self.handed = number,
            "written" => self.written = number,
            _ => {}
        }
        true
    }
}

#[test]
fn what_was_written_is_there_and_nothing_twice() {
    // In memory, as the page cache is, which a kill leaves alone: how long a disk takes is not the question here.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (mut total, mut opened) = (0, Duration::ZERO);
    for kill in 0..KILLS {
        let mut child = start(folder.path());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = Said::default();
        // Some while it opens, some in the middle of a commit, some just behind one.
        let enough = |said: &Said| match kill % 4 {
            0 => true,
            1 => said.handed > 0,
            _ => said.written > 0,
        };
        while !enough(&said) && said.take(&mut out) {}
        sleep(Duration::from_millis((kill * 7_919) % 130));
        child.kill().unwrap();
        child.wait().unwrap();
        while said.take(&mut out) {}
        let Said { begin, handed, written } = said;
        let began = host::thread_time();
        let store = Store::open(folder.path(), LIMITS, host::now().wall).unwrap();
        opened += host::thread_time().saturating_sub(began);
        let numbers = numbers(&store, begin);
        // As a block of a run that made room begins anywhere, and ends with the last that is there.
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{kill}: {numbers:?}");
        let last = numbers.last().copied().unwrap_or(0);
        assert!(last >= written, "{kill}: {last} of {written} are there");
        assert!(last <= handed + ROUND, "{kill}: {last} of {handed}");
        total += last;
    }
    assert!(total >= KILLS / 2 * 7 * ROUND, "{total}");
    assert!(opened < Duration::from_secs(30), "{opened:?}");
    // Each run is told from the one before as killed.
    let store = Store::open(folder.path(), LIMITS, host::now().wall).unwrap();
    assert!(store.figures().file_bytes <= LIMITS.bytes, "{:?}", store.figures());
    assert!(store.runs().unwrap().len() > 1);
}

/// The numbers that are there of the run that began then.
fn numbers(store: &Store, start: u64) -> Vec<u64> {
    let Some(mut place) = store.behind(WallTime(start), 0).unwrap() else { return Vec::new() };
    let mut numbers = Vec::new();
    while let Some(chunk) = store.forward(place).unwrap() {
        place = chunk.after;
        for one in &chunk.items {
            let Recorded::Event { sequence, event, .. } = one else { continue };
            assert_eq!(observer_proto::v1::Event::decode(event.clone()).unwrap().sequence, *sequence);
            numbers.push(*sequence);
        }
    }
    numbers
}
