//! The client's side: measures its own connects, talks, and ends the connection in the way that was asked for.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect as connect_socket, getsockname, ipproto};
use rustix::net::{socket_with, sockopt};

use crate::args::Args;
use crate::report::{Report, percentile, say};
use crate::serve::canonical;

/// What to do, once per connection.
struct Plan {
    to: SocketAddr,
    send: usize,
    receive: usize,
    requests: usize,
    hold: Duration,
    interval: Duration,
    timeout: Option<Duration>,
    cancel_after: Option<Duration>,
    linger0: bool,
    unread: bool,
    send_buffer: Option<usize>,
}

/// Sums over all connections.
#[derive(Default)]
struct Totals {
    started: AtomicU64,
    errors: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    connect_ns: Mutex<Vec<u64>>,
}

/// An address with a port; a name is asked of the C library, once.
fn resolve(to: &str) -> Result<SocketAddr, String> {
    let mut found = to.to_socket_addrs().map_err(|error| format!("--to {to}: {error}"))?;
    found.next().ok_or_else(|| format!("--to {to}: no address"))
}

/// Makes the connections, prints one line each (or the totals), and fails (1) if any of them failed; else it exits with
/// `--code`.
pub(crate) fn connect(args: &Args) -> Result<u8, String> {
    let bytes: usize = args.or("--bytes", 0)?;
    let plan = Plan {
        to: resolve(&args.required::<String>("--to")?)?,
        send: args.or("--send", bytes)?,
        receive: args.or("--receive", bytes)?,
        requests: args.or("--requests", 1)?,
        hold: Duration::from_secs_f64(args.or("--hold", 0.0)?),
        interval: args.milliseconds("--interval-ms")?.unwrap_or_default(),
        timeout: args.milliseconds("--timeout-ms")?,
        cancel_after: args.milliseconds("--nonblocking-cancel-ms")?,
        linger0: args.has("--linger0"),
        unread: args.has("--unread"),
        send_buffer: args.optional("--send-buffer")?,
    };
    let count: u64 = args.or("--count", 1)?;
    let parallel: u64 = args.or("--parallel", 1)?;
    let report = Report::new(args.text("--out"), args.has("--summary"))?;
    let totals = Totals::default();
    let rate: f64 = args.or("--rate", f64::INFINITY)?;
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..parallel.min(count) {
            scope.spawn(|| {
                loop {
                    let number = totals.started.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let due = Duration::from_secs_f64(number as f64 / rate);
                    thread::sleep(due.saturating_sub(start.elapsed()));
                    one(&plan, &report, &totals);
                    thread::sleep(plan.interval);
                }
            });
        }
    });
    if args.has("--summary") {
        summarise(&totals);
    }
    if totals.errors.load(Ordering::Relaxed) > 0 { Ok(1) } else { args.or("--code", 0) }
}

/// Tries so many ports of a host one after the other, on none of which anybody listens; fails (1) if any does.
pub(crate) fn scan(args: &Args) -> Result<u8, String> {
    let to: std::net::IpAddr = args.required("--to")?;
    let (first, count): (u16, u16) = (args.required("--first")?, args.required("--count")?);
    let refused = (0..count).filter(|number| {
        let opened = TcpStream::connect(SocketAddr::new(to, first + number));
        opened.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    });
    let refused = refused.count();
    say(&format!("{{\"refused\":{refused}}}"));
    Ok(u8::from(refused != usize::from(count)))
}

fn one(plan: &Plan, report: &Report, totals: &Totals) {
    let start = Instant::now();
    let opened = open(plan, start);
    let connect_ns = start.elapsed().as_nanos() as u64;
    let (stream, connect_ns) = match opened {
        Ok((stream, measured)) => (stream, measured),
        Err((error, local)) => {
            totals.errors.fetch_add(1, Ordering::Relaxed);
            report.line(&failure(plan, "connect", &error, local, connect_ns, 0, 0));
            return;
        }
    };
    let local = stream.local_addr().ok();
    let (mut sent, mut received) = (0, 0);
    let talked = talk(&stream, plan, &mut sent, &mut received);
    let ended = talked.and_then(|()| {
        if plan.linger0 {
            sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        }
        Ok(())
    });
    drop(stream);
    totals.sent.fetch_add(sent, Ordering::Relaxed);
    totals.received.fetch_add(received, Ordering::Relaxed);
    if let Ok(mut all) = totals.connect_ns.lock() {
        all.push(connect_ns);
    }
    match ended {
        Ok(()) => report.line(&format!(
            "{{{}\"remote\":\"{}\",\"connect_ns\":{connect_ns},\"sent\":{sent},\"received\":{received}}}",
            field(local),
            canonical(plan.to),
        )),
        Err(error) => {
            totals.errors.fetch_add(1, Ordering::Relaxed);
            let after_ns = start.elapsed().as_nanos() as u64;
            report.line(&failure(plan, "talk", &error, local, after_ns, sent, received));
        }
    }
}

type Failure = (io::Error, Option<SocketAddr>);

