//! The windows of a part of what is recorded, and what is missing between them.

use observer_proto::v1::{Gap, GapReason};

use super::Kind;
use super::store::{Place, Store, StoreError};
use super::windows::Identities;
use crate::event::{WallTime, Window};
use crate::wire::{timestamp, wall_time};

/// The clock may be corrected by so much between two windows: nothing is missing then.
const CORRECTED_NS: u64 = 50_000_000;

/// Windows that begin within a time, read block by block.
#[derive(Debug)]
pub(crate) struct RecordedWindows {
    since: WallTime,
    until: WallTime,
    identities: Identities,
    /// `None` before the first block.
    place: Option<Place>,
    /// Up to when windows were read, or since when they are asked for; `None` where all of them are.
    reached: Option<WallTime>,
    /// There was one.
    begun: bool,
    ended: bool,
}

/// What is recorded of a time, in its order.
#[derive(Debug)]
pub(crate) enum OfTime {
    /// A window.
    Window(Box<Window>),
    /// There is none for that time.
    Gap(Gap),
}

impl RecordedWindows {
    /// Those that begin at the first of these times or later, and before the other one.
    pub(crate) fn of([since, until]: [WallTime; 2]) -> Self {
        let reached = Some(since).filter(|since| *since > WallTime(0));
        Self {
            since,
            until,
            identities: Identities::default(),
            place: None,
            reached,
            begun: false,
            ended: false,
        }
    }

    /// What the next block has of them; `None` at the end.
    pub(crate) fn next(&mut self, store: &Store) -> Result<Option<Vec<OfTime>>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let place = match self.place {
            Some(place) => place,
            None => store.at(Kind::Windows, self.since)?,
        };
        let mut found = Vec::new();
        let Some((next, windows)) = store.windows(place)? else {
            self.ended = true;
            self.missing(store, self.until, false, &mut found)?;
            return Ok(Some(found));
        };
        // Of the same run, and windows have numbers in between that are not there any more.
        let lacks = next.run == place.run && next.after.saturating_sub(place.after) > windows.len() as u64;
        self.place = Some(next);
        // The clock may have gone back within a block: all of it is looked at.
        self.ended = !windows.is_empty();
        for told in windows {
            let start = told.start.as_ref().map_or(WallTime(0), wall_time);
            let later = start >= self.until;
            self.ended &= later;
            let end = WallTime(start.0.saturating_add(told.length_ns));
            if start >= self.since && !later {
                // The one in which the time begins is not asked for.
                let before = if self.begun { 0 } else { told.length_ns };
                self.missing(store, WallTime(start.0.saturating_sub(before)), lacks, &mut found)?;
                self.begun = true;
                self.reached = Some(end);
                found.push(OfTime::Window(Box::new(self.identities.window(next.run, &told))));
            }
        }
        if self.ended {
            self.missing(store, self.until, lacks, &mut found)?;
        }
        Ok(Some(found))
    }

    /// What is missing between what was reached and a time, if that is longer than a corrected clock explains.
    fn missing(
        &mut self,
        store: &Store,
        to: WallTime,
        made_room: bool,
        found: &mut Vec<OfTime>,
    ) -> Result<(), StoreError> {
        let Some(from) = self.reached.filter(|from| to.0.saturating_sub(from.0) > CORRECTED_NS) else {
            return Ok(());
        };
        let gaps = store.gaps_within([from, to])?;
        if gaps.is_empty() && made_room {
            let (since, until) = (Some(timestamp(from)), Some(timestamp(to)));
            let reason = GapReason::MadeRoom.into();
            found.push(OfTime::Gap(Gap { reason, since, until, ..Gap::default() }));
        }
        found.extend(gaps.into_iter().map(OfTime::Gap));
        Ok(())
    }
}

/// Takes each window that begins within a time, oldest first, until there is no other one or the taker has enough.
pub(crate) fn for_each_window(
    store: &Store,
    range: [WallTime; 2],
    mut take: impl FnMut(Window) -> bool,
) -> Result<(), StoreError> {
    let mut windows = RecordedWindows::of(range);
    while let Some(some) = windows.next(store)? {
        for one in some {
            if let OfTime::Window(window) = one
                && !take(*window)
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Windows that follow one another in these, all in one; `None` without any.
pub(crate) fn whole_window(store: &Store, range: [WallTime; 2]) -> Result<Option<Window>, StoreError> {
    let mut whole: Option<Window> = None;
    for_each_window(store, range, |window| {
        match &mut whole {
            Some(whole) => whole.merge(&window),
            None => whole = Some(window),
        }
        true
    })?;
    Ok(whole)
}
