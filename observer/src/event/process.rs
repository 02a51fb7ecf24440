//! Processes and containers: how they start and how they end.

use std::ffi::OsString;
use std::sync::Arc;

use super::{BootTime, Memo, Workload};

/// Names a process for good: its pid and the time that it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProcessKey {
    /// The kernel's tgid in the first pid namespace.
    pub(crate) pid: u32,
    /// When its first thread started.
    pub(crate) start: BootTime,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Which one.
    pub(crate) key: ProcessKey,
    /// Its parent's pid at the time of the exec; 0 where it is not known.
    pub(crate) parent_pid: u32,
    /// The user id in the first user namespace, where it is known.
    pub(crate) uid: Option<u32>,
    /// The group id in the first user namespace, where it is known.
    pub(crate) gid: Option<u32>,
    /// The kernel's name for it.
    pub(crate) comm: String,
    /// The path of the file that runs, for a script its interpreter; empty where it is not known.
    pub(crate) binary: OsString,
    /// How it is told, once somebody has put that into bytes.
    pub(crate) told: Memo,
}

/// The namespaces of a process, by inode; 0 where one is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// Of mounts.
    pub(crate) mnt: u32,
    /// Of process ids.
    pub(crate) pid: u32,
    /// Of the network.
    pub(crate) net: u32,
}

/// A process above another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ancestor {
    /// Which one.
    pub(crate) key: ProcessKey,
    /// The kernel's name for it.
    pub(crate) comm: String,
    /// The path of its file; empty where it is not known.
    pub(crate) binary: OsString,
}

/// How a process came to be where it executes a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ExecOrigin {
    /// A process of the same workload started it, or nobody can say.
    #[default]
    Descendant,
    /// It is the container's first program.
    ContainerStart,
    /// Somebody came into the container from outside (`kubectl exec`).
    Entered,
    /// It runs in namespaces of that container, but not as one of its processes (`nsenter`).
    Namespaces {
        /// The container.
        of: Arc<Workload>,
        /// Which kinds: `mnt`, `pid`, `net`.
        kinds: Vec<&'static str>,
    },
}

/// A program was executed.
#[allow(clippy::struct_excessive_bools, reason = "each says of another thing whether it is whole")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessExec {
    /// How it came to be there.
    pub(crate) origin: ExecOrigin,
    /// The script that it runs, as executed; empty where it is none.
    pub(crate) script: OsString,
    /// The working directory, as the process itself sees it.
    pub(crate) directory: OsString,
    /// The directory is deeper than what is told, and that lies somewhere below the root.
    pub(crate) directory_truncated: bool,
    /// The effective capabilities, a bit each.
    pub(crate) capabilities: u64,
    /// It has a controlling terminal.
    pub(crate) terminal: bool,
    /// The processes above it, the parent first: up to the first one that is not of the same workload, that one included.
    pub(crate) ancestors: Vec<Ancestor>,
    /// There are more of them.
    pub(crate) ancestors_truncated: bool,
    /// The arguments as the process was given them, any bytes.
    pub(crate) arguments: Vec<OsString>,
    /// There were more than the bound, or they could not be read in full.
    pub(crate) arguments_truncated: bool,
    /// The path was longer than the bound.
    pub(crate) binary_truncated: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// It exited with this code.
    Code(u8),
    /// This signal ended it.
    Signal {
        /// The signal's number.
        signal: u8,
        /// A core dump was written.
        core_dumped: bool,
    },
}

impl Ending {
    /// From the kernel's wait status.
    pub(crate) const fn from_wait_status(status: u32) -> Self {
        let signal = (status & 0x7f) as u8;
        if signal == 0 {
            Self::Code((status >> 8) as u8)
        } else {
            Self::Signal { signal, core_dumped: status & 0x80 != 0 }
        }
    }

    /// Anything but an exit with code 0.
    pub(crate) const fn is_failure(self) -> bool {
        !matches!(self, Self::Code(0))
    }
}

/// A process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessExit {
    /// How.
    pub(crate) ending: Ending,
    /// The OOM killer had chosen it.
    pub(crate) oom_killed: bool,
    /// From its start to its end, in nanoseconds.
    pub(crate) run_time_ns: u64,
    /// What its threads ran, in nanoseconds of CPU time; the last one's at most a scheduler's tick short.
    pub(crate) cpu_time_ns: Option<u64>,
    /// The most memory that was resident at one time.
    pub(crate) peak_memory_bytes: u64,
    /// It was the container's first process.
    pub(crate) first: bool,
}

/// The OOM killer chose a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OomKill {
    /// Its resident memory at that time, where the kernel let us read it.
    pub(crate) resident_bytes: Option<u64>,
    /// Whose memory had run out.
    pub(crate) shortage: Shortage,
}

/// Whose memory had run out when the OOM killer chose a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// The kernel gave only the victim's pid.
    Unknown,
    /// The whole machine's: no cgroup above the victim had reached its limit.
    Node,
    /// A cgroup's had reached its limit.
    Cgroup {
        /// Its path in the memory controller's hierarchy.
        path: String,
        /// The limit.
        limit_bytes: u64,
        /// What was charged.
        usage_bytes: u64,
    },
}

/// The name of a signal on Linux (x86-64 and arm64 share the numbers), or `SIG<number>`.
pub(crate) fn signal_name(signal: u8) -> String {
    const NAMES: [&str; 32] = [
        "0", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU",
        "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    match NAMES.get(usize::from(signal)) {
        Some(name) => format!("SIG{name}"),
        None => format!("SIGRTMIN+{}", signal.saturating_sub(34)),
    }
}
