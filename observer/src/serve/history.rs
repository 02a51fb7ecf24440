//! What a new subscriber gets first: the newest events and windows, bounded.

mod events;
#[cfg(test)]
mod tests;
mod windows;

pub(super) use self::events::{Events, Page};
pub(super) use self::windows::Windows;
use observer_proto::served as v1;

use crate::event::WallTime;
use crate::wire::timestamp;

/// Which of the events in memory somebody wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Those with higher numbers than this.
    pub(crate) after: u64,
    /// Not before this time.
    pub(crate) since: Option<WallTime>,
    /// Not after this time.
    pub(crate) until: Option<WallTime>,
    /// So many of the oldest.
    pub(crate) first: Option<usize>,
    /// So many of the newest.
    pub(crate) last: Option<usize>,
    /// The numbers are of another run of the daemon, so all of this one's are wanted.
    pub(crate) another_run: bool,
    /// The run that the numbers are of, where they are of one.
    pub(crate) resumed: Option<WallTime>,
}

/// How far back the memory reaches, for one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// All events after this time are there, less those that were lost elsewhere.
    pub(crate) complete_since: WallTime,
    /// The oldest event that is there.
    pub(crate) oldest: Option<WallTime>,
    /// So many at most of those that were asked for, before filters, are not there any more.
    pub(crate) missing: u64,
    /// As in what was asked.
    pub(crate) another_run: bool,
}

impl From<&Reach> for v1::History {
    fn from(reach: &Reach) -> Self {
        let Reach { complete_since, oldest, missing, another_run } = *reach;
        Self {
            complete_since: Some(timestamp(complete_since)),
            oldest: oldest.map(timestamp),
            missing,
            another_run,
        }
    }
}

/// What is in memory for an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) span: Span,
    pub(super) reach: Reach,
    /// All that was asked for is there: nothing is to be read elsewhere.
    pub(super) suffices: bool,
}

/// What of it is still to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    after: u64,
    since: Option<WallTime>,
    until: Option<WallTime>,
    /// So many at most.
    left: usize,
    /// So many after it were not there any more when it was looked at last.
    gone: u64,
}

impl Span {
    /// Events up to this number are not in it.
    pub(super) const fn after(&self) -> u64 {
        self.after
    }
}
