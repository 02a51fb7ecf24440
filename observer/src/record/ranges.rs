//! The windows of a part of what is recorded.

use super::Kind;
use super::store::{Store, StoreError};
use super::windows::Identities;
use crate::event::{WallTime, Window};

/// Takes each window that begins within a time, oldest first, until there is no other one or the taker has enough.
pub(crate) fn for_each_window(
    store: &Store,
    [since, until]: [WallTime; 2],
    mut take: impl FnMut(Window) -> bool,
) -> Result<(), StoreError> {
    let mut identities = Identities::default();
    let mut place = store.at(Kind::Windows, since)?;
    while let Some((next, windows)) = store.windows(place)? {
        place = next;
        // The clock may have gone back within a block: all of it is looked at.
        let mut later = !windows.is_empty();
        for told in windows {
            let start = told.start.as_ref().map_or(WallTime(0), crate::wire::wall_time);
            later &= start >= until;
            if start >= since && start < until && !take(identities.window(place.run, &told)) {
                return Ok(());
            }
        }
        if later {
            return Ok(());
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
