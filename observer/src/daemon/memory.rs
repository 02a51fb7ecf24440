//! The bound of the daemon's memory, and the C library's allocator, kept from holding on to what is not needed any more.
#![allow(unsafe_code, reason = "the allocator's own settings are C functions")]

use crate::event::BootTime;
use crate::inventory::host;
use crate::room::Room;

/// One part in so many of the bound is kept free, for what grows between two readings without asking: lists for clients
/// and windows, batches.
const KEPT_PART: u64 = 10;
/// So much at least.
const KEPT: u64 = 16 << 20;
/// Free memory is given back at most so often.
const RELEASE_NS: u64 = 10_000_000_000;

/// The bound, and what is left of it.
pub(crate) struct Memory {
    most: u64,
    room: Room,
    /// It was reached the last time, which was told.
    reached: bool,
    released: BootTime,
}

impl Memory {
    pub(crate) fn new(most: u64, room: Room) -> Self {
        Self { most, room, reached: false, released: BootTime(0) }
    }

    /// What is left, for whoever else grows.
    pub(super) fn room(&self) -> Room {
        self.room.clone()
    }

    /// Reads how much memory is resident, and lets all who grow know what is left. Where that is little, who can do with
    /// less is asked to `give_way`, and says whether he did.
    pub(crate) fn measure(&mut self, now: BootTime, give_way: impl FnOnce() -> bool) {
        let Some(mut resident) = self.read() else { return };
        let gave_way = give_way();
        if gave_way || (!self.room.is_left() && now.since_ns(self.released) >= RELEASE_NS) {
            self.released = now;
            release();
            resident = self.read().unwrap_or(resident);
        }
        let reached = !gave_way && !self.room.is_left();
        if reached && !self.reached {
            let (most, resident) = (self.most >> 20, resident >> 20);
            log::warn!("{resident} MiB of at most {most} MiB are in use: tables take nothing new in");
        }
        self.reached = reached;
    }

    /// Reads how many bytes are resident, and lets all know what is left.
    fn read(&self) -> Option<u64> {
        let resident = host::usage().ok()?.resident_bytes;
        let usable = self.most.saturating_sub(KEPT.max(self.most / KEPT_PART));
        self.room.set(usable.saturating_sub(resident));
        Some(resident)
    }
}

/// Arenas of the allocator: with one a thread, each would keep its own free memory.
#[cfg(target_env = "gnu")]
const ARENAS: i32 = 2;

/// Pieces of so many bytes are the system's own mappings, which go back at once. Left alone, the allocator raises this
/// to the largest piece that was given back: the tables that grow by doubling would leave their old halves behind, 12
/// MiB with 20,000 connections.
#[cfg(target_env = "gnu")]
const MAPPED: i32 = 256 * 1024;

/// So much free memory at the end of an arena stays for the next round of events. Less (the allocator's own bound does not
/// grow where the one above is set) goes back to the system with each round, and comes back page by page.
#[cfg(target_env = "gnu")]
const SPARE: i32 = 2 * 1024 * 1024;

/// To be called before any thread is made.
pub(crate) fn limit() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets numbers of the allocator's; no memory is touched.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, SPARE);
    }
}

/// Gives free memory back to the system: reading the kernel's types took some 30 MiB.
pub(crate) fn release() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the allocator gives up only what nobody holds.
    unsafe {
        libc::malloc_trim(0);
    }
}
