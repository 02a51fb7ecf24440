//! Records of processes: exec, exit and OOM kill.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::event::{Comm, Header};

/// The longest path that an [`Exec`] carries, its end mark included.
pub const PATH_MAX: usize = 256;
/// The most bytes of arguments that an [`Exec`] carries.
pub const ARGUMENTS_MAX: usize = 1024;
/// The most ancestors that an [`Exec`] carries.
pub const ANCESTORS_MAX: usize = 8;
/// The longest name of a folder or a cgroup, its end mark included: longer ones are cut.
pub const NAME_MAX: usize = 256;
/// The most bytes of names that follow an [`Exec`] (working directory) or an [`Oom`] (cgroup).
pub const NAMES_MAX: usize = 2 * NAME_MAX;

/// Flags of an [`Exec`].
pub mod exec_flag {
    /// The process has a controlling terminal.
    pub const TERMINAL: u32 = 1;
    /// The working directory is deeper than the names that follow.
    pub const DIRECTORY_CUT: u32 = 2;
}

/// Names a process for good.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Task {
    /// When its first thread started, in nanoseconds of the boot clock (`task_struct.start_boottime`).
    pub start_ns: u64,
    /// The process id in the first pid namespace.
    pub tgid: u32,
    /// The user id in the first user namespace.
    pub uid: u32,
    /// The name.
    pub comm: Comm,
}

/// A process above another one.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ancestor {
    /// When it started, as in [`Task`].
    pub start_ns: u64,
    /// Its cgroup (version 2).
    pub cgroup_id: u64,
    /// Its process id.
    pub tgid: u32,
    /// Zero.
    pub reserved: u32,
    /// The name of its first thread.
    pub comm: Comm,
}

/// A program was executed. What follows, in this order and without gaps: the [`Ancestor`]s, the parent first; the path of
/// the file that runs and, for a script, the script's, each ended by a zero byte; the names of the working directory, the
/// innermost first, up to the process's own root, each ended by a zero byte; the arguments, each ended by a zero byte.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exec {
    /// The header; its cgroup is the task's.
    pub header: Header,
    /// The process.
    pub task: Task,
    /// Its effective capabilities, a bit each (include/uapi/linux/capability.h).
    pub capabilities: u64,
    /// The real group id in the first user namespace.
    pub gid: u32,
    /// See [`exec_flag`].
    pub flags: u32,
    /// The inode of its mount namespace.
    pub mntns: u32,
    /// The inode of its children's process id namespace, which is its own unless it has just made or entered one.
    pub pidns: u32,
    /// The inode of its network namespace.
    pub netns: u32,
    /// Ancestors that follow.
    pub ancestors: u32,
    /// Bytes of the path that follow, its end mark included; 0 where it could not be read.
    pub path_len: u32,
    /// Bytes of the script's path that follow, its end mark included; 0 where it is no script.
    pub script_len: u32,
    /// Bytes of the names of the working directory that follow.
    pub directory_len: u32,
    /// Bytes of arguments that follow.
    pub arguments_len: u32,
    /// Bytes of arguments that there were, 0 where they could not be read.
    pub arguments_total: u32,
    /// Zero.
    pub reserved: u32,
}

/// A process ended.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exit {
    /// The header; its cgroup is the task's.
    pub header: Header,
    /// The process.
    pub task: Task,
    /// What its threads ran, in nanoseconds of CPU time, as the scheduler has added it up: at its last tick, at the
    /// latest, for the thread that ends. [`u64::MAX`] where there were too many threads to add up.
    pub cpu_ns: u64,
    /// The most pages that were resident at one time (`signal_struct.maxrss`).
    pub peak_pages: u64,
    /// Its parent's process id.
    pub parent_tgid: u32,
    /// The wait status: `code << 8`, or a signal's number with 0x80 for a core dump.
    pub status: u32,
    /// 1 where the OOM killer had chosen it (`signal_struct.oom_mm` is set).
    pub oom_victim: u32,
    /// Zero.
    pub reserved: u32,
}

/// The OOM killer chose a process. The names of the cgroup whose limit was hit follow, the innermost first, each ended
/// by a zero byte.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Oom {
    /// The header; its cgroup is the victim's, 0 where the kernel gives only a pid (before 6.8 and
    /// without that change's backport).
    pub header: Header,
    /// The victim. Start and user are 0 where the kernel gives only a pid.
    pub task: Task,
    /// Resident pages (file, anonymous, shared), as the kernel's counters have them: each may lag by
    /// 32 or twice the number of CPUs pages a CPU (`percpu_counter_batch`), before 6.2 by 64 pages a
    /// thread (`TASK_RSS_EVENTS_THRESH`); [`u64::MAX`] where unknown.
    pub resident_pages: u64,
    /// The limit that was hit, in pages; [`u64::MAX`] where no cgroup's was, or where that cannot be known.
    pub limit_pages: u64,
    /// What was charged to that cgroup, in pages.
    pub usage_pages: u64,
    /// Bytes of names that follow.
    pub names_len: u32,
    /// 1 where the cgroups were looked at.
    pub looked: u32,
}

/// A signal that ends processes was sent.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Signal {
    /// The header; its cgroup is the receiver's.
    pub header: Header,
    /// The task that was running: the sender, or the one that the kernel sent it for.
    pub sender: Task,
    /// The sender's cgroup.
    pub sender_cgroup_id: u64,
    /// When the receiving process started, in nanoseconds of the boot clock.
    pub start_ns: u64,
    /// The receiving process.
    pub tgid: u32,
    /// The signal's number.
    pub signal: u32,
    /// What became of it (`TRACE_SIGNAL_*`, include/trace/events/signal.h): 0 is delivered, 1 ignored.
    pub result: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Task>() == 32);
const _: () = assert!(size_of::<Ancestor>() == 40);
const _: () = assert!(size_of::<Exec>() == 112);
const _: () = assert!(size_of::<Exit>() == 88);
const _: () = assert!(size_of::<Oom>() == 88);
const _: () = assert!(size_of::<Signal>() == 88);
