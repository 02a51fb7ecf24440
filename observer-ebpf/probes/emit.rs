//! Handing records over, counting those that find no room, and what all records share.

use core::arch::asm;

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_get_current_task_btf, bpf_get_current_uid_gid, bpf_ktime_get_boot_ns,
};
use aya_ebpf::maps::RingBuf;
use observer_ebpf::event::{Header, Kind};
use observer_ebpf::fields::Kernel;
use observer_ebpf::process::Task;

use crate::kernel::{
    CGROUP_KN, CSS_SET_DFL_CGRP, KERNFS_NODE_ID, TASK_CGROUPS, TASK_GROUP_LEADER, TASK_START_BOOTTIME,
    TASK_TGID,
};
use crate::maps::{ASLEEP, LOST};

/// The boot clock.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: the helper takes nothing and reads a clock.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// A header of that kind, now.
#[inline(always)]
pub(crate) fn header(kind: Kind, cgroup_id: u64) -> Header {
    Header { time_ns: now_ns(), cgroup_id, kind: kind as u32, reserved: 0 }
}

/// Counts a record that found no room. Returns the count on this CPU before.
#[inline(always)]
pub(crate) fn count_lost(kind: Kind) -> u64 {
    let Some(count) = LOST.get_ptr_mut(kind as u32) else { return 0 };
    // SAFETY: the pointer is to this CPU's value. An interrupt on this CPU may count as well, so the
    // addition is one instruction; the target has no `AtomicU64::fetch_add`.
    unsafe {
        let before = count.read_volatile();
        asm!("lock *(u64 *)({count} + 0) += {one}", count = in(reg) count, one = in(reg) 1_u64);
        before
    }
}

/// With which flags a record is handed over: a daemon that reads anyway is not woken.
///
/// A wake-up is an interrupt on this CPU, which may run what waits there, this program included; the
/// kernel leaves a program out that interrupts itself, and its event would be lost.
#[inline(always)]
pub(crate) fn wake() -> u64 {
    let Some(asleep) = ASLEEP.get_ptr_mut(0) else { return u64::from(BPF_RB_FORCE_WAKEUP) };
    // SAFETY: the pointer is to the map's only value. Two CPUs that read 1 both wake: no harm.
    unsafe {
        if asleep.read_volatile() == 0 {
            return u64::from(BPF_RB_NO_WAKEUP);
        }
        asleep.write_volatile(0);
    }
    u64::from(BPF_RB_FORCE_WAKEUP)
}

/// Hands a record of fixed size over; `fill` writes it in place.
#[inline(always)]
pub(crate) fn emit<T: 'static>(ring: &RingBuf, kind: Kind, fill: impl FnOnce(*mut T)) {
    if let Some(mut entry) = ring.reserve::<T>(0) {
        fill(entry.as_mut_ptr());
        entry.submit(wake());
    } else {
        count_lost(kind);
    }
}

/// The task that runs now.
#[inline(always)]
pub(crate) fn current() -> *const Kernel {
    // SAFETY: the helper takes nothing; the verifier knows its result as a `task_struct`.
    unsafe { bpf_get_current_task_btf() }.cast_const().cast()
}

/// When the process of a task started.
///
/// # Safety
/// `task` is a pointer that the verifier knows as a `task_struct`.
#[inline(always)]
pub(crate) unsafe fn process_start(task: *const Kernel) -> u64 {
    // SAFETY: the same as for this function; each hop stays typed.
    unsafe { TASK_START_BOOTTIME.read(TASK_GROUP_LEADER.read(task)) }
}

/// The id of a task's cgroup (version 2).
///
/// # Safety
/// `task` is a pointer that the verifier knows as a `task_struct`.
#[inline(always)]
pub(crate) unsafe fn task_cgroup(task: *const Kernel) -> u64 {
    // SAFETY: the same as for this function; each hop stays typed.
    unsafe { KERNFS_NODE_ID.read(CGROUP_KN.read(CSS_SET_DFL_CGRP.read(TASK_CGROUPS.read(task)))) }
}

/// Writes the current process down, `task` being [`current`].
///
/// # Safety
/// `into` is valid for writes; `task` is what [`current`] gave, or the hook's own current task.
#[inline(always)]
pub(crate) unsafe fn fill_current(into: *mut Task, task: *const Kernel) {
    // SAFETY: as promised to this function; the helper writes 16 bytes at most.
    unsafe {
        (*into).start_ns = process_start(task);
        (*into).tgid = TASK_TGID.read(task);
        (*into).uid = bpf_get_current_uid_gid() as u32;
        bpf_get_current_comm((&raw mut (*into).comm).cast(), 16);
    }
}
