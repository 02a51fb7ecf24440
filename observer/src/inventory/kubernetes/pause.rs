//! How long to wait before the API is asked again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The first and the longest pause before it is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause after so many tries: twice as long each time, and between half of that and all of it, so that the
/// daemons of a cluster do not all come back at once.
pub(super) fn pause(tries: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    let half = whole / 2;
    half + half.mul_f64((RandomState::new().hash_one(tries) >> 32) as f64 / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        for (tries, most) in [(1, 250), (2, 500), (3, 1_000), (8, 30_000), (u32::MAX, 30_000)] {
            let pause = pause(tries);
            let most = Duration::from_millis(most);
            assert!(pause >= most / 2 && pause <= most, "{tries}: {pause:?}");
        }
    }
}
