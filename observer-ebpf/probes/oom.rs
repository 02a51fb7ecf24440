//! OOM: the process that the kernel chose, and what it held.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use observer_ebpf::event::Kind;
use observer_ebpf::fields::Kernel;
use observer_ebpf::process::Oom;

use crate::emit::{emit, header, process_start, task_cgroup};
use crate::kernel::{MM_ANON_PAGES, MM_FILE_PAGES, MM_SHMEM_PAGES, TASK_MM, TASK_TGID, VICTIM_IS_TASK};
use crate::maps::PROCESS;

/// `void mark_victim(struct task_struct *task, uid_t uid)` from 6.8 and in later 6.1 and 6.6;
/// `void mark_victim(int pid)` before. Runs in the task that wanted the memory, not in the victim.
#[btf_tracepoint(function = "mark_victim")]
pub(crate) fn mark_victim(ctx: BtfTracePointContext) -> i32 {
    emit::<Oom>(&PROCESS, Kind::Oom, |oom| {
        // SAFETY: the record is ours; `victim` is typed by the hook where it is a task.
        unsafe {
            (*oom).task.comm = [0; 16];
            if VICTIM_IS_TASK.is_on() {
                let victim: *const Kernel = ctx.arg(0);
                let uid: u64 = ctx.arg(1);
                (*oom).header = header(Kind::Oom, task_cgroup(victim));
                (*oom).task.start_ns = process_start(victim);
                (*oom).task.tgid = TASK_TGID.read(victim);
                (*oom).task.uid = uid as u32;
                (*oom).resident_pages = resident_pages(victim);
            } else {
                let pid: u64 = ctx.arg(0);
                (*oom).header = header(Kind::Oom, 0);
                (*oom).task.start_ns = 0;
                (*oom).task.tgid = pid as u32;
                (*oom).task.uid = 0;
                (*oom).resident_pages = u64::MAX;
            }
        }
    });
    0
}

/// File, anonymous and shared pages of a task; all ones where they cannot be read.
///
/// # Safety
/// `task` is typed.
#[inline(always)]
unsafe fn resident_pages(task: *const Kernel) -> u64 {
    if !(MM_FILE_PAGES.is_present() && MM_ANON_PAGES.is_present() && MM_SHMEM_PAGES.is_present()) {
        return u64::MAX;
    }
    // SAFETY: as promised to this function; `mm` is tested, and typed.
    unsafe {
        let mm: *const Kernel = TASK_MM.read(task);
        if mm.is_null() {
            return u64::MAX;
        }
        // Before 6.2 these are an array of `atomic_long_t`, and such a verifier sees through no typedef of an element.
        MM_FILE_PAGES.probe(mm, 0) + MM_ANON_PAGES.probe(mm, 0) + MM_SHMEM_PAGES.probe(mm, 0)
    }
}
