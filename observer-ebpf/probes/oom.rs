//! OOM: the process that the kernel chose, what it held, and the cgroup whose limit was hit.

use aya_ebpf::helpers::generated::bpf_ringbuf_output;
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::BtfTracePointContext;
use observer_ebpf::event::Kind;
use observer_ebpf::fields::Kernel;
use observer_ebpf::process::{NAMES_MAX, Oom};
use observer_ebpf::settings::ABSENT;

use crate::emit::{count_lost, header, process_start, task_cgroup, wake};
use crate::kernel::{
    CGROUP_KN, CSS_CGROUP, CSS_PARENT, CSS_SET_SUBSYS, MEMCG_LIMIT, MEMCG_USAGE, MEMORY_CONTROLLER,
    MM_ANON_PAGES, MM_FILE_PAGES, MM_SHMEM_PAGES, TASK_CGROUPS, TASK_MM, TASK_TGID, VICTIM_IS_TASK,
};
use crate::maps::PROCESS;
use crate::names;

/// Levels of cgroups that are looked at.
const MAX_LEVELS: usize = 16;
/// A cgroup had reached its limit if no more than a huge page was left: so much may be asked for at once.
const FULL_PAGES: u64 = 512;

/// A record with room for the cgroup's names.
#[repr(C)]
struct Scratch {
    oom: Oom,
    names: [u8; 2 * NAMES_MAX],
}

/// Too large for the stack. The OOM killer runs in one task at a time, and in no interrupt.
#[map]
static OOM_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// `void mark_victim(struct task_struct *task, uid_t uid)` from 6.8 and in later 6.1 and 6.6;
/// `void mark_victim(int pid)` before. Runs in the task that wanted the memory, not in the victim.
#[btf_tracepoint(function = "mark_victim")]
pub(crate) fn mark_victim(ctx: BtfTracePointContext) -> i32 {
    let Some(scratch) = OOM_SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: the scratch is this CPU's own; `victim` is typed by the hook where it is a task.
    unsafe {
        let oom = &raw mut (*scratch).oom;
        let names = (&raw mut (*scratch).names).cast::<u8>();
        (*oom).task.comm = [0; 16];
        (*oom).limit_pages = u64::MAX;
        (*oom).usage_pages = 0;
        (*oom).looked = 0;
        (*oom).names_len = 0;
        if VICTIM_IS_TASK.is_on() {
            let victim: *const Kernel = ctx.arg(0);
            let uid: u64 = ctx.arg(1);
            (*oom).header = header(Kind::Oom, task_cgroup(victim));
            (*oom).task.start_ns = process_start(victim);
            (*oom).task.tgid = TASK_TGID.read(victim);
            (*oom).task.uid = uid as u32;
            (*oom).resident_pages = resident_pages(victim);
            fill_limit(oom, names, victim);
        } else {
            let pid: u64 = ctx.arg(0);
            (*oom).header = header(Kind::Oom, 0);
            (*oom).task.start_ns = 0;
            (*oom).task.tgid = pid as u32;
            (*oom).task.uid = 0;
            (*oom).resident_pages = u64::MAX;
        }
        let size = size_of::<Oom>() as u64 + names::length(&raw const (*oom).names_len);
        if bpf_ringbuf_output((&raw const PROCESS).cast_mut().cast(), oom.cast(), size, wake()) < 0 {
            count_lost(Kind::Oom);
        }
    }
    0
}

/// Finds the cgroup that has reached its limit, from the victim's own upwards: the one with the least left. Where none has
/// reached it, the whole machine was short of memory.
///
/// # Safety
/// `oom` and `names` are valid for writes; `victim` is typed.
#[inline(always)]
unsafe fn fill_limit(oom: *mut Oom, names: *mut u8, victim: *const Kernel) {
    let index = MEMORY_CONTROLLER.value();
    let known = CSS_SET_SUBSYS.is_present()
        && CSS_PARENT.is_present()
        && CSS_CGROUP.is_present()
        && MEMCG_USAGE.is_present()
        && MEMCG_LIMIT.is_present();
    if index == ABSENT || !known {
        return;
    }
    let nothing = core::ptr::null();
    // SAFETY: as promised to this function; from the first hop on a helper checks each address.
    unsafe {
        (*oom).looked = 1;
        let controllers: *const Kernel = TASK_CGROUPS.read(victim);
        let own: *const Kernel = controllers.cast::<u8>().wrapping_add(8 * index as usize).cast();
        // A `mem_cgroup` begins with its `cgroup_subsys_state`.
        let mut level = CSS_SET_SUBSYS.probe(own, nothing);
        let mut hit: *const Kernel = nothing;
        let mut least = FULL_PAGES;
        for _ in 0..MAX_LEVELS {
            if level.is_null() {
                break;
            }
            let (usage, limit) = (MEMCG_USAGE.probe(level, 0), MEMCG_LIMIT.probe(level, u64::MAX));
            let left = limit.saturating_sub(usage);
            if left < least {
                (least, hit) = (left, level);
                (*oom).limit_pages = limit;
                (*oom).usage_pages = usage;
            }
            level = CSS_PARENT.probe(level, nothing);
        }
        if !hit.is_null() {
            let node = CGROUP_KN.probe(CSS_CGROUP.probe(hit, nothing), nothing);
            names::cgroup(names, &raw mut (*oom).names_len, node);
        }
    }
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
