//! What exporters cost: metrics while pods come and go, lines of JSON, and endpoints that are dead. Each part is a process of its
//! own, and they take turns: prints JSON, a line for each.
#![allow(clippy::print_stdout, reason = "the figures are its output")]
#![allow(clippy::disallowed_methods, reason = "it measures how long answers take")]

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::{Duration, Instant};

use observer::bench::{Attribution, Events, Exporting, Pods, connections, decode};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Says which part a process is.
const PART: &str = "OBSERVER_BENCH_PART";
const QUICK: &str = "OBSERVER_BENCH_QUICK";
const PARTS: [&str; 6] = ["churn_alone", "churn", "nothing", "json", "dead_syslog", "dead_otlp"];
const TURNS: usize = 3;

/// Connections of a round, each with four events.
const CONNECTIONS: u64 = 250;
/// A round begins so long after the one before: 50,000 events a second.
const ROUND: Duration = Duration::from_millis(20);
const ROUNDS: u64 = 1_000;
/// Who uses next to nothing for so long has done all.
const SETTLED: Duration = Duration::from_millis(200);
/// After them nothing happens for so long.
const REST: Duration = Duration::from_secs(12);

/// So many pods come in a second, 10,000 in all of them.
const PODS_A_SECOND: u64 = 100;
const SECONDS: u64 = 100;
/// A window is taken in by then, also where a list of workloads comes with it.
const TAKEN: Duration = Duration::from_millis(300);
/// Scrapes of each format in a second.
const SCRAPES: usize = 4;
const TEXT: &str = "text/plain;version=0.0.4";
const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

fn main() -> io::Result<()> {
    let quick = std::env::var_os(QUICK).is_some();
    let Ok(part) = std::env::var(PART) else { return turns(std::env::args().any(|word| word == "--quick")) };
    let figures = match part.as_str() {
        "churn_alone" => churn_alone(quick)?,
        "churn" => churn(quick)?,
        _ => events(&part, quick)?,
    };
    println!("{figures}");
    Ok(())
}

/// All parts, one after the other, several times.
fn turns(quick: bool) -> io::Result<()> {
    for turn in 0..if quick { 1 } else { TURNS } {
        for part in PARTS {
            let mut command = Command::new(std::env::current_exe()?);
            command.env(PART, part).envs(quick.then_some((QUICK, "1")));
            let output = command.output()?;
            io::stderr().write_all(&output.stderr)?;
            let figures: Value = serde_json::from_slice(&output.stdout).map_err(io::Error::other)?;
            println!("{}", json!({"turn": turn, "part": part, "load": load(), "figures": figures}));
        }
    }
    Ok(())
}

/// How many processes wanted to run over the last minute.
fn load() -> f64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// The processor time of the whole process, or of this thread.
fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn since(clock: ClockId, before: Duration) -> Duration {
    cpu(clock).saturating_sub(before)
}

/// What all threads but this one use meanwhile.
fn beside<T>(run: impl FnOnce() -> io::Result<T>) -> io::Result<(Duration, T)> {
    let before = [ClockId::ProcessCPUTime, ClockId::ThreadCPUTime].map(cpu);
    let done = run()?;
    let [own, all] = [since(ClockId::ThreadCPUTime, before[1]), since(ClockId::ProcessCPUTime, before[0])];
    Ok((all.saturating_sub(own), done))
}

/// Waits until nothing is left to be done; what that takes.
fn settled() -> Duration {
    let begun = cpu(ClockId::ProcessCPUTime);
    let mut before = begun;
    loop {
        std::thread::sleep(SETTLED);
        if since(ClockId::ProcessCPUTime, before) < SETTLED / 50 {
            return since(ClockId::ProcessCPUTime, begun);
        }
        before = cpu(ClockId::ProcessCPUTime);
    }
}

