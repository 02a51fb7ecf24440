//! What debugging sessions watch: the first thing that each of their programs asks, and what they take.

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use observer_ebpf::budget::class;
use observer_ebpf::debug::{Spent, WATCHED_MAX, watch};
use observer_ebpf::event::Kind;

use crate::budget::{add, take};
use crate::emit::now_ns;
use crate::fold;

/// The cgroups that are watched, and what of each: bits of [`observer_ebpf::debug::watch`].
#[map]
static WATCHED: HashMap<u64, u32> = HashMap::with_max_entries(WATCHED_MAX, BPF_F_NO_PREALLOC);

/// Bits of the cgroups that are watched, each by the end of its id: most others are told apart by them, without a look into
/// the map.
#[map]
static WATCHED_BITS: Array<u64> = Array::with_max_entries(1, 0);

/// The network namespaces that are watched, each with the cgroup that what happens in it is told of.
#[map]
static WATCHED_NETNS: HashMap<u32, u64> = HashMap::with_max_entries(WATCHED_MAX, BPF_F_NO_PREALLOC);

/// What the programs took.
#[map]
static SPENT: PerCpuArray<Spent> = PerCpuArray::with_max_entries(1, 0);

/// Something that is watched, since when its program runs.
#[derive(Clone, Copy)]
pub(crate) struct Watched {
    pub(crate) cgroup_id: u64,
    /// The value of the map.
    pub(crate) value: u32,
    pub(crate) now_ns: u64,
}

/// That cgroup, if this is watched of it; counts where it is not.
#[inline(always)]
pub(crate) fn watched(cgroup_id: u64, what: u32) -> Option<Watched> {
    let found = value(cgroup_id).filter(|value| value & what != 0);
    if let Some(value) = found {
        return Some(Watched { cgroup_id, value, now_ns: now_ns() });
    }
    pass();
    None
}

#[inline(always)]
fn value(cgroup_id: u64) -> Option<u32> {
    // SAFETY: the map's value, which the daemon writes whole.
    let bits = WATCHED_BITS.get_ptr(0).map_or(0, |bits| unsafe { bits.read_volatile() });
    if bits & watch::bit(cgroup_id) == 0 {
        return None;
    }
    // SAFETY: the map's value, which the daemon writes whole.
    WATCHED.get_ptr(cgroup_id).map(|value| unsafe { value.read_volatile() })
}

/// The cgroup that a network namespace is watched for, if this is watched of it.
#[inline(always)]
pub(crate) fn watched_netns(netns: u32, what: u32) -> Option<Watched> {
    if let Some(cgroup) = WATCHED_NETNS.get_ptr(netns) {
        // SAFETY: the map's value, which the daemon writes whole.
        return watched(unsafe { cgroup.read_volatile() }, what);
    }
    pass();
    None
}

/// The program ran for nothing: each end of one that asks for no cgroup counts that, or what it takes would not be told.
#[inline(always)]
pub(crate) fn pass() {
    if let Some(spent) = SPENT.get_ptr_mut(0) {
        // SAFETY: this CPU's own element. An interrupt in the middle may take one away, of many: no figure that is told
        // one by one.
        unsafe {
            let others = &raw mut (*spent).others;
            others.write_volatile(others.read_volatile() + 1);
        }
    }
}

impl Watched {
    /// It may be told; else it is counted.
    #[inline(always)]
    pub(crate) fn may_tell(&self, kind: Kind) -> bool {
        if take(self.cgroup_id, class::SESSIONS, 1, self.now_ns) {
            return true;
        }
        fold::count(self.cgroup_id, kind, 0);
        false
    }

    /// The program has done what it had to.
    #[inline(always)]
    pub(crate) fn done(&self) {
        if let Some(spent) = SPENT.get_ptr_mut(0) {
            // SAFETY: this CPU's own element.
            unsafe {
                add(&raw mut (*spent).watched_ns, now_ns() - self.now_ns);
                add(&raw mut (*spent).watched, 1);
            }
        }
    }
}
