//! Keeps the C library's allocator from holding on to memory that only the start needed.
#![allow(unsafe_code, reason = "the allocator's own settings are C functions")]

/// Arenas of the allocator: with one a thread, each would keep its own free memory.
#[cfg(target_env = "gnu")]
const ARENAS: i32 = 2;

/// To be called before any thread is made.
pub(super) fn limit_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator's; no memory is touched.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}

/// Gives free memory back to the system: reading the kernel's types took some 30 MiB.
pub(super) fn release() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the allocator gives up only what nobody holds.
    unsafe {
        libc::malloc_trim(0);
    }
}
