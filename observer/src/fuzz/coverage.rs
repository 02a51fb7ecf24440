//! Which code an input reached, where the compiler has put a counter at each edge of it; `cargo xtask fuzz` has it do so.
#![allow(unsafe_code, reason = "the counters are the compiler's, and are handed over as two pointers")]

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

static FIRST: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// So many counters are looked at at a time.
const BLOCK: usize = 256;
const NOTHING: [u8; BLOCK] = [0; BLOCK];

/// Called by each part of the program before its `main`, with the bounds of all counters; the name is LLVM's.
#[unsafe(no_mangle)]
unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    FIRST.store(start, Ordering::Relaxed);
    COUNT.store(stop as usize - start as usize, Ordering::Relaxed);
}

/// What all inputs together have reached.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// Of each counter a bit for each order of magnitude.
    seen: Vec<u8>,
}

impl Coverage {
    /// Before an input.
    #[allow(clippy::unused_self, reason = "the counters are the program's")]
    pub(super) fn clear(&self) {
        counters().fill(0);
    }

    /// After it: whether it reached something that none did before. Never, where there are no counters.
    pub(super) fn is_new(&mut self) -> bool {
        let counters = counters();
        self.seen.resize(counters.len(), 0);
        let mut is_new = false;
        // An input reaches little of it all.
        for (counters, seen) in counters.chunks(BLOCK).zip(self.seen.chunks_mut(BLOCK)) {
            if counters == &NOTHING[..counters.len()] {
                continue;
            }
            for (counter, seen) in counters.iter().zip(seen).filter(|(counter, _)| **counter != 0) {
                let magnitude = 1_u8 << counter.ilog2();
                is_new |= *seen & magnitude == 0;
                *seen |= magnitude;
            }
        }
        is_new
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        if self.seen.is_empty() {
            return "without coverage".to_owned();
        }
        format!("{} edges reached", self.seen.iter().filter(|seen| **seen != 0).count())
    }
}

fn counters() -> &'static mut [u8] {
    let (first, count) = (FIRST.load(Ordering::Relaxed), COUNT.load(Ordering::Relaxed));
    if first.is_null() {
        return &mut [];
    }
    // SAFETY: the compiler said that so many bytes are there as long as the program runs. Others count at the same time,
    // which loses a count at the worst; one target runs at a time where there are counters.
    unsafe { std::slice::from_raw_parts_mut(first, count) }
}
