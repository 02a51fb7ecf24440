//! How often hooks fire, as the kernel counts it, beside how often it ran the daemon's programs on them.
//!
//! A kernel may leave programs out without a word: that of some sandboxes does so in interrupts of a process that it
//! protects. No daemon can know; a test that compares exact figures has to.
#![allow(unsafe_code, reason = "the kernel's counters have no other interface than two system calls")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Error, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::daemon::Daemon;

/// Hooks of TCP, each with the group of events that it is in.
const HOOKS: [(&str, &str); 5] = [
    ("sock", "inet_sock_set_state"),
    ("tcp", "tcp_retransmit_skb"),
    ("tcp", "tcp_retransmit_synack"),
    ("tcp", "tcp_send_reset"),
    ("tcp", "tcp_receive_reset"),
];

/// Shell that mounts the hooks' files where the machine does not show them.
pub(crate) const TRACEFS: &str =
    "{ [ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; }";

/// Counters of hooks and programs, since this was started.
#[derive(Debug)]
pub struct Firings {
    _counting: OwnedFd,
    pid: u32,
    /// By hook: its counters, one a CPU.
    counters: BTreeMap<&'static str, Vec<File>>,
    /// By hook: how often programs had been called for it.
    before: BTreeMap<String, u64>,
}

impl Firings {
    /// Starts to count.
    pub fn start(daemon: &Daemon) -> Result<Self> {
        let counting = count_runs()?;
        let mut counters = BTreeMap::new();
        for (hook, id) in ids()? {
            let cpus = 0..std::thread::available_parallelism()?.get();
            counters.insert(hook, cpus.map(|cpu| counter(id, cpu)).collect::<Result<_>>()?);
        }
        // Counting of calls begins later and ends earlier, so that it is never more.
        Ok(Self { _counting: counting, pid: daemon.pid(), counters, before: called(daemon.pid())? })
    }

    /// How often TCP's hooks fired without the daemon's programs being called; a little more where they fire just now.
    pub fn unseen(&self) -> Result<u64> {
        let called = called(self.pid)?;
        let mut sum = 0;
        for (hook, files) in &self.counters {
            let mut fired = 0;
            for mut file in files {
                let mut count = [0; 8];
                file.read_exact(&mut count)?;
                fired += u64::from_ne_bytes(count);
            }
            let calls = called.get(*hook).context("no program")? - self.before.get(*hook).unwrap_or(&0);
            sum += fired.checked_sub(calls).with_context(|| format!("{hook}: {calls} calls of {fired}"))?;
        }
        Ok(sum)
    }
}

/// Has the kernel count how often each program runs (`BPF_ENABLE_STATS`) until this is dropped: unlike the system's
/// setting, that ends with the test however the test ends.
pub fn count_runs() -> Result<OwnedFd> {
    const BPF_ENABLE_STATS: i32 = 32;
    // The member `enable_stats.type` is `BPF_STATS_RUN_TIME`, which is 0.
    let attr = [0_u64; 16];
    // SAFETY: the attribute is of a size that the kernel knows, and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, attr.as_ptr(), size_of_val(&attr)) };
    ensure!(fd >= 0, "the kernel does not count: {}", Error::last_os_error());
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The kernel's numbers of the hooks; where the machine does not show them, from a mount that only the shell below sees.
fn ids() -> Result<Vec<(&'static str, u64)>> {
    let files = HOOKS.map(|(group, hook)| format!("/sys/kernel/tracing/events/{group}/{hook}/id"));
    let script = format!("{TRACEFS} && cat {}", files.join(" "));
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output()?;
    ensure!(output.status.success(), "no tracefs: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let ids = text.lines().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    ensure!(ids.len() == HOOKS.len(), "{text}");
    Ok(HOOKS.iter().map(|(_, hook)| *hook).zip(ids).collect())
}

/// A counter of how often a hook fires on a CPU.
fn counter(id: u64, cpu: usize) -> Result<File> {
    const PERF_TYPE_TRACEPOINT: u32 = 2;
    const PERF_FLAG_FD_CLOEXEC: u64 = 8;
    /// The beginning of `struct perf_event_attr`, as far as its first version went.
    #[repr(C)]
    struct Attr {
        kind: u32,
        size: u32,
        config: u64,
        rest: [u64; 6],
    }
    let attr = Attr { kind: PERF_TYPE_TRACEPOINT, size: size_of::<Attr>() as u32, config: id, rest: [0; 6] };
    // SAFETY: the attribute has the size that it tells, and outlives the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC)
    };
    ensure!(fd >= 0, "no counter of a hook: {}", Error::last_os_error());
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { File::from_raw_fd(fd as i32) })
}

/// By hook, how often a process's programs were called for it: run, or left out as they ran already. Of two programs
/// on one hook, the one that was called more often.
fn called(pid: u32) -> Result<BTreeMap<String, u64>> {
    let (mut hooks, mut calls) = (Vec::new(), BTreeMap::new());
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).context("the daemon is gone")? {
        // One that was closed meanwhile is none of these.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        let number = |name: &str| field(name).context("no such field")?.parse::<u64>().context("no number");
        if let Some(hook) = field("tp_name") {
            hooks.push((hook, number("prog_id")?));
        } else if field("prog_type").is_some() {
            calls.insert(number("prog_id")?, number("run_cnt")? + number("recursion_misses")?);
        }
    }
    let mut by_hook: BTreeMap<String, u64> = BTreeMap::new();
    for (hook, program) in hooks {
        let most = by_hook.entry(hook).or_default();
        *most = (*most).max(*calls.get(&program).context("a link without a program")?);
    }
    Ok(by_hook)
}
