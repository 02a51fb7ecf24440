//! Many live connections in one process and one thread, both ends of each, that do what is asked for line by line.

use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::Args;
use crate::report::say;

/// How often the pace is looked at.
const BURST: usize = 100;

/// Both ends of a connection: the one that asked, and the one that was accepted.
type Pair = [TcpStream; 2];

/// Opens the connections over loopback, then takes a line of standard input after the other: `send BYTES` sends so many
/// both ways on each connection, `close COUNT` ends so many. Answers each with a line; its end closes all that is left.
pub(crate) fn crowd(args: &Args) -> Result<u8, String> {
    let count: usize = args.required("--connections")?;
    allow_many_files().map_err(|error| error.to_string())?;
    let rate: u64 = args.or("--rate", u64::MAX)?;
    let mut pairs =
        open(args.required("--port")?, count, rate).map_err(|error| format!("cannot open: {error}"))?;
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let (verb, number) = line.split_once(' ').unwrap_or((&line, ""));
        let number: usize = number.parse().map_err(|_error| format!("no number: {line}"))?;
        match verb {
            "send" => talk(&pairs, number).map_err(|error| format!("cannot send: {error}"))?,
            "close" => close(&mut pairs, number, rate),
            _ => return Err(format!("neither send nor close: {line}")),
        }
        say(&format!("{{\"done\":\"{verb}\",\"open\":{}}}", pairs.len()));
    }
    Ok(0)
}

/// As many as the system lets this process have.
fn allow_many_files() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

fn open(port: u16, count: usize, rate: u64) -> io::Result<Vec<Pair>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let to: SocketAddr = listener.local_addr()?;
    let mut pairs = Vec::with_capacity(count);
    let mut pace = Pace::new(rate);
    for _ in 0..count {
        let asking = TcpStream::connect(to)?;
        let (accepted, _) = listener.accept()?;
        pairs.push([asking, accepted]);
        pace.step();
    }
    say(&format!("{{\"listening\":{},\"open\":{count}}}", to.port()));
    Ok(pairs)
}

/// On loopback what was written can be read at once.
fn talk(pairs: &[Pair], bytes: usize) -> io::Result<()> {
    let (out, mut back) = (vec![b'c'; bytes], vec![0; bytes]);
    for [asking, accepted] in pairs {
        for (mut from, mut to) in [(asking, accepted), (accepted, asking)] {
            from.write_all(&out)?;
            to.read_exact(&mut back)?;
        }
    }
    Ok(())
}

fn close(pairs: &mut Vec<Pair>, count: usize, rate: u64) {
    let mut pace = Pace::new(rate);
    for [asking, accepted] in pairs.drain(..count.min(pairs.len())) {
        drop(asking);
        drop(accepted);
        pace.step();
    }
}

/// Keeps to so many steps a second.
struct Pace {
    start: Instant,
    steps: usize,
    rate: u64,
}

impl Pace {
    fn new(rate: u64) -> Self {
        Self { start: Instant::now(), steps: 0, rate: rate.max(1) }
    }

    fn step(&mut self) {
        self.steps += 1;
        if self.steps.is_multiple_of(BURST) {
            let due = Duration::from_secs_f64(self.steps as f64 / self.rate as f64);
            std::thread::sleep(due.saturating_sub(self.start.elapsed()));
        }
    }
}
