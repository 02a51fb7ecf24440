//! Up to when each daemon has told its windows: a stream that is opened again begins with the newest window, part of which may have
//! been told before.

use std::collections::HashMap;
use std::sync::Arc;

use prost_types::Timestamp;

/// A window that begins no more than that before the end of the last one begins at that end: the daemon puts windows together of
/// whole seconds.
const SAME_NS: i128 = 500_000_000;
/// Daemons that are remembered. Beyond that, those that have not told anything for the longest time are forgotten.
const REMEMBERED: usize = 10_000;

/// A daemon: its node's name, and when it was started.
type Daemon = (Arc<str>, Option<(i64, i32)>);

/// The end of what each daemon has told, by its own clock in nanoseconds.
#[derive(Debug, Default)]
pub(in crate::relay) struct Ends(HashMap<Daemon, i128>);

/// A part of a window was told before: for how long it has what was not, in nanoseconds.
#[derive(Debug, PartialEq)]
pub(in crate::relay) struct Overlaps(pub(in crate::relay) u64);

impl Ends {
    /// Takes in that a daemon tells a window, the first one of a stream or a later one.
    pub(in crate::relay) fn tell(
        &mut self,
        name: &Arc<str>,
        started: Option<Timestamp>,
        [start, end]: [i128; 2],
        is_first: bool,
    ) -> Result<(), Overlaps> {
        let daemon = (Arc::clone(name), started.map(|time| (time.seconds, time.nanos)));
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&daemon) {
            self.forget();
        }
        // The newest window ends no earlier than what was told, unless the daemon's clock was set back.
        let overlaps = |told: &i128| is_first && start + SAME_NS < *told && end + SAME_NS >= *told;
        let told = self.0.get(&daemon).copied().filter(overlaps);
        self.0.insert(daemon, told.unwrap_or(end).max(end));
        told.map_or(Ok(()), |told| Err(Overlaps(u64::try_from(end - told).unwrap_or(0))))
    }

    /// Forgets the older half.
    fn forget(&mut self) {
        let mut ends: Vec<_> = self.0.values().copied().collect();
        let (_, middle, _) = ends.select_nth_unstable(REMEMBERED / 2);
        let middle = *middle;
        self.0.retain(|_, end| *end > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_comes_back_tells_nothing_twice() {
        let mut ends = Ends::default();
        let mut tell = |name: &str, started, from: i128, to: i128, is_first| {
            let started = Some(Timestamp { seconds: started, nanos: 0 });
            ends.tell(&name.into(), started, [from, to].map(|s| s * 1_000_000_000), is_first)
        };
        assert_eq!(tell("a", 1, 40, 50, true), Ok(()));
        assert_eq!(tell("a", 1, 50, 60, false), Ok(()));
        assert_eq!(tell("a", 1, 53, 63, true), Err(Overlaps(3_000_000_000)));
        assert_eq!(tell("a", 1, 63, 73, false), Ok(()));
        assert_eq!(tell("a", 1, 73, 83, true), Ok(()));
        // Another daemon, and another one of that name, which may be as wrong about the time as it likes.
        assert_eq!([tell("b", 1, 53, 63, true), tell("a", 2, 53, 63, true)], [Ok(()), Ok(())]);
        assert_eq!(tell("a", 2, 20, 30, false), Ok(()));
        // All of it was told before.
        assert_eq!(tell("b", 1, 53, 63, true), Err(Overlaps(0)));
        assert_eq!(tell("b", 1, 23, 33, true), Ok(()), "its clock was set back");
    }

    #[test]
    fn no_more_daemons_are_remembered_than_may_be() {
        let mut ends = Ends::default();
        for number in 0..2 * REMEMBERED as i64 {
            let started = Some(Timestamp { seconds: number, nanos: 0 });
            assert_eq!(ends.tell(&"a".into(), started, [0, number.into()], true), Ok(()));
            assert!(ends.0.len() <= REMEMBERED);
        }
    }
}