/// The most memory that this process has had, in MiB.
fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = most.and_then(|most| most.split_whitespace().next()?.parse::<f64>().ok());
    (kib.unwrap_or(0.0) / 102.4).round() / 10.0
}

/// An address where nobody listens, and nobody else can as long as the socket is kept.
fn dead() -> io::Result<(OwnedFd, SocketAddr)> {
    let taken = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&taken, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = getsockname(&taken)?;
    Ok((taken, address.try_into().map_err(io::Error::from)?))
}

/// A million events handed on, a round after the other, to an exporter.
fn events(part: &str, quick: bool) -> io::Result<Value> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("events.jsonl");
    let (_taken, dead) = dead()?;
    let configuration = match part {
        "json" => format!("[json.a]\npath = '{}'\n", file.display()),
        "dead_syslog" => format!("[syslog.a]\naddress = 'tcp://{dead}'\nmin_severity = 'info'\n"),
        "dead_otlp" => format!("[otlp.a]\nendpoint = 'http://{dead}'\n"),
        _ => String::new(),
    };
    let exporting = Exporting::start(&configuration, false)?;
    let (mut attribution, mut events) = (Attribution::default(), Events::default());
    let (mut spent, mut count) = (Duration::ZERO, 0);
    for round in 0..if quick { ROUNDS / 10 } else { ROUNDS } {
        attribution.attribute(decode(&connections(round, CONNECTIONS)), round, &mut events);
        count += events.count();
        let (before, began) = (cpu(ClockId::ProcessCPUTime), Instant::now());
        exporting.publish(&events);
        std::thread::sleep(ROUND.saturating_sub(began.elapsed()));
        // Lines are written to the last one; what is dead takes nothing.
        while part == "json" && exporting.progress().queued > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        spent += since(ClockId::ProcessCPUTime, before);
    }
    spent += settled();
    let rest = if quick { REST / 6 } else { REST };
    let before = cpu(ClockId::ProcessCPUTime);
    std::thread::sleep(rest);
    let at_rest = since(ClockId::ProcessCPUTime, before);
    let peak_mib = peak_mib();
    let progress = exporting.progress();
    assert!(part != "json" || progress.sent as usize >= count && progress.lost == 0, "{progress:?}");
    assert!(!part.starts_with("dead") || progress.sent == 0 && progress.retries > 0, "{progress:?}");
    let text = fs::read_to_string(&file).unwrap_or_default();
    exporting.stop();
    Ok(json!({
        "events": count,
        "cpu_s_a_million": spent.as_secs_f64() * 1e6 / count as f64,
        "cpu_ms_a_minute_at_rest": at_rest.as_secs_f64() * 60_000.0 / rest.as_secs_f64(),
        "peak_mib": peak_mib,
        "sent": progress.sent,
        "lost": progress.lost,
        "queued": progress.queued,
        "retries": progress.retries,
        "bytes_a_line": text.len() as f64 / text.lines().count().max(1) as f64,
    }))
}

/// The pods, and nobody who wants to know: what the tables of the node take.
fn churn_alone(quick: bool) -> io::Result<Value> {
    let exporting = Exporting::start("", false)?;
    let mut pods = Pods::new(PODS_A_SECOND, &exporting);
    for _ in 0..if quick { SECONDS / 5 } else { SECONDS } {
        let second = pods.second().ok_or_else(|| io::Error::other("no window"))?;
        exporting.publish_second(second);
    }
    Ok(json!({"peak_mib": peak_mib()}))
}

