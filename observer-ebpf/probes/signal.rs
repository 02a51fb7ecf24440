//! Signals that end processes: who sent them, which the exit does not tell.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use observer_ebpf::budget::class;
use observer_ebpf::event::Kind;
use observer_ebpf::fields::Kernel;
use observer_ebpf::process::Signal;

use crate::budget::take;
use crate::emit::{current, emit, fill_current, header, process_start, task_cgroup};
use crate::fold;
use crate::kernel::TASK_TGID;
use crate::maps::PROCESS;

/// SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGKILL and SIGTERM: what is sent to end a process. Those that a process earns
/// itself (SIGSEGV and its like) have no sender, and others come too often to be told (SIGCHLD, SIGURG).
const ENDING: u64 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9 | 1 << 15;

/// `void signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)`,
/// 5.11 to 7.2. Runs in the sender, with the receiver's signals locked. `info` may be a small number instead of a
/// pointer, and is not read.
#[btf_tracepoint(function = "signal_generate")]
pub(crate) fn signal_generate(ctx: BtfTracePointContext) -> i32 {
    let signal = ctx.arg::<u64>(0) as u32;
    if signal > 15 || ENDING & (1 << signal) == 0 {
        return 0;
    }
    let result = ctx.arg::<u64>(4) as u32;
    let target: *const Kernel = ctx.arg(2);
    // SAFETY: `target` is typed by the hook.
    let cgroup = unsafe { task_cgroup(target) };
    let head = header(Kind::Signal, cgroup);
    if !take(cgroup, class::SIGNALS, 1, head.time_ns) {
        fold::count(cgroup, Kind::Signal, 0);
        return 0;
    }
    emit::<Signal>(&PROCESS, Kind::Signal, |sent| {
        // SAFETY: the record is ours; `target` is typed by the hook, and the current task by its helper.
        unsafe {
            let sender = current();
            (*sent).header = head;
            fill_current(&raw mut (*sent).sender, sender);
            (*sent).sender_cgroup_id = task_cgroup(sender);
            (*sent).start_ns = process_start(target);
            (*sent).tgid = TASK_TGID.read(target);
            (*sent).signal = signal;
            (*sent).result = result;
            (*sent).reserved = 0;
        }
    });
    0
}
