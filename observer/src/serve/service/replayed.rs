//! A recording that is served in place of what happens.

use observer_proto::served;
use tonic::Status;

use super::Service;
use crate::event::{Now, WallTime, Window};
use crate::record::{self, CLOCKS, Store, StoreError};

/// A recording, and what is told of it.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// How the daemon was.
    pub(crate) status: served::Status,
    /// What was recorded.
    pub(crate) store: Store,
    /// The moment that is shown.
    pub(crate) moment: WallTime,
}

impl Replayed {
    /// The time that is summed up: so much before the moment, or all of it.
    pub(super) fn newest(&self, length_ns: Option<u64>) -> (WallTime, Option<WallTime>) {
        match length_ns {
            Some(length) => (WallTime(self.moment.0.saturating_sub(length)), Some(self.moment)),
            None => (WallTime(0), None),
        }
    }

    /// The figures of so long before the moment.
    pub(super) fn before(&self, length_ns: u64) -> Result<(Window, Now), Status> {
        let since = WallTime(self.moment.0.saturating_sub(length_ns));
        let whole = record::whole_window(&self.store, [since, self.moment]);
        let whole = whole.map_err(|error| unreadable(&error))?;
        let mut window =
            whole.ok_or_else(|| Status::not_found("no figures of the minute before are recorded"))?;
        window.show_idle();
        Ok((window, CLOCKS))
    }
}

impl Service {
    /// Nothing of a recording can be changed.
    pub(super) fn may_change(&self) -> Result<(), Status> {
        match self.replayed {
            None => Ok(()),
            Some(_) => Err(Status::failed_precondition(
                "this is a recording that is replayed: nothing in it can be opened, closed, deleted or watched closely",
            )),
        }
    }
}

/// What cannot be read.
pub(super) fn unreadable(error: &StoreError) -> Status {
    Status::internal(format!("the recording cannot be read: {error}"))
}
