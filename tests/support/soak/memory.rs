//! The daemon's memory over time, and whether it grows.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::daemon::Daemon;

/// So many points are kept of a series.
const POINTS: usize = 120;
/// What memory may differ by, in MiB: what a busier second needs.
const NOISE_MIB: f64 = 2.0;

/// One reading.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Since the start.
    pub seconds: f64,
    /// Resident memory.
    pub resident_mib: f64,
    /// Processor time so far.
    pub cpu_seconds: f64,
}

impl Sample {
    pub(super) fn of(daemon: &Daemon, since: Duration) -> Result<Self> {
        Ok(Self {
            seconds: since.as_secs_f64(),
            resident_mib: daemon.memory()?.0 as f64 / f64::from(1 << 20),
            cpu_seconds: daemon.cpu()?.as_secs_f64(),
        })
    }
}

/// The daemon's resident memory, in MiB.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// The median of the second quarter of the time.
    pub second_quarter: f64,
    /// The median of the last quarter.
    pub last_quarter: f64,
    /// The most.
    pub most: f64,
}

impl Memory {
    pub(super) fn of(samples: &[Sample]) -> Self {
        let quarter = samples.len() / 4;
        let resident = |samples: &[Sample]| samples.iter().map(|sample| sample.resident_mib).collect();
        let all: Vec<f64> = resident(samples);
        Self {
            second_quarter: median(resident(&samples[quarter..2 * quarter])),
            last_quarter: median(resident(&samples[samples.len() - quarter..])),
            most: all.into_iter().fold(0.0, f64::max),
        }
    }

    /// Whether the last quarter needed no more than the second.
    pub fn is_flat(&self) -> bool {
        self.last_quarter <= self.second_quarter + NOISE_MIB
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// At most so many of the readings, evenly.
pub(super) fn reduced(samples: &[Sample]) -> Vec<Sample> {
    samples.iter().copied().step_by(samples.len().div_ceil(POINTS).max(1)).collect()
}
