//! What the sessions' programs take: from one reading to the next by one clock, so that a sum never leaps.

/// What a deeper program takes for something that is not watched, on a slow machine; the figure of one machine is in
/// docs/debug.md.
const PASSING_NS: u64 = 100;

/// What the sessions' programs took since the daemon's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Nanoseconds of processor time.
    pub(crate) ns: u64,
    /// How often they ran.
    pub(crate) runs: u64,
    /// How often for something that is not watched.
    pub(crate) others: u64,
    /// Runs that the kernel measured (`kernel.bpf_stats_enabled`); of all others it is what the programs themselves
    /// measured, and [`PASSING_NS`] for each time that they ran for others.
    pub(crate) measured: u64,
}

/// What was counted until a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// By the programs themselves: nanoseconds for what is watched, how often that was, and how often it was for others.
    pub(super) watched_ns: u64,
    pub(super) watched: u64,
    pub(super) others: u64,
    /// By the kernel; `None` where it did not say so of all of them.
    pub(super) kernel: Option<Figures>,
}

/// The kernel's figures of all programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) ns: u64,
    pub(super) runs: u64,
}

impl Cost {
    /// Adds what was taken between two readings. The kernel's clock is used where it counted about as many runs between
    /// them as the programs did, as the two are not read at one moment: where its counting was switched on or off
    /// meanwhile, it has only some of them.
    pub(super) fn add(&mut self, before: &Reading, after: &Reading) {
        let others = after.others.saturating_sub(before.others);
        let runs = others + after.watched.saturating_sub(before.watched);
        let kernel = before.kernel.zip(after.kernel).map(|(before, after)| Figures {
            ns: after.ns.saturating_sub(before.ns),
            runs: after.runs.saturating_sub(before.runs),
        });
        self.runs += runs;
        self.others += others;
        if let Some(kernel) = kernel.filter(|kernel| kernel.runs > 0 && kernel.runs >= runs - runs / 8) {
            self.ns += kernel.ns;
            self.measured += runs;
        } else {
            self.ns += after.watched_ns.saturating_sub(before.watched_ns) + others * PASSING_NS;
        }
    }

    /// What was taken since then.
    pub(crate) const fn since(&self, before: &Self) -> Self {
        Self {
            ns: self.ns.saturating_sub(before.ns),
            runs: self.runs.saturating_sub(before.runs),
            others: self.others.saturating_sub(before.others),
            measured: self.measured.saturating_sub(before.measured),
        }
    }

    /// The kernel measured most of it.
    pub(crate) const fn is_measured(&self) -> bool {
        self.measured > self.runs / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn reading(watched_ns: u64, watched: u64, others: u64, kernel: (u64, u64)) -> Reading {
        let (ns, runs) = kernel;
        Reading { watched_ns, watched, others, kernel: Some(Figures { ns, runs }) }
    }

    fn summed(readings: &[Reading]) -> Vec<Cost> {
        let mut cost = Cost::default();
        let add = |pair: &[Reading]| {
            cost.add(&pair[0], &pair[1]);
            cost
        };
        readings.windows(2).map(add).collect()
    }

    #[test]
    fn what_the_kernel_begins_or_ceases_to_measure_makes_no_leap() {
        let all = summed(&[
            reading(0, 0, 0, (0, 0)),
            // Nothing is measured by the kernel: ten runs for 500 ns, and a hundred for others.
            reading(500, 10, 100, (0, 0)),
            // All of it is.
            reading(1_000, 20, 200, (30_000, 109)),
            // Some of it.
            reading(1_500, 30, 300, (30_100, 112)),
            // Nothing again.
            reading(2_000, 40, 400, (30_100, 112)),
        ]);
        let ns: Vec<_> = all.iter().map(|cost| cost.ns).collect();
        assert_eq!(ns, [10_500, 40_500, 51_000, 61_500]);
        let last = all[3];
        assert_eq!((last.runs, last.others, last.measured), (440, 400, 110));
        assert!(!last.is_measured());
        assert!(all[1].since(&all[0]).is_measured());
    }

    #[test]
    fn figures_that_are_missing_once_are_not_counted_the_next_time() {
        let missing = Reading { kernel: None, ..reading(0, 0, 10, (0, 0)) };
        let all = summed(&[
            reading(0, 0, 0, (5_000_000, 100)),
            missing,
            reading(0, 0, 20, (5_001_000, 120)),
            reading(0, 0, 30, (5_001_500, 130)),
        ]);
        let ns: Vec<_> = all.iter().map(|cost| cost.ns).collect();
        assert_eq!(ns, [1_000, 2_000, 2_500]);
    }
}
