//! exec: the path, the arguments, the user and the parent.

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_ringbuf_output,
};
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::BtfTracePointContext;
use observer_ebpf::event::Kind;
use observer_ebpf::fields::Kernel;
use observer_ebpf::process::{ARGUMENTS_MAX, Exec, PATH_MAX};

use crate::emit::{count_lost, fill_current, header, wake};
use crate::kernel::{BINPRM_FILENAME, MM_ARG_END, MM_ARG_START, TASK_MM, TASK_REAL_PARENT, TASK_TGID};
use crate::maps::PROCESS;

/// A record with room for what follows it.
#[repr(C)]
struct Scratch {
    exec: Exec,
    data: [u8; PATH_MAX + ARGUMENTS_MAX],
}

/// An exec is too large for the stack. Programs of this kind do not interrupt themselves on a CPU.
#[map]
static EXEC_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// `void sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`,
/// 5.11 to 7.2. Runs after the new image is in place: the arguments are in its own memory, present
/// since they were just written.
#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let task: *const Kernel = ctx.arg(0);
    let program: *const Kernel = ctx.arg(2);
    let Some(scratch) = EXEC_SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: the scratch is this CPU's own; `task` and `program` are typed by the hook.
    unsafe {
        let exec = &raw mut (*scratch).exec;
        let data = (&raw mut (*scratch).data).cast::<u8>();
        (*exec).header = header(Kind::Exec, bpf_get_current_cgroup_id());
        fill_current(&raw mut (*exec).task, task);
        (*exec).parent_tgid = TASK_TGID.read(TASK_REAL_PARENT.read(task));

        let name: *const Kernel = BINPRM_FILENAME.read(program);
        let read = bpf_probe_read_kernel_str(data.cast(), PATH_MAX as u32, name.cast());
        // The verifier follows the bound of an unsigned comparison.
        let path_len = if read as u64 <= PATH_MAX as u64 { read as u64 } else { 0 };

        let (arguments_len, total) = read_arguments(task, data.add(path_len as usize));
        (*exec).path_len = path_len as u32;
        (*exec).arguments_len = arguments_len as u32;
        (*exec).arguments_total = total;
        let size = size_of::<Exec>() as u64 + path_len + arguments_len;
        if bpf_ringbuf_output((&raw const PROCESS).cast_mut().cast(), exec.cast(), size, wake()) < 0 {
            count_lost(Kind::Exec);
        }
    }
    0
}

/// Copies arguments to `into`; gives how many bytes it copied and how many there were.
///
/// # Safety
/// `into` has room for [`ARGUMENTS_MAX`] bytes; `task` is typed.
#[inline(always)]
unsafe fn read_arguments(task: *const Kernel, into: *mut u8) -> (u64, u32) {
    // SAFETY: as promised to this function; the helper checks the user's memory.
    unsafe {
        let mm: *const Kernel = TASK_MM.read(task);
        if mm.is_null() {
            return (0, 0);
        }
        let start = MM_ARG_START.read(mm);
        let total = MM_ARG_END.read(mm).wrapping_sub(start);
        let length = if total < ARGUMENTS_MAX as u64 { total } else { ARGUMENTS_MAX as u64 };
        if bpf_probe_read_user(into.cast(), length as u32, start as *const _) != 0 {
            return (0, 0);
        }
        (length, total as u32)
    }
}
