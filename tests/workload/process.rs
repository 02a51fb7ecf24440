//! Processes: every way to end, memory that grows until the kernel objects, and storms of execs.
#![allow(unsafe_code, reason = "faults and the bare exit of one thread have no safe form")]

use std::ffi::c_void;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use crate::args::Args;
use crate::report::say;
use crate::smallest::Smallest;

/// Exits with the code that was asked for.
pub(crate) fn exit(args: &Args) -> Result<u8, String> {
    args.word("CODE")
}

/// Dies of a signal. The first process of a PID namespace cannot: there a child of it does, and it exits with
/// 128 + the signal, as a shell would.
pub(crate) fn kill_self(args: &Args) -> Result<u8, String> {
    let word: String = args.word("SIGNAL")?;
    let signal = signal_number(&word)?;
    if std::process::id() == 1 {
        let status = again().args(["kill-self", &word]).status().map_err(|error| error.to_string())?;
        say(&format!("{{\"child\":\"{status}\"}}"));
        return Ok(128 + signal as u8);
    }
    // SAFETY: both calls take plain numbers; the default disposition is what the signal needs to end the process.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal);
    }
    thread::sleep(Duration::from_secs(1));
    Err(format!("survived signal {word}"))
}

fn signal_number(word: &str) -> Result<i32, String> {
    let known = [
        ("HUP", libc::SIGHUP),
        ("INT", libc::SIGINT),
        ("QUIT", libc::SIGQUIT),
        ("ABRT", libc::SIGABRT),
        ("KILL", libc::SIGKILL),
        ("SEGV", libc::SIGSEGV),
        ("PIPE", libc::SIGPIPE),
        ("ALRM", libc::SIGALRM),
        ("TERM", libc::SIGTERM),
    ];
    let name = word.trim_start_matches("SIG");
    known
        .iter()
        .find_map(|(known, number)| (*known == name).then_some(*number))
        .or_else(|| word.parse().ok())
        .ok_or_else(|| format!("no signal {word}"))
}

/// Writes where nothing may be written.
pub(crate) fn segfault() -> Result<u8, String> {
    // SAFETY: a fresh mapping of the kernel's choice; nothing else refers to it.
    let page = unsafe {
        mmap_anonymous(std::ptr::null_mut::<c_void>(), 4096, ProtFlags::empty(), MapFlags::PRIVATE)
    }
    .map_err(|error| error.to_string())?;
    // SAFETY: not sound, and meant so: the page allows no access, so the kernel ends this process with SIGSEGV.
    unsafe { page.cast::<u8>().write_volatile(1) };
    Err("survived a write to a page without access".to_owned())
}

/// Takes and touches memory, a MiB at a time, and keeps it.
pub(crate) fn eat_memory(args: &Args) -> Result<u8, String> {
    let wanted: usize = args.word("MIB")?;
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    for _ in 0..wanted {
        eaten.push(vec![1; 1 << 20]);
    }
    say(&format!("{{\"eaten_mib\":{}}}", std::hint::black_box(&eaten).len()));
    pause()
}

/// Sleeps and exits with 0.
pub(crate) fn sleep(args: &Args) -> Result<u8, String> {
    thread::sleep(Duration::from_secs_f64(args.word("SECONDS")?));
    Ok(0)
}

/// Does nothing until it is killed.
pub(crate) fn pause() -> Result<u8, String> {
    loop {
        thread::park();
    }
}

/// Runs the smallest program many times, one after the other, at most `--rate` a second.
pub(crate) fn exec_storm(args: &Args) -> Result<u8, String> {
    let count: u32 = args.required("--count")?;
    let rate: f64 = args.or("--rate", f64::INFINITY)?;
    let smallest = Smallest::new()?;
    let start = Instant::now();
    let mut failed = 0;
    for done in 0..count {
        let due = Duration::from_secs_f64(f64::from(done) / rate);
        thread::sleep(due.saturating_sub(start.elapsed()));
        let status = Command::new(smallest.path()).args(["exit", "0"]).stdout(Stdio::null()).status();
        failed += u32::from(!status.is_ok_and(|status| status.success()));
    }
    let elapsed_ns = start.elapsed().as_nanos();
    say(&format!("{{\"spawned\":{count},\"failed\":{failed},\"elapsed_ns\":{elapsed_ns}}}"));
    Ok(u8::from(failed > 0))
}

/// A process whose first thread ends before its last one: it is one exit, and its code is the last thread's.
pub(crate) fn threads(args: &Args) -> Result<u8, String> {
    let code: i32 = args.or("--code", 0)?;
    let after = Duration::from_millis(args.or("--after-ms", 100)?);
    thread::spawn(move || {
        thread::sleep(after);
        say(&format!("{{\"leaving\":{code}}}"));
        std::process::exit(code);
    });
    // SAFETY: ends this thread alone. Nothing of it is used after: the other thread borrows nothing from here.
    unsafe {
        libc::syscall(libc::SYS_exit, 0);
    }
    Err("survived its own exit".to_owned())
}

/// This very program again.
fn again() -> Command {
    Command::new("/proc/self/exe")
}
