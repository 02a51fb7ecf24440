//! The recorder as a whole: killed at any moment, and for an hour of a clock of its own.

mod hour;
mod killed;

/// The processor time of this thread: however busy the machine is with other things.
fn cpu() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
