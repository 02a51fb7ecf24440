//! exec: the path, the arguments, who runs it with which rights, where, and from whom it descends.

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_uid_gid, bpf_probe_read_kernel_str, bpf_probe_read_user,
    bpf_ringbuf_output,
};
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::BtfTracePointContext;
use observer_ebpf::event::Kind;
use observer_ebpf::fields::Kernel;
use observer_ebpf::process::{ANCESTORS_MAX, ARGUMENTS_MAX, Ancestor, Exec, NAMES_MAX, PATH_MAX, exec_flag};

use crate::emit::{count_lost, fill_current, header, process_start, task_cgroup, wake};
use crate::kernel::{
    BINPRM_FILENAME, BINPRM_INTERPRETER, CRED_CAPABILITIES, MM_ARG_END, MM_ARG_START, MNT_INUM, NET_INUM,
    NSPROXY_MNT, NSPROXY_NET, NSPROXY_PID, PID_INUM, SIGNAL_TTY, TASK_COMM, TASK_CRED, TASK_GROUP_LEADER,
    TASK_MM, TASK_NSPROXY, TASK_REAL_PARENT, TASK_SIGNAL, TASK_TGID,
};
use crate::maps::PROCESS;
use crate::names;
use crate::process;

/// The bits of the number of ancestors.
const ANCESTORS_MASK: usize = 2 * ANCESTORS_MAX - 1;

/// The most that follows a record.
const DATA_MAX: usize =
    (ANCESTORS_MASK + 1) * size_of::<Ancestor>() + 2 * PATH_MAX + 2 * NAMES_MAX + ARGUMENTS_MAX;

/// A record with room for what follows it.
#[repr(C)]
struct Scratch {
    exec: Exec,
    data: [u8; DATA_MAX],
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
    // SAFETY: the helper takes nothing; `task` is typed by the hook and current.
    let head = header(Kind::Exec, unsafe { bpf_get_current_cgroup_id() });
    // SAFETY: as above.
    if !unsafe { process::tell_exec(task, &head) } {
        return 0;
    }
    let Some(scratch) = EXEC_SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: the scratch is this CPU's own; `task` and `program` are typed by the hook.
    unsafe {
        let exec = &raw mut (*scratch).exec;
        let data = (&raw mut (*scratch).data).cast::<u8>();
        (*exec).header = head;
        fill_current(&raw mut (*exec).task, task);
        (*exec).flags = 0;
        fill_rights(exec, task);

        let mut length = fill_ancestors(exec, data.cast(), task);
        // The kernel runs the interpreter of a script; of all else it runs the file itself.
        let (file, interpreter) = (BINPRM_FILENAME.read(program), BINPRM_INTERPRETER.read(program));
        let path_len = read_path(data.add(length as usize), interpreter);
        length += path_len;
        let script_len = if file == interpreter { 0 } else { read_path(data.add(length as usize), file) };
        length += script_len;
        let directory_len = &raw mut (*exec).directory_len;
        if !names::directory(data.add(length as usize), directory_len, task) {
            (*exec).flags |= exec_flag::DIRECTORY_CUT;
        }
        length += names::length(directory_len);
        let (arguments_len, total) = read_arguments(task, data.add(length as usize));
        length += arguments_len;

        (*exec).path_len = path_len as u32;
        (*exec).script_len = script_len as u32;
        (*exec).arguments_len = arguments_len as u32;
        (*exec).arguments_total = total;
        (*exec).reserved = 0;
        let size = size_of::<Exec>() as u64 + length;
        if bpf_ringbuf_output((&raw const PROCESS).cast_mut().cast(), exec.cast(), size, wake()) < 0 {
            count_lost(Kind::Exec);
        }
    }
    0
}

/// Group, capabilities, terminal and namespaces.
///
/// # Safety
/// `exec` is valid for writes; `task` is the current one, and typed.
#[inline(always)]
unsafe fn fill_rights(exec: *mut Exec, task: *const Kernel) {
    // SAFETY: as promised to this function; each hop stays typed.
    unsafe {
        (*exec).gid = (bpf_get_current_uid_gid() >> 32) as u32;
        (*exec).capabilities = CRED_CAPABILITIES.read(TASK_CRED.read(task));
        if !SIGNAL_TTY.read(TASK_SIGNAL.read(task)).is_null() {
            (*exec).flags |= exec_flag::TERMINAL;
        }
        let namespaces: *const Kernel = TASK_NSPROXY.read(task);
        (*exec).mntns = MNT_INUM.read(NSPROXY_MNT.read(namespaces));
        (*exec).pidns = PID_INUM.read(NSPROXY_PID.read(namespaces));
        (*exec).netns = NET_INUM.read(NSPROXY_NET.read(namespaces));
    }
}

/// Writes the processes above a task, the parent first, up to the first one in another cgroup; gives the bytes that they
/// take.
///
/// # Safety
/// `exec` and `into`, for [`ANCESTORS_MAX`], are valid for writes; `task` is typed.
#[inline(always)]
unsafe fn fill_ancestors(exec: *mut Exec, into: *mut Ancestor, task: *const Kernel) -> u64 {
    // SAFETY: as promised to this function; each hop stays typed.
    unsafe {
        let mut parent = task;
        let mut count = 0;
        for n in 0..ANCESTORS_MAX {
            parent = TASK_REAL_PARENT.read(parent);
            let tgid = TASK_TGID.read(parent);
            if tgid == 0 {
                break;
            }
            let leader: *const Kernel = TASK_GROUP_LEADER.read(parent);
            let ancestor = into.add(n);
            (*ancestor).start_ns = process_start(parent);
            let cgroup_id = task_cgroup(leader);
            (*ancestor).cgroup_id = cgroup_id;
            (*ancestor).tgid = tgid;
            (*ancestor).reserved = 0;
            (*ancestor).comm = core::mem::transmute::<[u64; 2], [u8; 16]>(TASK_COMM.read(leader));
            count = n as u32 + 1;
            if tgid == 1 || cgroup_id != (*exec).header.cgroup_id {
                break;
            }
        }
        (*exec).ancestors = count;
        // Read again, it is any number to the verifier: it looks once at all that follows, not once for each count. What
        // is kept of it is more than there can be.
        let count = (&raw const (*exec).ancestors).read_volatile() as usize & ANCESTORS_MASK;
        (count * size_of::<Ancestor>()) as u64
    }
}

/// Copies a path; gives its length with its end mark, 0 where it cannot be read.
///
/// # Safety
/// `into` has room for [`PATH_MAX`] bytes; the helper checks the path.
#[inline(always)]
unsafe fn read_path(into: *mut u8, path: *const Kernel) -> u64 {
    // SAFETY: as promised to this function.
    let read = unsafe { bpf_probe_read_kernel_str(into.cast(), PATH_MAX as u32, path.cast()) } as u64;
    // The verifier follows the bound of an unsigned comparison; an error is a large number.
    if read <= PATH_MAX as u64 { read } else { 0 }
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
