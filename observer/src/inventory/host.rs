//! The machine itself and this process: name, kernel, clocks, addresses, own cost.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use procfs::WithCurrentSystemInfo as _;
use procfs::process::Process;
use rustix::time::{ClockId, clock_gettime};

use crate::event::{BootTime, Now, WallTime};

/// Why something about the machine could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// The interfaces' addresses.
    #[error("cannot list the addresses of the network interfaces")]
    Addresses(#[source] nix::Error),
    /// This process's figures.
    #[error("cannot read this process's memory use")]
    Usage(#[source] procfs::ProcError),
}

/// What this process has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Resident memory in bytes.
    pub(crate) resident_bytes: u64,
    /// CPU time of all threads since the start, in nanoseconds.
    pub(crate) cpu_time_ns: u64,
}

/// The machine's name.
pub(crate) fn node_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The kernel's release, as `uname -r` prints it.
pub(crate) fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The wall clock, as the C library has it.
#[allow(clippy::disallowed_methods, reason = "this is where the clocks are read")]
fn wall() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

/// Both clocks, read so close together that their difference is good for events' wall times.
pub(crate) fn now() -> Now {
    let before = read(ClockId::Boottime);
    let wall = wall();
    let after = read(ClockId::Boottime);
    Now { boot: BootTime(before + after.saturating_sub(before) / 2), wall: WallTime(wall) }
}

/// The addresses of this network namespace's interfaces, without loopback, sorted.
pub(crate) fn addresses() -> Result<Vec<IpAddr>, HostError> {
    let mut addresses: Vec<IpAddr> = nix::ifaddrs::getifaddrs()
        .map_err(HostError::Addresses)?
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .filter(|address| !address.is_loopback())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// This process's memory and CPU time.
pub(crate) fn usage() -> Result<Usage, HostError> {
    let stat = Process::myself().and_then(|process| process.stat()).map_err(HostError::Usage)?;
    Ok(Usage { resident_bytes: stat.rss_bytes().get(), cpu_time_ns: read(ClockId::ProcessCPUTime) })
}

/// What the calling thread has taken of a processor since its start, whatever else runs.
pub(crate) fn thread_time() -> Duration {
    Duration::from_nanos(read(ClockId::ThreadCPUTime))
}

/// A clock in nanoseconds. None of those read here is ever negative.
fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_advance_together() {
        let first = now();
        let second = now();
        assert!(second.boot >= first.boot);
        assert!(first.wall.0 > 1_700_000_000_000_000_000, "{first:?}");
        let offset = |now: Now| now.wall.0 - now.boot.0;
        assert!(offset(first).abs_diff(offset(second)) < 1_000_000, "{first:?} {second:?}");
    }

    #[test]
    fn the_machine_has_a_name_and_no_loopback_among_its_addresses() {
        assert!(!node_name().is_empty());
        assert!(kernel_release().contains('.'));
        assert!(addresses().unwrap().iter().all(|address| !address.is_loopback()));
    }

    #[test]
    fn own_cost_is_read() {
        let usage = usage().unwrap();
        assert!(usage.resident_bytes > 100_000, "{usage:?}");
        assert!(usage.cpu_time_ns > 0, "{usage:?}");
    }
}
