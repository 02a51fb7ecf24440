//! The little of Unix signals that `std` lacks: to note a Ctrl-C, and to ask a process to end.
#![expect(unsafe_code, reason = "std has no signals, and a dependency would make every first build slower")]

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) const SIGHUP: c_int = 1;
pub(crate) const SIGINT: c_int = 2;
pub(crate) const SIGTERM: c_int = 15;

static STOP: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn kill(process: c_int, number: c_int) -> c_int;
}

extern "C" fn note(_number: c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP no longer end this process. Its children get them as ever: a handler,
/// unlike an ignored signal, is not inherited.
pub(crate) fn watch() {
    for number in [SIGINT, SIGTERM, SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which is allowed at any moment.
        unsafe { signal(number, note) };
    }
}

/// Whether one of them has come.
pub(crate) fn stop_was_asked() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Sends a signal to a child that has not been waited for, so its number is still its own. Says whether we may.
pub(crate) fn send(process: u32, number: c_int) -> bool {
    // SAFETY: two integers go in, nothing is dereferenced.
    c_int::try_from(process).is_ok_and(|process| unsafe { kill(process, number) } == 0)
}
