//! The rings and their losses: how records leave the kernel.

mod reader;

use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use aya::maps::{Array, MapData, PerCpuArray};
use observer_ebpf::event::Kind;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(super) use self::reader::Reader;
use super::ProbeError;

/// One ring buffer, read by one reader.
pub(crate) struct Ring {
    reader: Reader,
    /// `process` or `network`.
    pub(crate) name: &'static str,
    /// Its size in bytes.
    pub(crate) size: u32,
    /// Records taken so far.
    pub(crate) records: u64,
    /// It could not be read the last time, which was told.
    fails: bool,
}

impl Ring {
    /// Opens a ring of that size, which lives on without the map that it is opened by.
    pub(super) fn open(map: &MapData, name: &'static str, size: u32) -> Result<Self, ProbeError> {
        let reader = Reader::new(map.fd().as_fd(), size).map_err(ProbeError::ReadRing)?;
        Ok(Self { reader, name, size, records: 0, fails: false })
    }

    /// Registers it with the runtime, to be woken when it has records.
    #[allow(unsafe_code, reason = "tokio wants a promise that the descriptor stays the same")]
    pub(crate) fn watch(self) -> std::io::Result<AsyncFd<Self>> {
        // SAFETY: the ring owns its descriptor for as long as it lives, and never changes it.
        unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }.map_err(std::io::Error::from)
    }

    /// Takes at most `most` records, oldest first; gives how many there were. Where it cannot be read for want of
    /// memory, the records wait for the next time.
    pub(crate) fn drain(&mut self, most: usize, take: impl FnMut(&[u8])) -> usize {
        let taken = match self.reader.take(most, take) {
            Ok(taken) => {
                self.fails = false;
                taken
            }
            Err((taken, error)) => {
                if !std::mem::replace(&mut self.fails, true) {
                    log::error!("the ring {} cannot be read now: {error}", self.name);
                }
                taken
            }
        };
        self.records += taken as u64;
        taken
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

/// What tells the probes that the daemon sleeps.
pub(crate) struct Alarm {
    map: Array<MapData, u32>,
}

impl Alarm {
    pub(super) fn new(map: Array<MapData, u32>) -> Self {
        Self { map }
    }

    /// The next record, on either ring, shall wake the daemon. The records after it do not.
    ///
    /// A record that is being written at this moment may not have seen this: look once more, later.
    pub(crate) fn set(&mut self) -> Result<(), ProbeError> {
        self.map.set(0, 1, 0).map_err(ProbeError::SetAlarm)
    }
}

/// The kernel's counts of records that found no room.
pub(crate) struct LostCounts {
    map: PerCpuArray<MapData, u64>,
    /// What was read last, by kind and CPU.
    seen: Vec<Vec<u64>>,
}

impl LostCounts {
    pub(super) fn new(map: PerCpuArray<MapData, u64>) -> Self {
        Self { map, seen: vec![Vec::new(); Kind::ALL.len()] }
    }

    /// Reports what was lost since the last call: kind, CPU and how many.
    pub(crate) fn read(&mut self, mut report: impl FnMut(Kind, u32, u64)) -> Result<(), ProbeError> {
        for (kind, seen) in Kind::ALL.into_iter().zip(&mut self.seen) {
            let counts = self.map.get(&(kind as u32), 0).map_err(ProbeError::ReadLosses)?;
            seen.resize(counts.len(), 0);
            for (cpu, (&count, seen)) in counts.iter().zip(seen).enumerate() {
                if count > *seen {
                    report(kind, cpu as u32, count - *seen);
                    *seen = count;
                }
            }
        }
        Ok(())
    }
}
