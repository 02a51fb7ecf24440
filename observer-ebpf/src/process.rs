//! Records of processes: exec, exit and OOM kill.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::event::{Comm, Header};

/// The longest path that an [`Exec`] carries, its end mark included.
pub const PATH_MAX: usize = 256;
/// The most bytes of arguments that an [`Exec`] carries.
pub const ARGUMENTS_MAX: usize = 1024;

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

/// A program was executed. `path_len` bytes of path and `arguments_len` bytes of arguments follow,
/// each argument ended by a zero byte.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exec {
    /// The header; its cgroup is the task's.
    pub header: Header,
    /// The process.
    pub task: Task,
    /// Its parent's process id (`real_parent`).
    pub parent_tgid: u32,
    /// Bytes of the path that follow, its end mark included; 0 where it could not be read.
    pub path_len: u32,
    /// Bytes of arguments that follow.
    pub arguments_len: u32,
    /// Bytes of arguments that there were, 0 where they could not be read.
    pub arguments_total: u32,
}

/// A process ended.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exit {
    /// The header; its cgroup is the task's.
    pub header: Header,
    /// The process.
    pub task: Task,
    /// Its parent's process id.
    pub parent_tgid: u32,
    /// The wait status: `code << 8`, or a signal's number with 0x80 for a core dump.
    pub status: u32,
    /// 1 where the OOM killer had chosen it (`signal_struct.oom_mm` is set).
    pub oom_victim: u32,
    /// Zero.
    pub reserved: u32,
}

/// The OOM killer chose a process.
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
const _: () = assert!(size_of::<Exec>() == 72);
const _: () = assert!(size_of::<Exit>() == 72);
const _: () = assert!(size_of::<Oom>() == 64);
const _: () = assert!(size_of::<Signal>() == 88);
