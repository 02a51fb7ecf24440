//! The two clocks: the kernel's boot clock, which never steps, and the wall clock, which people read.

/// Nanoseconds since the machine booted, suspended time included (CLOCK_BOOTTIME).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BootTime(pub(crate) u64);

impl BootTime {
    /// Nanoseconds from `earlier` to this, 0 if it is not later.
    pub(crate) const fn since_ns(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WallTime(pub(crate) u64);

/// One reading of both clocks, which the pure stages are given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Now {
    /// The boot clock.
    pub(crate) boot: BootTime,
    /// The wall clock at the same moment.
    pub(crate) wall: WallTime,
}

impl Now {
    /// The wall clock's time of a moment of the boot clock, by the offset of this reading.
    pub(crate) const fn wall_of(self, time: BootTime) -> WallTime {
        WallTime(self.wall.0.saturating_sub(self.boot.0).saturating_add(time.0))
    }
}
