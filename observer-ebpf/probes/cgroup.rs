//! cgroups made and removed, so that a container is known before its first instruction.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_ringbuf_output};
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::BtfTracePointContext;
use observer_ebpf::cgroup::{Cgroup, PATH_MAX};
use observer_ebpf::event::Kind;
use observer_ebpf::fields::Kernel;

use crate::emit::{count_lost, header, wake};
use crate::kernel::{CGROUP_KN, CGROUP_ROOT, CGROUP_ROOT_HIERARCHY, KERNFS_NODE_ID};
use crate::maps::PROCESS;

/// A record with room for the path.
#[repr(C)]
struct Scratch {
    cgroup: Cgroup,
    path: [u8; PATH_MAX],
}

/// Too large for the stack. Both programs run in a system call, one at a time on a CPU.
#[map]
static CGROUP_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// `void cgroup_mkdir(struct cgroup *cgrp, const char *path)`, 5.11 to 7.2.
#[btf_tracepoint(function = "cgroup_mkdir")]
pub(crate) fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    emit_cgroup(&ctx, Kind::CgroupMade)
}

/// `void cgroup_rmdir(struct cgroup *cgrp, const char *path)`, 5.11 to 7.2.
#[btf_tracepoint(function = "cgroup_rmdir")]
pub(crate) fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    emit_cgroup(&ctx, Kind::CgroupRemoved)
}

/// Both hooks run for version 1 hierarchies as well; the version 2 one has number 0.
#[inline(always)]
fn emit_cgroup(ctx: &BtfTracePointContext, kind: Kind) -> i32 {
    let group: *const Kernel = ctx.arg(0);
    let path: *const Kernel = ctx.arg(1);
    // SAFETY: `group` is typed by the hook; `path` is read by a helper that checks it; the scratch
    // is this CPU's own.
    unsafe {
        if CGROUP_ROOT_HIERARCHY.read(CGROUP_ROOT.read(group)) != 0 {
            return 0;
        }
        let Some(scratch) = CGROUP_SCRATCH.get_ptr_mut(0) else { return 0 };
        let record = &raw mut (*scratch).cgroup;
        let read = bpf_probe_read_kernel_str((&raw mut (*scratch).path).cast(), PATH_MAX as u32, path.cast());
        let path_len = if read as u64 <= PATH_MAX as u64 { read as u64 } else { 0 };
        (*record).header = header(kind, KERNFS_NODE_ID.read(CGROUP_KN.read(group)));
        (*record).path_len = path_len as u32;
        (*record).reserved = 0;
        let size = size_of::<Cgroup>() as u64 + path_len;
        if bpf_ringbuf_output((&raw const PROCESS).cast_mut().cast(), record.cast(), size, wake()) < 0 {
            count_lost(kind);
        }
    }
    0
}
