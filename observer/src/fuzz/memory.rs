//! The memory that a thread has at a time, as its allocator counts it.
#![allow(unsafe_code, reason = "an allocator is unsafe by its nature; this one passes on to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// Bytes that this thread has taken and not given back, and the most that it ever had. What another thread gives back
    /// is counted there.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// The most that this thread takes at a time while it does something, beyond what it has now.
pub(super) fn most_during(work: impl FnOnce()) -> usize {
    let (before, _) = HELD.get();
    HELD.set((before, before));
    work();
    let (_, most) = HELD.get();
    usize::try_from(most - before).unwrap_or(0)
}

struct Counting;

fn count(bytes: isize) {
    // A thread that ends has none any more.
    let _ended = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + bytes, most.max(now + bytes)));
    });
}

// SAFETY: each call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps to what `GlobalAlloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the same.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the same.
        unsafe { System.realloc(memory, layout, size) }
    }
}
