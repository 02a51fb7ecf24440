//! Events of which no record was made yet: where a receiver does not take what waits for it, they wait as they are, which
//! costs next to nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ids::SpanName;
use crate::wire::Published;

/// An event, and the span that it belongs to.
pub(super) type Unmade = (Arc<Published>, Option<SpanName>);

/// Those that wait, within a bound of bytes. Where there is no room, the oldest one goes.
#[derive(Debug)]
pub(super) struct Waiting {
    events: VecDeque<Unmade>,
    bytes: usize,
    most_bytes: usize,
}

impl Waiting {
    /// With room for so many bytes.
    pub(super) const fn new(most_bytes: usize) -> Self {
        Self { events: VecDeque::new(), bytes: 0, most_bytes }
    }

    /// Puts one in, and says how many had to make room for it.
    pub(super) fn put(&mut self, unmade: Unmade) -> u64 {
        self.bytes += unmade.0.event.bytes();
        self.events.push_back(unmade);
        let mut lost = 0;
        while self.bytes > self.most_bytes && self.next().is_some() {
            lost += 1;
        }
        lost
    }

    /// Takes the oldest one out.
    pub(super) fn next(&mut self) -> Option<Unmade> {
        let unmade = self.events.pop_front()?;
        self.bytes -= unmade.0.event.bytes();
        Some(unmade)
    }

    /// None waits.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, examples};

    #[test]
    fn the_oldest_make_room_and_what_is_lost_is_counted() {
        let tcp = examples::tcp(1, true, "10.0.0.1:80", None);
        let made = |sequence| {
            let event = examples::event(&examples::host(1), 1, examples::connect(&tcp));
            let event = Arc::new(Event { sequence, ..event });
            (Published::new(&event, &"node".into()), None)
        };
        let each = made(1).0.event.bytes();
        let mut waiting = Waiting::new(3 * each);
        let lost: Vec<u64> = (1..=5).map(|sequence| waiting.put(made(sequence))).collect();
        assert_eq!(lost, [0, 0, 0, 1, 1]);
        let left: Vec<u64> =
            std::iter::from_fn(|| waiting.next()).map(|(one, _)| one.event.sequence).collect();
        assert_eq!((left, waiting.is_empty(), waiting.bytes), (vec![3, 4, 5], true, 0));
        // One that is larger than all the room finds none.
        assert_eq!(Waiting::new(each - 1).put(made(6)), 1);
    }
}
