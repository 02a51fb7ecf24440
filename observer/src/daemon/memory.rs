//! Keeps the C library's allocator from holding on to memory that is not needed any more.
#![allow(unsafe_code, reason = "the allocator's own settings are C functions")]

/// Arenas of the allocator: with one a thread, each would keep its own free memory.
#[cfg(target_env = "gnu")]
const ARENAS: i32 = 2;

/// Pieces of so many bytes are the system's own mappings, which go back at once. Left alone, the allocator raises this
/// to the largest piece that was given back: the tables that grow by doubling would leave their old halves behind, 12
/// MiB with 20,000 connections.
#[cfg(target_env = "gnu")]
const MAPPED: i32 = 256 * 1024;

/// To be called before any thread is made.
pub(super) fn limit() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets numbers of the allocator's; no memory is touched.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
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
