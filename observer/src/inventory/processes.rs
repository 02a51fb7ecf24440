//! The processes that run already, from procfs.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use procfs::ProcError;
use procfs::process::{Process, Stat, StatFlags};

use crate::event::{BootTime, Memo, Namespaces, ProcessKey};

/// Processes beyond this many are left out, and that is said.
const MAX_PROCESSES: usize = 65_536;

/// Why processes could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessesError {
    /// The list.
    #[error("cannot list the processes in /proc")]
    List(#[source] ProcError),
    /// One of them.
    #[error("cannot read process {pid} in /proc")]
    Read {
        /// Which one.
        pid: u32,
        /// Why.
        #[source]
        source: ProcError,
    },
}

/// A process as procfs shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessFact {
    /// Its pid, as seen from this process's pid namespace.
    pub(crate) pid: u32,
    /// When it started, rounded down to a clock tick.
    pub(crate) start: BootTime,
    /// Its parent's pid.
    pub(crate) parent_pid: u32,
    /// Its real user id.
    pub(crate) uid: Option<u32>,
    /// Its real group id.
    pub(crate) gid: Option<u32>,
    /// The kernel's name for it.
    pub(crate) comm: String,
    /// The file that it executes, where that may be read.
    pub(crate) binary: Option<PathBuf>,
    /// Its cgroup's path in the version 2 hierarchy.
    pub(crate) cgroup: Option<String>,
}

impl ProcessFact {
    /// As the domain's type; its start is known to the tick only.
    pub(crate) fn into_process(self) -> crate::event::Process {
        let Self { pid, start, parent_pid, uid, gid, comm, binary, cgroup: _ } = self;
        let binary = binary.unwrap_or_default().into_os_string();
        crate::event::Process {
            key: ProcessKey { pid, start },
            parent_pid,
            uid,
            gid,
            comm,
            binary,
            told: Memo::default(),
        }
    }

    /// It is the process that the kernel names so: procfs tells the start in ticks alone.
    pub(crate) fn is(&self, key: ProcessKey) -> bool {
        self.pid == key.pid && floor_to_tick(key.start) == self.start
    }
}

/// All processes found by one pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes {
    /// Kernel threads are not among them.
    pub(crate) found: Vec<ProcessFact>,
    /// There were more than the bound.
    pub(crate) truncated: bool,
}

/// The length of procfs's clock tick in nanoseconds: how finely it tells a start.
pub(crate) fn tick_ns() -> u64 {
    1_000_000_000 / procfs::ticks_per_second().max(1)
}

/// A moment as procfs would tell it.
pub(crate) fn floor_to_tick(time: BootTime) -> BootTime {
    let tick = tick_ns();
    BootTime(time.0 / tick * tick)
}

/// Reads every process; those that end meanwhile are left out.
pub(crate) fn scan() -> Result<Processes, ProcessesError> {
    let mut processes = Processes::default();
    for process in procfs::process::all_processes().map_err(ProcessesError::List)? {
        let Ok(Some(fact)) = process.and_then(|process| describe(&process)) else { continue };
        if processes.found.len() == MAX_PROCESSES {
            processes.truncated = true;
            break;
        }
        processes.found.push(fact);
    }
    Ok(processes)
}

/// Reads one process; `None` for one that is not there and for a kernel thread.
pub(crate) fn read(pid: u32) -> Result<Option<ProcessFact>, ProcessesError> {
    match Process::new(pid as i32).and_then(|process| describe(&process)) {
        Ok(fact) => Ok(fact),
        Err(ProcError::NotFound(_)) => Ok(None),
        Err(source) => Err(ProcessesError::Read { pid, source }),
    }
}

/// The namespaces of a process, by inode; 0 for each one that cannot be read.
pub(crate) fn namespaces(pid: u32) -> Namespaces {
    let inode = |kind: &str| {
        let metadata = std::fs::metadata(format!("/proc/{pid}/ns/{kind}"));
        // The kernel's numbers of namespaces have 32 bits.
        metadata.map_or(0, |metadata| metadata.ino() as u32)
    };
    Namespaces { mnt: inode("mnt"), pid: inode("pid"), net: inode("net") }
}

/// The namespaces of the machine's first process; where that may not be looked at, as much as this process shares.
pub(crate) fn host_namespaces() -> Namespaces {
    let first = namespaces(1);
    let net = if first.net == 0 { super::netns::own().unwrap_or(0) } else { first.net };
    Namespaces { net, ..first }
}

fn describe(process: &Process) -> Result<Option<ProcessFact>, ProcError> {
    let stat = process.stat()?;
    if StatFlags::from_bits_retain(stat.flags).contains(StatFlags::PF_KTHREAD) {
        return Ok(None);
    }
    let cgroups = process.cgroups().ok();
    let (uid, gid) = process.status().ok().map(|status| (status.ruid, status.rgid)).unzip();
    Ok(Some(ProcessFact {
        pid: stat.pid as u32,
        start: start_of(&stat),
        parent_pid: stat.ppid as u32,
        uid,
        gid,
        binary: process.exe().ok(),
        cgroup: cgroups.and_then(|cgroups| {
            let v2 = cgroups.into_iter().find(|cgroup| cgroup.hierarchy == 0)?;
            Some(v2.pathname.strip_suffix(" (deleted)").unwrap_or(&v2.pathname).to_owned())
        }),
        comm: stat.comm,
    }))
}

/// A process's start: `/proc/PID/stat` counts clock ticks of the boot clock.
pub(super) fn start_of(stat: &Stat) -> BootTime {
    BootTime(stat.starttime.saturating_mul(tick_ns()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::host;

    #[test]
    fn finds_this_process_and_no_kernel_thread() {
        let own = std::process::id();
        let processes = scan().unwrap();
        let this = processes.found.iter().find(|process| process.pid == own).unwrap();
        assert_eq!(this.binary.as_deref(), std::env::current_exe().ok().as_deref());
        assert_eq!(this.parent_pid, std::os::unix::process::parent_id());
        assert_eq!(this.uid, Some(rustix::process::getuid().as_raw()));
        assert_eq!(this.gid, Some(rustix::process::getgid().as_raw()));
        assert_eq!(Some(namespaces(own).net), crate::inventory::netns::own().ok());
        assert_eq!(namespaces(u32::MAX), Namespaces::default());
        assert!(this.cgroup.as_ref().unwrap().starts_with('/'));
        assert!(this.start < host::now().boot);
        assert!(processes.found.iter().all(|process| process.comm != "kthreadd"));
        assert_eq!(read(own).unwrap().as_ref(), Some(this));
    }

    #[test]
    fn knows_a_process_by_pid_and_tick() {
        let mut this = read(std::process::id()).unwrap().unwrap();
        this.start = BootTime(7 * tick_ns());
        let key = |pid, ns| ProcessKey { pid, start: BootTime(ns) };
        assert!(this.is(key(this.pid, 7 * tick_ns())));
        assert!(this.is(key(this.pid, 8 * tick_ns() - 1)));
        assert!(!this.is(key(this.pid, 8 * tick_ns())));
        assert!(!this.is(key(this.pid + 1, 7 * tick_ns())));
    }

    #[test]
    fn a_process_that_is_gone_is_none() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(read(pid).unwrap(), None);
    }
}
