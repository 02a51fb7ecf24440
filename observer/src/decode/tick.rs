//! How long the kernel's timer tick is, which some figures are counted in.

/// The length of the kernel's timer tick (a jiffy), once it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tick {
    length_ns: Option<u64>,
}

impl Tick {
    /// The frequencies that kernels are built with (kernel/Kconfig.hz), in ticks a second.
    const FREQUENCIES: [u64; 4] = [100, 250, 300, 1000];
    /// So many ticks tell even 250 from 300 apart.
    const ENOUGH: u64 = 50;

    /// Learns from two readings that so many ticks took so many nanoseconds.
    pub(crate) fn learn(&mut self, ticks: u64, nanoseconds: u64) {
        if self.length_ns.is_some() || ticks < Self::ENOUGH || nanoseconds == 0 {
            return;
        }
        let measured = ticks * 1_000_000_000 / nanoseconds;
        let nearest = Self::FREQUENCIES.into_iter().min_by_key(|frequency| frequency.abs_diff(measured));
        self.length_ns = nearest.map(|frequency| 1_000_000_000 / frequency);
    }

    pub(super) fn nanoseconds(self, ticks: u32) -> Option<u64> {
        Some(u64::from(ticks) * self.length_ns?)
    }
}
