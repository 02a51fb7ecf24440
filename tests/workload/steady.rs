//! Loads to measure by: one thing again and again, for as long as each line of the input says.
//!
//! They are what netperf calls TCP_CRR, TCP_RR and TCP_STREAM, and fork with exec: the asking end is one thread and the
//! answering end another, as client and server are. `--one-thread` has both ends of `connections` in one: nothing waits
//! to be scheduled then, and what is left is the kernel's work on the connection alone.

mod aborted;
mod bulk;
mod connections;
mod exec;
mod requests;
mod sockets;

use std::io::{self, BufRead};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use self::sockets::Ends;
use crate::args::Args;
use crate::report::{percentile, say};

/// Something to do again and again.
trait Work {
    /// Before a run.
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Does it once (or as often as costs no more to do at once), and gives how often, or how many bytes.
    fn step(&mut self) -> io::Result<u64>;

    /// Each step is a request whose time is asked for.
    fn is_timed(&self) -> bool {
        false
    }

    /// After a run; gives what it did of it then.
    fn end(&mut self) -> io::Result<u64> {
        Ok(0)
    }
}

/// Takes a line of standard input after the other: `run MILLISECONDS [PER_SECOND]`, and answers each with what was done
/// by then. Ends with its input.
pub(crate) fn steady(args: &Args) -> Result<u8, String> {
    if let Some(cpu) = args.optional("--cpu")? {
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus).map_err(|error| format!("--cpu {cpu}: {error}"))?;
    }
    let kind: String = args.word("KIND")?;
    let ends = || Ends::from_args(args);
    let mut work: Box<dyn Work> = match kind.as_str() {
        "connections" => Box::new(connections::Connections::new(&ends()?, args.has("--one-thread"))?),
        "requests" => Box::new(requests::Requests::new(&ends()?)?),
        "bulk" => Box::new(bulk::Bulk::new(&ends()?)?),
        "aborted" => Box::new(aborted::Aborted::new(&ends()?)?),
        "exec" => Box::new(exec::Exec::new()?),
        _ => return Err(format!("no load is called {kind}")),
    };
    say(&format!("{{\"ready\":\"{kind}\"}}"));
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.parse::<u64>().map_err(|_error| format!("no number: {line}"));
        let (length, rate) = match words.as_slice() {
            ["run", length] => (number(length)?, None),
            ["run", length, rate] => (number(length)?, Some(number(rate)?)),
            _ => return Err(format!("not to be understood: {line}")),
        };
        run(&mut *work, Duration::from_millis(length), rate).map_err(|error| format!("{kind}: {error}"))?;
    }
    Ok(0)
}

fn run(work: &mut dyn Work, length: Duration, rate: Option<u64>) -> io::Result<()> {
    work.begin()?;
    let mut times: Vec<u64> = Vec::new();
    // A pause for each step would be more of them than the timer is good for.
    let burst = rate.map_or(u64::MAX, |rate| (rate / 1000).max(1));
    let (start, mut done, mut steps) = (Instant::now(), 0, 0);
    let mut before = Duration::ZERO;
    let elapsed = loop {
        done += work.step()?;
        steps += 1;
        let elapsed = start.elapsed();
        if work.is_timed() {
            times.push(elapsed.saturating_sub(before).as_nanos() as u64);
        }
        before = elapsed;
        if elapsed >= length {
            break elapsed;
        }
        if let Some(rate) = rate
            && steps % burst == 0
        {
            let due = Duration::from_secs_f64(steps as f64 / rate as f64);
            thread::sleep(due.min(length).saturating_sub(elapsed));
            before = start.elapsed();
        }
    };
    done += work.end()?;
    times.sort_unstable();
    say(&format!(
        "{{\"done\":{done},\"steps\":{steps},\"elapsed_ns\":{},\"p50_ns\":{},\"p99_ns\":{}}}",
        elapsed.as_nanos(),
        percentile(&times, 50),
        percentile(&times, 99)
    ));
    Ok(())
}
