//! Files that the processes of watched cgroups failed to open.

use aya_ebpf::helpers::generated::bpf_probe_read_user_str;
use aya_ebpf::macros::{btf_tracepoint, fexit};
use aya_ebpf::programs::{BtfTracePointContext, FExitContext};
use observer_ebpf::debug::{OPEN_PATH_MAX, OpenFailure, watch};
use observer_ebpf::event::{Header, Kind};
use observer_ebpf::fields::Kernel;

use crate::emit::{current, emit, fill_current, task_cgroup};
use crate::kernel::{REGS_FIRST, REGS_SECOND, REGS_SYSCALL, TASK_CALL_STATUS};
use crate::maps::PROCESS;
use crate::watched::{pass, watched};

/// Errors are below this (`MAX_ERRNO`); those of calls that are begun again are above what processes see.
const MOST: u32 = 512;
/// The calls that open a file by its path, as x86-64 numbers them.
const OPEN: u64 = 2;
const CREAT: u64 = 85;
const OPENAT: u64 = 257;
const OPENAT2: u64 = 437;
/// `TS_COMPAT` of x86's `thread_info.status`: the call is one of 32 bits, which are numbered in another way.
const COMPAT: u32 = 2;

/// `long do_sys_openat2(int dfd, const char __user *filename, struct open_how *how)`, 5.11 to 7.2, where functions may be
/// hooked: opens alone run this.
#[fexit(function = "do_sys_openat2")]
pub(crate) fn do_sys_openat2(ctx: FExitContext) -> i32 {
    let result = ctx.arg::<u64>(3) as i64;
    if result < 0 {
        failed(result.wrapping_neg() as u32, ctx.arg::<u64>(1));
    } else {
        pass();
    }
    0
}

/// `long __x64_sys_openat(const struct pt_regs *regs)`, 5.11 to 7.2 on x86-64, where functions may be hooked: one call
/// alone runs this.
#[fexit(function = "__x64_sys_openat")]
pub(crate) fn exit_openat(ctx: FExitContext) -> i32 {
    ended(ctx.arg(0), ctx.arg::<u64>(1) as i64)
}

/// The same of `open`.
#[fexit(function = "__x64_sys_open")]
pub(crate) fn exit_open(ctx: FExitContext) -> i32 {
    ended(ctx.arg(0), ctx.arg::<u64>(1) as i64)
}

/// The same of `creat`.
#[fexit(function = "__x64_sys_creat")]
pub(crate) fn exit_creat(ctx: FExitContext) -> i32 {
    ended(ctx.arg(0), ctx.arg::<u64>(1) as i64)
}

/// The same of `openat2`.
#[fexit(function = "__x64_sys_openat2")]
pub(crate) fn exit_openat2(ctx: FExitContext) -> i32 {
    ended(ctx.arg(0), ctx.arg::<u64>(1) as i64)
}

/// `void sys_exit(struct pt_regs *regs, long ret)`, 5.11 to 7.2: every system call of the machine ends here while it is
/// attached, and takes a longer way.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    ended(ctx.arg(0), ctx.arg::<u64>(1) as i64)
}

/// A system call has ended: whether it was to open a file, and failed. `regs` is typed by the hook.
#[inline(always)]
fn ended(regs: *const Kernel, result: i64) -> i32 {
    if result >= 0 {
        pass();
        return 0;
    }
    // SAFETY: `regs` is typed by the hook.
    unsafe {
        let path = match REGS_SYSCALL.read(regs) {
            OPEN | CREAT => REGS_FIRST.read(regs),
            OPENAT | OPENAT2 => REGS_SECOND.read(regs),
            _ => {
                pass();
                return 0;
            }
        };
        if TASK_CALL_STATUS.is_present() && TASK_CALL_STATUS.read(current()) & COMPAT != 0 {
            pass();
            return 0;
        }
        failed(result.wrapping_neg() as u32, path);
    }
    0
}

#[inline(always)]
fn failed(errno: u32, path: u64) {
    let task = current();
    // SAFETY: the current task is typed by its helper; the record is ours, and a helper checks the path.
    unsafe {
        let Some(seen) = watched(task_cgroup(task), watch::OPENS) else { return };
        if errno < MOST && seen.may_tell(Kind::OpenFailure) {
            emit::<OpenFailure>(&PROCESS, Kind::OpenFailure, |record| {
                (*record).header = Header {
                    time_ns: seen.now_ns,
                    cgroup_id: seen.cgroup_id,
                    kind: Kind::OpenFailure as u32,
                    reserved: 0,
                };
                fill_current(&raw mut (*record).task, task);
                (*record).errno = errno;
                let read = bpf_probe_read_user_str(
                    (&raw mut (*record).path).cast(),
                    OPEN_PATH_MAX as u32,
                    path as usize as *const _,
                );
                (*record).path_len = if read > 0 { read as u32 } else { 0 };
            });
        }
        seen.done();
    }
}
