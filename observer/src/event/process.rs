//! Processes and containers: how they start and how they end.

use std::ffi::OsString;

use super::BootTime;

/// Names a process for good: its pid and the time that it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// The kernel's name for it.
    pub(crate) comm: String,
    /// The path that was executed; empty where it is not known.
    pub(crate) binary: OsString,
}

/// A program was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessExec {
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
}

/// The OOM killer chose a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OomKill {
    /// Its resident memory at that time, where the kernel let us read it.
    pub(crate) resident_bytes: Option<u64>,
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
