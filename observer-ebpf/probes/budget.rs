//! Budgets: how much of a cgroup is told one by one, so that none of them takes the rings, or the history, for itself.

use core::arch::asm;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use observer_ebpf::budget::{BUDGETS_MAX, Budget, EDGES_MAX, PERIOD_SHIFT, class};

use crate::kernel::EVENT_BUDGET;

/// What each cgroup has used of late. One that gives way has its budget anew.
#[map]
static BUDGETS: LruHashMap<u64, Budget> = LruHashMap::with_max_entries(BUDGETS_MAX, 0);

const NOTHING: Budget = Budget { period: 0, used: [0; class::COUNT], edges: 0 };

/// Adds to a counter that other CPUs and interrupts add to as well.
///
/// # Safety
/// `counter` is valid for writes and never read otherwise than whole.
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, count: u64) {
    // SAFETY: as promised to this function; the target has no `AtomicU64::fetch_add`.
    unsafe {
        asm!("lock *(u64 *)({counter} + 0) += {count}", counter = in(reg) counter, count = in(reg) count);
    }
}

/// Takes so many records of a class out of a cgroup's budget; false where not so much is left of it. Two CPUs that ask at
/// the same moment may both get the last of it.
#[inline(always)]
pub(crate) fn take(cgroup_id: u64, class: usize, records: u32, now_ns: u64) -> bool {
    let limit = EVENT_BUDGET.value();
    if limit == 0 {
        return true;
    }
    let Some(budget) = of(cgroup_id, now_ns) else { return true };
    // SAFETY: the map's value; what others write at the same time is a whole number all the same.
    unsafe {
        let used = (&raw mut (*budget).used[class]).cast::<u32>();
        let sum = used.read_volatile() + records;
        if sum > limit {
            return false;
        }
        used.write_volatile(sum);
    }
    true
}

/// One more edge of this cgroup may be added up by itself in this period.
#[inline(always)]
pub(crate) fn take_edge(cgroup_id: u64, now_ns: u64) -> bool {
    let Some(budget) = of(cgroup_id, now_ns) else { return false };
    // SAFETY: as in `take`.
    unsafe {
        let edges = &raw mut (*budget).edges;
        let before = edges.read_volatile();
        edges.write_volatile(before + 1);
        before < EDGES_MAX
    }
}

/// A cgroup's budget in this period; none where the map has no room.
#[inline(always)]
fn of(cgroup_id: u64, now_ns: u64) -> Option<*mut Budget> {
    let budget = if let Some(found) = BUDGETS.get_ptr_mut(cgroup_id) {
        found
    } else {
        // Another CPU may have been first: what is there counts.
        let _ = BUDGETS.insert(cgroup_id, NOTHING, u64::from(BPF_NOEXIST));
        BUDGETS.get_ptr_mut(cgroup_id)?
    };
    let period = now_ns >> PERIOD_SHIFT;
    // SAFETY: the map's value.
    unsafe {
        if (*budget).period != period {
            (*budget).period = period;
            (*budget).used = [0; class::COUNT];
            (*budget).edges = 0;
        }
    }
    Some(budget)
}
