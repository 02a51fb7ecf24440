//! Budgets: how much of a cgroup is told one by one, so that none of them takes the rings, or the history, for itself.

use core::arch::asm;

use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use observer_ebpf::budget::{BUDGETS_MAX, Budget, EDGES_MAX, PERIOD_SHIFT, class};

use crate::kernel::EVENT_BUDGET;

/// What each cgroup has used of late.
#[map]
static BUDGETS: Array<Budget> = Array::with_max_entries(BUDGETS_MAX, 0);

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

/// A cgroup's budget in this period; none where another one has its place. One line of memory, and no call: an exec comes
/// when nothing of this is in the processor's cache.
#[inline(always)]
fn of(cgroup_id: u64, now_ns: u64) -> Option<*mut Budget> {
    let budget = BUDGETS.get_ptr_mut(cgroup_id as u32 & (BUDGETS_MAX - 1))?;
    let period = (now_ns >> PERIOD_SHIFT) as u32;
    // SAFETY: the map's value. Two CPUs that begin a period at the same moment may forget what one of them took.
    unsafe {
        if (*budget).period != period {
            (*budget).cgroup_id = cgroup_id;
            (*budget).used = [0; class::COUNT];
            (*budget).edges = 0;
            (*budget).period = period;
        } else if (*budget).cgroup_id != cgroup_id {
            return None;
        }
    }
    Some(budget)
}
