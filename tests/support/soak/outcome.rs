//! What was asked for, what came of it, and what of that is not as it should be.

use serde::Serialize;

use super::memory::{Memory, Sample};

/// How much of what.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Plan {
    /// How long, in seconds.
    pub seconds: u64,
    /// Connections a second.
    pub connections: u64,
    /// Execs a second.
    pub execs: u64,
    /// A container that comes and goes, so often.
    pub container_every_ms: u64,
}

/// One figure, by all who know it.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it is of.
    pub what: String,
    /// How many were made, by the generators' own word.
    pub made: u64,
    /// How many the daemon told of.
    pub told: u64,
    /// So many fewer may be told as the kernel hid changes of state from all programs.
    pub hidden: u64,
}

impl Figure {
    /// Whether what was told is what was made.
    pub fn holds(&self) -> bool {
        (self.made.saturating_sub(self.hidden)..=self.made).contains(&self.told)
    }
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What was asked for.
    pub plan: Plan,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The totals.
    pub figures: Vec<Figure>,
    /// What the daemon said that it lost, less what the kernel hid and what a subscriber's queue had no room for.
    pub lost: u64,
    /// What the subscriber of events lost, as it read too slowly. Its own sums are not compared then.
    pub subscriber_lost: u64,
    /// The daemon's memory.
    pub memory: Memory,
    /// Its processor time, in percent of one processor.
    pub cpu_percent: f64,
    /// Events that it told of.
    pub events: u64,
    /// Its memory and processor time over the time.
    pub series: Vec<Sample>,
}

impl Outcome {
    /// What is not as it should be, in words.
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self
            .figures
            .iter()
            .filter(|figure| !figure.holds())
            .map(|figure| format!("{figure:?}"))
            .collect();
        if self.lost > 0 {
            faults.push(format!("{} lost", self.lost));
        }
        if !self.memory.is_flat() {
            faults.push(format!("memory grows: {:?}", self.memory));
        }
        faults
    }
}
