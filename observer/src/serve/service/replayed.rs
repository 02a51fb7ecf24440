//! A recording that is served in place of what happens.

use observer_proto::{served, v1};
use prost::Message as _;
use tonic::Status;

use super::Service;
use crate::event::{Now, WallTime, Window};
use crate::record::{self, CLOCKS, Recorded, Store, StoreError};
use crate::story::{Told, ToldWindow};
use crate::wire::{back, timestamp};

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

/// What was told of a time, in order.
type Past = (Box<dyn Iterator<Item = Told> + Send>, Vec<ToldWindow>);

impl Replayed {
    /// The events and windows of a time.
    pub(super) fn past(&self, [since, until]: [WallTime; 2]) -> Result<Past, Status> {
        let told = told(&self.store, [since, until]).map_err(|error| unreadable(&error))?;
        let mut windows = Vec::new();
        let read = record::for_each_window(&self.store, [since, until], |window| {
            windows.push((WallTime(window.start.0), window));
            true
        });
        read.map_err(|error| unreadable(&error))?;
        Ok((Box::new(told.into_iter()), windows))
    }

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
        let mut window = whole.ok_or_else(|| Status::not_found("no figures of the minute before are recorded"))?;
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
                "this is a recording that is replayed: nothing in it can be opened, closed or deleted",
            )),
        }
    }
}

/// What cannot be read.
pub(super) fn unreadable(error: &StoreError) -> Status {
    Status::internal(format!("the recording cannot be read: {error}"))
}

fn told(store: &Store, [since, until]: [WallTime; 2]) -> Result<Vec<Told>, StoreError> {
    let mut told = Vec::new();
    let mut place = store.at(record::Kind::Events, since)?;
    while let Some(chunk) = store.forward(place)? {
        place = chunk.after;
        let start = timestamp(chunk.run.start());
        for item in chunk.items {
            match item {
                Recorded::Event { event, .. } => {
                    let Ok(event) = v1::Event::decode(event) else { continue };
                    let time = event.time.as_ref().map_or(WallTime(0), back::wall_time);
                    if time >= since && time <= until {
                        told.push(Told::Event(start, Box::new(event)));
                    }
                }
                Recorded::Gap(gap) => told.push(Told::Gap {
                    since: gap.since,
                    until: gap.until,
                    words: if gap.message.is_empty() { "the recording lacks something".to_owned() } else { gap.message },
                }),
            }
        }
    }
    Ok(told)
}