/// Scrapes while pods come and go, a window each second, with as many series as there may be.
fn churn(quick: bool) -> io::Result<Value> {
    let exporting = Exporting::start("", true)?;
    let at = exporting.address().ok_or_else(|| io::Error::other("nobody listens"))?;
    let mut pods = Pods::new(PODS_A_SECOND, &exporting);
    let (mut windows, mut taking) = (0_u32, Duration::ZERO);
    let mut measured = [Measured::default(), Measured::default()];
    let (mut told, mut events) = (0, 0);
    let began = Instant::now();
    for number in 1..=if quick { SECONDS / 5 } else { SECONDS } {
        let second = pods.second().ok_or_else(|| io::Error::other("no window"))?;
        told += second.pods();
        events += second.events;
        std::thread::sleep(Duration::from_secs(number).saturating_sub(began.elapsed()));
        if number % 2 == 0 {
            exporting.publish_second(second);
            for n in 0..2 * SCRAPES {
                let format = (n + number as usize / 2) % 2;
                let asked = Instant::now();
                scrape(at, format)?;
                measured[format].took.push(asked.elapsed());
            }
        } else {
            let (spent, ()) = beside(|| {
                exporting.publish_second(second);
                std::thread::sleep(TAKEN);
                Ok(())
            })?;
            (windows, taking) = (windows + 1, taking + spent);
            for (format, of) in measured.iter_mut().enumerate() {
                let (spent, bytes) = beside(|| scrape(at, format))?;
                (of.spent, of.scrapes, of.bytes) = (of.spent + spent, of.scrapes + 1, bytes);
            }
        }
    }
    let mut text = String::new();
    ask(at, "Accept: text/plain\r\n")?.read_to_string(&mut text)?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or(-1.0)
    };
    let overflows = of("observer_series_overflows_total");
    let (series, limit) = (of("observer_series"), of("observer_series_limit"));
    assert!(series <= limit && series > 0.9 * limit && overflows > 0.0, "{series} {overflows}");
    let expected = (2 * pods.count()).saturating_sub(PODS_A_SECOND);
    assert!(told as u64 >= expected, "{told} of {expected}: each pod is told in two seconds");
    let [text_figures, protobuf] = measured.map(Measured::figures);
    Ok(json!({
        "pods": pods.count(),
        "events": events,
        "series": series,
        "series_limit": limit,
        "overflows": overflows,
        "peak_mib": peak_mib(),
        "text_bytes": text.len(),
        "window_cpu_ms": taking.as_secs_f64() * 1e3 / f64::from(windows),
        "text": text_figures,
        "protobuf": protobuf,
    }))
}

/// Scrapes of a format.
#[derive(Default)]
struct Measured {
    /// How long each took while windows were added.
    took: Vec<Duration>,
    /// What others used of the processors.
    spent: Duration,
    scrapes: u32,
    /// The last answer, as it was sent.
    bytes: usize,
}

impl Measured {
    fn figures(mut self) -> Value {
        self.took.sort();
        let at = |part: f64| {
            let index = (self.took.len().saturating_sub(1)) as f64 * part;
            self.took.get(index.round() as usize).map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        json!({
            "scrapes": self.took.len(),
            "median_ms": at(0.5),
            "p99_ms": at(0.99),
            "most_ms": at(1.0),
            "cpu_ms": self.spent.as_secs_f64() * 1e3 / f64::from(self.scrapes),
            "bytes": self.bytes,
        })
    }
}

fn ask(at: SocketAddr, lines: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(at)?;
    stream.write_all(format!("GET /metrics HTTP/1.0\r\n{lines}\r\n").as_bytes())?;
    Ok(stream)
}

/// Reads the metrics in gzip, as Prometheus does, and keeps nothing; gives how long the answer is.
fn scrape(at: SocketAddr, format: usize) -> io::Result<usize> {
    let format = [TEXT, PROTOBUF][format];
    let mut stream = ask(at, &format!("Accept: {format}\r\nAccept-Encoding: gzip\r\n"))?;
    let (mut piece, mut bytes) = ([0; 16 << 10], 0);
    loop {
        let count = stream.read(&mut piece)?;
        assert!(bytes > 0 || piece.starts_with(b"HTTP/1.0 200"), "it is answered");
        if count == 0 {
            return Ok(bytes);
        }
        bytes += count;
    }
}
