//! The maps: two rings, so that a flood of connections never pushes out an exec; one for readings; losses; storage.

use core::ptr::null;

use aya_ebpf::bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, bpf_map_type::BPF_MAP_TYPE_SK_STORAGE};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray, RingBuf};
use observer_ebpf::debug::Exchange;
use observer_ebpf::event::{Hook, Kind};
use observer_ebpf::live::Ticks;
use observer_ebpf::tcp::Track;

/// Exec, exit, OOM kill and cgroup records. The daemon sets the size.
#[map]
pub(crate) static PROCESS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Records of TCP and of names. The daemon sets the size.
#[map]
pub(crate) static NETWORK: RingBuf = RingBuf::with_byte_size(4096, 0);

/// What a pass over the sockets reads; the daemon empties it whenever it is full. What is smaller makes the kernel walk
/// its lists more often: see `sample.rs`.
#[map]
pub(crate) static READINGS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// 1 while the daemon sleeps: the next record wakes it, and no other one does.
#[map]
pub(crate) static ASLEEP: Array<u32> = Array::with_max_entries(1, 0);

/// The jiffies at the end of the last pass over the sockets.
#[map]
pub(crate) static TICKS: Array<Ticks> = Array::with_max_entries(1, 0);

/// Records that found no room, by [`Kind`] and CPU.
#[map]
pub(crate) static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(Kind::COUNT, 0);

/// What the second program on a hook treated, as the first one was left out; by [`Hook`].
#[map]
pub(crate) static MADE_UP: PerCpuArray<u64> = PerCpuArray::with_max_entries(Hook::COUNT, 0);

/// Counts what a hook's second program makes up for.
#[inline(always)]
pub(crate) fn count_made_up(hook: Hook) {
    if let Some(made_up) = MADE_UP.get_ptr_mut(hook as u32) {
        // SAFETY: this CPU's own element, which that program alone writes, and which never interrupts itself.
        unsafe { made_up.write_volatile(made_up.read_volatile() + 1) };
    }
}

/// The definition of a map in the way that libbpf and the kernel read it from BTF.
///
/// aya-ebpf's own `SkStorage` cannot set `BPF_F_CLONE`.
#[repr(C)]
pub(crate) struct SocketStorage<Value> {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const Value,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize],
}

// SAFETY: the struct is never read; the kernel makes the map from its type.
unsafe impl<Value> Sync for SocketStorage<Value> {}

impl<Value> SocketStorage<Value> {
    const fn new() -> Self {
        Self { r#type: null(), key: null(), value: null(), max_entries: null(), map_flags: null() }
    }
}

/// A [`Track`] on each socket since its SYN or its listen().
#[unsafe(link_section = ".maps")]
#[unsafe(export_name = "SOCKETS")]
pub(crate) static SOCKETS: SocketStorage<Track> = SocketStorage::new();

/// How many segments a socket had sent again, in its whole life, when that was told last.
#[unsafe(link_section = ".maps")]
#[unsafe(export_name = "SENT_AGAIN")]
pub(crate) static SENT_AGAIN: SocketStorage<u32> = SocketStorage::new();

/// What a process owes an answer to, on each socket that a debugging session watches.
#[unsafe(link_section = ".maps")]
#[unsafe(export_name = "EXCHANGES")]
pub(crate) static EXCHANGES: SocketStorage<Exchange> = SocketStorage::new();
