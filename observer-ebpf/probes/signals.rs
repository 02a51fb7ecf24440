//! Signals that the processes of watched cgroups are sent: all of them, whatever becomes of them.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use observer_ebpf::debug::{SignalSent, watch};
use observer_ebpf::event::{Comm, Header, Kind};
use observer_ebpf::fields::Kernel;
use observer_ebpf::process::Task;

use crate::emit::{current, emit, fill_current, process_start, task_cgroup};
use crate::kernel::{SIGINFO_CODE, TASK_COMM, TASK_TGID};
use crate::maps::PROCESS;
use crate::watched::watched;

/// The same hook as `signal_generate`, for debugging sessions.
#[btf_tracepoint(function = "signal_generate")]
pub(crate) fn signals_sent(ctx: BtfTracePointContext) -> i32 {
    let target: *const Kernel = ctx.arg(2);
    // SAFETY: `target` is typed by the hook, and the current task by its helper.
    unsafe {
        if let Some(seen) = watched(task_cgroup(target), watch::SIGNALS) {
            if seen.may_tell(Kind::SignalSent) {
                let code = code(ctx.arg(1));
                emit::<SignalSent>(&PROCESS, Kind::SignalSent, |record| {
                    let sender = current();
                    (*record).header = Header {
                        time_ns: seen.now_ns,
                        cgroup_id: seen.cgroup_id,
                        kind: Kind::SignalSent as u32,
                        reserved: 0,
                    };
                    (*record).receiver = Task {
                        start_ns: process_start(target),
                        tgid: TASK_TGID.read(target),
                        uid: 0,
                        comm: core::mem::transmute::<[u64; 2], Comm>(TASK_COMM.read(target)),
                    };
                    fill_current(&raw mut (*record).sender, sender);
                    (*record).sender_cgroup_id = task_cgroup(sender);
                    (*record).signal = ctx.arg::<u64>(0) as u32;
                    (*record).result = ctx.arg::<u64>(4) as u32;
                    (*record).code = code;
                    (*record).whole = u32::from(ctx.arg::<u64>(3) as u32 != 0);
                });
            }
            seen.done();
        }
    }
    0
}

/// Where it comes from: `si_code`. Instead of a pointer there may be 0 (`SEND_SIG_NOINFO`: a process sent it) or 1
/// (`SEND_SIG_PRIV`: the kernel did), which the helper does not read from.
#[inline(always)]
fn code(info: *const Kernel) -> i32 {
    if info.is_null() || !SIGINFO_CODE.is_present() {
        return 0;
    }
    let mut code = 0_i32;
    let at = info.cast::<u8>().wrapping_add(SIGINFO_CODE.offset_of());
    // SAFETY: the destination is ours and 4 bytes long; the helper checks the source.
    let read = unsafe { bpf_probe_read_kernel((&raw mut code).cast(), 4, at.cast()) };
    if read < 0 { SignalSent::PRIVILEGED } else { code }
}
