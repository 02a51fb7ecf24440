//! Reading every tracked socket of every network namespace in one pass, when the daemon asks.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_seq_write};
use observer_ebpf::fields::Kernel;
use observer_ebpf::tcp::{Sample, Track, role};

use crate::kernel::SOCK_STATE;
use crate::socket::{NO_COUNTERS, fill_counters};

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
    value: *const Track,
}

/// `int bpf_iter_bpf_sk_storage_map(struct bpf_iter_meta *meta, struct bpf_map *map, struct sock *sk,
/// void *value)`, 5.11 to 7.2: a call for each socket that has storage, and a last one without.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub(crate) extern "C" fn sample_sockets(ctx: *const IterContext) -> i32 {
    // SAFETY: the kernel hands over a context of this shape; the verifier checks each access.
    unsafe {
        let (meta, sk, kept) = ((*ctx).meta, (*ctx).sk, (*ctx).value);
        if sk.is_null() || kept.is_null() {
            return 0;
        }
        let role = (*kept).role;
        if (*kept).established_ns == 0 || (role != role::CLIENT && role != role::SERVER) {
            return 0;
        }
        let mut sample = Sample {
            cookie: bpf_get_socket_cookie(sk.cast_mut().cast()),
            counters: NO_COUNTERS,
            state: u32::from(SOCK_STATE.read(sk)),
            role,
        };
        fill_counters(&raw mut sample.counters, sk);
        bpf_seq_write((*meta).seq.cast(), (&raw const sample).cast(), size_of::<Sample>() as u32);
    }
    0
}