/// Opens the connection and says how long connect() itself took.
fn open(plan: &Plan, start: Instant) -> Result<(TcpStream, u64), Failure> {
    if let Some(timeout) = plan.timeout {
        let stream = TcpStream::connect_timeout(&plan.to, timeout).map_err(|error| (error, None))?;
        return Ok((stream, start.elapsed().as_nanos() as u64));
    }
    let family = if plan.to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let mut flags = SocketFlags::CLOEXEC;
    flags.set(SocketFlags::NONBLOCK, plan.cancel_after.is_some());
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
        .map_err(|error| (io::Error::from(error), None))?;
    if let Some(bytes) = plan.send_buffer {
        sockopt::set_socket_send_buffer_size(&socket, bytes).map_err(|error| (error.into(), None))?;
    }
    let before = Instant::now();
    let result = connect_socket(&socket, &plan.to);
    let took = before.elapsed().as_nanos() as u64;
    let local = getsockname(&socket).ok().and_then(|address| SocketAddr::try_from(address).ok());
    match (result, plan.cancel_after) {
        (Err(rustix::io::Errno::INPROGRESS), Some(patience)) => {
            thread::sleep(patience);
            drop(socket);
            Err((io::Error::from(rustix::io::Errno::CANCELED), local))
        }
        (Ok(()), _) => Ok((TcpStream::from(socket), took)),
        (Err(error), _) => Err((error.into(), local)),
    }
}

/// Sends and receives as planned; what comes back stays unread if that is the plan.
fn talk(stream: &TcpStream, plan: &Plan, sent: &mut u64, received: &mut u64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let to_read = if plan.unread { 0 } else { plan.receive };
    for _ in 0..plan.requests {
        if plan.send <= CHUNK {
            write_bytes(stream, plan.send, sent)?;
            read_bytes(stream, to_read, received)?;
        } else {
            // What does not fit into the windows must be read while it is sent.
            thread::scope(|scope| {
                let writer = scope.spawn(|| write_bytes(stream, plan.send, sent));
                let read = read_bytes(stream, to_read, received);
                writer.join().unwrap_or_else(|_panic| Err(io::ErrorKind::Other.into())).and(read)
            })?;
        }
    }
    if plan.unread && plan.receive > 0 {
        // Something has to be there, unread, when the socket closes: that is what makes the kernel send a reset.
        stream.peek(&mut [0])?;
    }
    thread::sleep(plan.hold);
    Ok(())
}

/// How much is written or read at once.
const CHUNK: usize = 64 << 10;

fn write_bytes(mut stream: &TcpStream, count: usize, sent: &mut u64) -> io::Result<()> {
    let buffer = vec![b'q'; CHUNK.min(count)];
    let mut rest = count;
    while rest > 0 {
        let written = stream.write(&buffer[..CHUNK.min(rest)])?;
        *sent += written as u64;
        rest -= written;
    }
    Ok(())
}

fn read_bytes(mut stream: &TcpStream, count: usize, received: &mut u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK.min(count)];
    let mut rest = count;
    while rest > 0 {
        let read = stream.read(&mut buffer[..CHUNK.min(rest)])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *received += read as u64;
        rest -= read;
    }
    Ok(())
}

fn failure(
    plan: &Plan,
    stage: &str,
    error: &io::Error,
    local: Option<SocketAddr>,
    after_ns: u64,
    sent: u64,
    received: u64,
) -> String {
    let unnumbered = if error.kind() == io::ErrorKind::TimedOut { libc::ETIMEDOUT } else { 0 };
    let errno = error.raw_os_error().unwrap_or(unnumbered);
    let name = match errno {
        libc::ECONNREFUSED => "refused",
        libc::ETIMEDOUT => "timed_out",
        libc::ECONNRESET => "reset",
        libc::EPIPE => "broken_pipe",
        libc::EHOSTUNREACH => "host_unreachable",
        libc::ENETUNREACH => "network_unreachable",
        libc::EADDRNOTAVAIL => "no_free_port",
        libc::EMFILE => "too_many_files",
        libc::ECANCELED => "canceled",
        0 => "closed_early",
        _ => "other",
    };
    format!(
        "{{\"error\":\"{name}\",\"errno\":{errno},\"stage\":\"{stage}\",\"after_ns\":{after_ns},{}\"remote\":\"{}\",\
         \"sent\":{sent},\"received\":{received}}}",
        field(local),
        canonical(plan.to),
    )
}

fn field(local: Option<SocketAddr>) -> String {
    local.map_or(String::new(), |local| format!("\"local\":\"{}\",", canonical(local)))
}

fn summarise(totals: &Totals) {
    let mut all = totals.connect_ns.lock().map(|all| all.clone()).unwrap_or_default();
    all.sort_unstable();
    say(&format!(
        "{{\"connections\":{},\"errors\":{},\"sent\":{},\"received\":{},\"connect_ns\":{{\"p50\":{},\"p90\":{},\
         \"p99\":{},\"max\":{}}}}}",
        all.len(),
        totals.errors.load(Ordering::Relaxed),
        totals.sent.load(Ordering::Relaxed),
        totals.received.load(Ordering::Relaxed),
        percentile(&all, 50),
        percentile(&all, 90),
        percentile(&all, 99),
        percentile(&all, 100),
    ));
}
