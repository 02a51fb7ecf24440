//! What recording costs for each event, with all that is written to disk, and how fast it is read again through a filter:
//! prints JSON.
#![allow(clippy::print_stdout, reason = "the figures are its output")]
#![allow(clippy::disallowed_methods, reason = "it measures how long reading takes")]

use std::time::{Duration, Instant};

use observer::bench::{Attribution, Events, Recording, connections, decode};
use rustix::time::{ClockId, clock_gettime};

/// Connections of a round, each with four events, and rounds of a second: 20,000 events a second.
const CONNECTIONS: u64 = 250;
const ROUNDS_A_SECOND: u64 = 20;
/// Seconds of the node that are recorded and measured.
const SECONDS: u64 = 75;
const MEBIBYTE: u64 = 1 << 20;

/// The processor time of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut attribution, mut events) = (Attribution::default(), Events::default());
    let mut recording = Recording::new(folder.path(), 256 * MEBIBYTE);
    let (mut spent, mut elapsed, mut count, mut bytes) = (Duration::ZERO, Duration::ZERO, 0, 0);
    for round in 0..SECONDS * ROUNDS_A_SECOND {
        attribution.attribute(decode(&connections(round, CONNECTIONS)), round, &mut events);
        let told = recording.numbered(&events);
        bytes += told.encoded_bytes();
        count += told.count() as u64;
        let (before, began) = (cpu(), Instant::now());
        recording.record(&told, round);
        spent += cpu().saturating_sub(before);
        elapsed += began.elapsed();
    }
    let size = recording.size();
    let began = Instant::now();
    let (read, passed) = recording.replay(1_000_000);
    let replayed = began.elapsed();
    assert!(read >= 1_000_000 && passed > 0 && passed < read, "{passed} of {read} passed");
    assert!(size.file_bytes <= 256 * MEBIBYTE, "{size:?}");
    let ns_an_event = spent.as_nanos() as f64 / count as f64;
    println!(
        "{{\"events\":{count},\"cpu_ns_an_event\":{:.0},\"percent_of_a_core_at_20000_a_second\":{:.2},\
         \"elapsed_ns_an_event\":{:.0},\"encoded_bytes_an_event\":{},\"disk_bytes_an_event\":{},\"commits\":{},\
         \"replayed\":{read},\"passed\":{passed},\"replay_s_a_million\":{:.3}}}",
        ns_an_event,
        ns_an_event * 20_000.0 / 1e7,
        elapsed.as_nanos() as f64 / count as f64,
        bytes as u64 / count,
        size.file_bytes / size.events,
        size.commits,
        replayed.as_secs_f64() * 1e6 / read as f64,
    );
    Ok(())
}
