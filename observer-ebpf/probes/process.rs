//! Which execs and exits are told one by one, and which are only counted: those beyond a cgroup's budget, but for what a
//! container's story is made of.

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use observer_ebpf::budget::{EXECS_MAX, class};
use observer_ebpf::event::{Header, Kind};
use observer_ebpf::fields::Kernel;

use crate::budget::take;
use crate::emit::task_cgroup;
use crate::fold;
use crate::kernel::{
    TASK_EXECS, TASK_FLAGS, TASK_GROUP_LEADER, TASK_PARENT_EXECS, TASK_REAL_PARENT, TASK_TGID,
};

/// `PF_FORKNOEXEC` (include/linux/sched.h): the process has executed nothing since it was forked.
const FORKED: u32 = 0x40;

/// Processes whose exec was folded, so that their exit is: by process id. The exit of one that had to give way is told.
#[map]
static FOLDED_EXECS: LruHashMap<u32, u8> = LruHashMap::with_max_entries(EXECS_MAX, 0);

/// The exec is told: there is budget left for it and for its exit, or it comes into its cgroup from another one, as a
/// container's first process does, and what is executed in a container from outside. Else it is counted.
///
/// # Safety
/// `task` is typed and the current one.
#[inline(always)]
pub(crate) unsafe fn tell_exec(task: *const Kernel, head: &Header) -> bool {
    let cgroup_id = head.cgroup_id;
    // SAFETY: as promised to this function; each hop stays typed.
    unsafe {
        if take(cgroup_id, class::PROCESSES, 2, head.time_ns) || comes_from_outside(task, cgroup_id) {
            return true;
        }
        // Of a process that executes a second program the first may have been told, and then its exit is, too. Each exec
        // adds one to the number, which a child takes over (kernel/fork.c, copy_process).
        if TASK_EXECS.read(task) == TASK_PARENT_EXECS.read(task) + 1 {
            // Where it cannot be noted the exit is told, of a process that nobody was told of.
            let _ = FOLDED_EXECS.insert(TASK_TGID.read(task), 0, 0);
        }
        fold::count(cgroup_id, Kind::Exec, 0);
        false
    }
}

/// The exit is told: as the exec was; or, where there was none, if there is budget left for it. That of an OOM killer's
/// victim always is, and that of a process that came into its cgroup from another one.
///
/// # Safety
/// `task` is typed and the current one.
#[inline(always)]
pub(crate) unsafe fn tell_exit(task: *const Kernel, head: &Header, status: u32, oom_victim: bool) -> bool {
    // SAFETY: as promised to this function; each hop stays typed.
    unsafe {
        let cgroup_id = head.cgroup_id;
        let tgid = TASK_TGID.read(task);
        let told = if TASK_FLAGS.read(TASK_GROUP_LEADER.read(task)) & FORKED != 0 {
            take(cgroup_id, class::PROCESSES, 1, head.time_ns)
        } else {
            // To remove what is not there takes a lock.
            FOLDED_EXECS.get_ptr(tgid).is_none() || FOLDED_EXECS.remove(tgid).is_err()
        };
        if told || oom_victim || comes_from_outside(task, cgroup_id) {
            return true;
        }
        fold::count(cgroup_id, Kind::Exit, status);
        false
    }
}

/// The parent is in another cgroup.
///
/// # Safety
/// `task` is typed.
#[inline(always)]
unsafe fn comes_from_outside(task: *const Kernel, cgroup_id: u64) -> bool {
    // SAFETY: as promised to this function; each hop stays typed.
    unsafe { task_cgroup(TASK_GROUP_LEADER.read(TASK_REAL_PARENT.read(task))) != cgroup_id }
}
