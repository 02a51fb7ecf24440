//! exit: one record a process, with the status that its parent will read.

use aya_ebpf::helpers::generated::bpf_get_current_cgroup_id;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use observer_ebpf::event::Kind;
use observer_ebpf::fields::Kernel;
use observer_ebpf::process::Exit;

use crate::emit::{emit, fill_current, header};
use crate::kernel::{
    EXIT_HAS_GROUP_DEAD, SIGNAL_CPU_TIME, SIGNAL_FLAGS, SIGNAL_GROUP_EXIT_CODE, SIGNAL_LIVE, SIGNAL_OOM_MM,
    SIGNAL_PEAK_PAGES, SIGNAL_THREAD_HEAD, SIGNAL_THREADS, TASK_CPU_TIME, TASK_EXIT_CODE, TASK_GROUP_LEADER,
    TASK_REAL_PARENT, TASK_SIGNAL, TASK_TGID, TASK_THREAD_NEXT,
};
use crate::maps::PROCESS;
use crate::process;

/// `SIGNAL_GROUP_EXIT` (include/linux/sched/signal.h): the whole group exits with one code.
const SIGNAL_GROUP_EXIT: u32 = 4;

/// Threads whose time is added up: those that have ended but are not yet cleared away while the last one ends.
const MAX_THREADS: usize = 64;

/// `void sched_process_exit(struct task_struct *p)`, with `, bool group_dead` from 6.16.
///
/// Runs for each thread, after `signal->live` was counted down: the thread that sees 0 is the last
/// one. Two that end at the same moment may both see 0 where `group_dead` is not given; the daemon
/// takes the first of two exits of one process.
#[btf_tracepoint(function = "sched_process_exit")]
pub(crate) fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    let task: *const Kernel = ctx.arg(0);
    // SAFETY: `task` is typed by the hook, and so is each hop from it.
    unsafe {
        let signal: *const Kernel = TASK_SIGNAL.read(task);
        if EXIT_HAS_GROUP_DEAD.is_on() {
            let group_dead: u64 = ctx.arg(1);
            if group_dead as u8 == 0 {
                return 0;
            }
        } else if SIGNAL_LIVE.read(signal) != 0 {
            return 0;
        }
        // What wait(2) will report (kernel/exit.c, wait_task_zombie).
        let status = if SIGNAL_FLAGS.read(signal) & SIGNAL_GROUP_EXIT != 0 {
            SIGNAL_GROUP_EXIT_CODE.read(signal)
        } else {
            TASK_EXIT_CODE.read(TASK_GROUP_LEADER.read(task))
        };
        let oom_victim = u32::from(SIGNAL_OOM_MM.is_present() && !SIGNAL_OOM_MM.read(signal).is_null());
        let head = header(Kind::Exit, bpf_get_current_cgroup_id());
        if !process::tell_exit(task, &head, status, oom_victim != 0) {
            return 0;
        }
        // The last thread has taken down the memory's highest mark and given the memory back (kernel/exit.c, do_exit).
        let peak_pages = SIGNAL_PEAK_PAGES.read(signal);
        let cpu_ns = cpu_time(task, signal);
        let parent_tgid = TASK_TGID.read(TASK_REAL_PARENT.read(task));
        emit::<Exit>(&PROCESS, Kind::Exit, |exit| {
            (*exit).header = head;
            fill_current(&raw mut (*exit).task, task);
            (*exit).cpu_ns = cpu_ns;
            (*exit).peak_pages = peak_pages;
            (*exit).parent_tgid = parent_tgid;
            (*exit).status = status;
            (*exit).oom_victim = oom_victim;
            (*exit).reserved = 0;
        });
    }
    0
}

/// What all threads of a process ran: the sum of those that are gone, and each one's own that is still in the list.
/// All ones where there are too many.
///
/// # Safety
/// `task` and `signal` are typed, and belong together.
#[inline(always)]
unsafe fn cpu_time(task: *const Kernel, signal: *const Kernel) -> u64 {
    // SAFETY: as promised to this function; in the list a helper checks each address.
    unsafe {
        let mut sum = SIGNAL_CPU_TIME.read(signal) + TASK_CPU_TIME.read(task);
        if SIGNAL_THREADS.read(signal) <= 1 {
            return sum;
        }
        let head: *const Kernel = signal.cast::<u8>().wrapping_add(SIGNAL_THREAD_HEAD.offset_of()).cast();
        let mut node = SIGNAL_THREAD_HEAD.read(signal);
        for _ in 0..MAX_THREADS {
            if node == head || node.is_null() {
                return sum;
            }
            let thread: *const Kernel = node.cast::<u8>().wrapping_sub(TASK_THREAD_NEXT.offset_of()).cast();
            if thread != task {
                sum += TASK_CPU_TIME.probe(thread, 0);
            }
            node = TASK_THREAD_NEXT.probe(thread, core::ptr::null());
        }
        u64::MAX
    }
}
