//! Reading every tracked socket of every network namespace in one pass, when the daemon asks.
//!
//! The readings go through a ring and not through the iterator's own output: with that the kernel stops after each
//! 32 KiB and finds its way back by walking its list from the start. There are but two lists for each two processors,
//! so that on a small machine 100,000 sockets would cost 50 times what 20,000 do.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_jiffies64};
use observer_ebpf::fields::Kernel;
use observer_ebpf::live::{Known, Sample, Ticks};
use observer_ebpf::tcp::{Track, role};

use crate::emit::now_ns;
use crate::flow::fill_flow;
use crate::kernel::SOCK_STATE;
use crate::maps::{READINGS, TICKS};
use crate::socket::{cgroup_id, fill_counters, fill_socket, state};

/// Has the kernel leave the pass and come back to the same socket with the daemon's next read.
const AGAIN: i32 = 1;

/// `struct bpf_iter_meta` (include/linux/bpf.h).
#[repr(C)]
pub(crate) struct IterMeta {
    seq: *mut c_void,
    session_id: u64,
    seq_num: u64,
}

/// `struct bpf_iter__bpf_sk_storage_map` (net/core/bpf_sk_storage.c).
#[repr(C)]
pub(crate) struct IterContext {
    meta: *const IterMeta,
    map: *const c_void,
    sk: *const Kernel,
    value: *mut Track,
}

/// The socket is a connection that was established, or listens.
///
/// # Safety
/// `kept` is the socket's storage, in the state `now`.
#[inline(always)]
unsafe fn is_live(kept: *const Track, now: u32) -> bool {
    // SAFETY: as promised to this function.
    unsafe {
        match now {
            state::LISTEN => true,
            state::CLOSE => false,
            _ => (*kept).established_ns != 0,
        }
    }
}

/// `int bpf_iter_bpf_sk_storage_map(struct bpf_iter_meta *meta, struct bpf_map *map, struct sock *sk,
/// void *value)`, 5.11 to 7.2: a call for each socket that has storage, and a last one without.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub(crate) extern "C" fn sample_sockets(ctx: *const IterContext) -> i32 {
    // SAFETY: the kernel hands over a context of this shape; the verifier checks each access.
    unsafe {
        let (sk, kept) = ((*ctx).sk, (*ctx).value);
        if sk.is_null() || kept.is_null() {
            if let Some(ticks) = TICKS.get_ptr_mut(0) {
                *ticks = Ticks { jiffies: bpf_jiffies64(), time_ns: now_ns() };
            }
            return 0;
        }
        let now = u32::from(SOCK_STATE.read(sk));
        if !is_live(kept, now) {
            return 0;
        }
        let Some(mut entry) = READINGS.reserve::<Sample>(0) else { return AGAIN };
        let sample = entry.as_mut_ptr();
        (*sample).cookie = bpf_get_socket_cookie(sk.cast_mut().cast());
        (*sample).half_closed_ns = (*kept).half_closed_ns;
        fill_counters(&raw mut (*sample).counters, sk);
        fill_flow(&raw mut (*sample).flow, sk);
        (*sample).state = now;
        (*sample).role = if now == state::LISTEN { role::LISTENER } else { (*kept).role };
        entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    }
    0
}

/// The same hook as `sample_sockets`: who the sockets are, for those that no record told of.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub(crate) extern "C" fn list_sockets(ctx: *const IterContext) -> i32 {
    // SAFETY: the kernel hands over a context of this shape; the verifier checks each access.
    unsafe {
        let (sk, kept) = ((*ctx).sk, (*ctx).value);
        if sk.is_null() || kept.is_null() {
            return 0;
        }
        let now = u32::from(SOCK_STATE.read(sk));
        if !is_live(kept, now) {
            return 0;
        }
        let Some(mut entry) = READINGS.reserve::<Known>(0) else { return AGAIN };
        // One whose opening was only counted is known from now on: its end is told.
        (*kept).folded = 0;
        let known = entry.as_mut_ptr();
        (*known).cgroup_id = cgroup_id(sk);
        (*known).track = *kept;
        fill_socket(
            &raw mut (*known).socket,
            sk,
            if now == state::LISTEN { role::LISTENER } else { (*kept).role },
        );
        entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    }
    0
}
