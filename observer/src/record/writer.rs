//! What is to be recorded is collected, and written once a second.

mod pause;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use observer_proto::v1::{Gap, GapReason};

use self::pause::Pause;
use super::block::{Filling, Kind};
use super::shared::{Shared, Standing};
use super::store::{Batch, Limits, OpenError, StoreError};
use crate::event::{BootTime, Now, WallTime, Window, Workload};
use crate::wire::{self, Published, timestamp};

/// What is new is on disk after so long: with the time that writing takes, a second.
const COMMIT_NS: u64 = 700_000_000;
/// So long after something failed it is tried again.
const RETRY_NS: u64 = 5_000_000_000;
/// So many bytes are left to others on the disk.
const SPARED_BYTES: u64 = 4 << 20;
/// The length of windows.
const WINDOW_NS: u64 = 10_000_000_000;
/// So many windows are in a block at most: it is written again with each of them.
const WINDOWS_IN_BLOCK: u64 = 60;

/// What is to be recorded, not yet on disk.
pub(super) struct Writer {
    shared: Arc<Shared>,
    limits: Limits,
    run: u32,
    /// The block that is not full yet.
    events: Filling,
    windows: Filling,
    /// How many windows there were.
    windows_told: u64,
    /// The window that is not long enough yet, and the clocks by which it is told.
    window: Option<(Window, Now)>,
    /// All else; its blocks are full.
    batch: Batch,
    /// Bytes in full blocks.
    staged: u64,
    /// Since when something is to be written.
    new_since: Option<BootTime>,
    /// The time of the newest event.
    newest: WallTime,
    /// Nothing is taken in.
    pause: Option<Pause>,
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    #[error("the disk is full: {left} bytes are left where {} is, and {SPARED_BYTES} of them are left to others", path.display())]
    Full { path: Box<Path>, left: u64 },
    #[error("cannot write: {0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Open(#[from] OpenError),
}

impl Writer {
    /// Opens the store.
    pub(super) fn new(shared: Arc<Shared>, now: Now) -> Self {
        let newest = shared.settings.start;
        let limits = shared.settings.limits;
        let mut writer = Self {
            shared,
            limits,
            run: 0,
            events: Filling::new(Kind::Events),
            windows: Filling::new(Kind::Windows),
            windows_told: 0,
            window: None,
            batch: Batch::default(),
            staged: 0,
            new_since: None,
            newest,
            pause: None,
        };
        match writer.open(now) {
            Ok(()) => writer.shared.stand(Standing::Recording),
            Err(error) => writer.pause(&error, now),
        }
        writer
    }

    /// Takes events in, in order.
    pub(super) fn events(&mut self, events: &[Arc<Published>], now: Now) {
        for published in events {
            let (number, time) = (published.event.sequence, published.event.time);
            if let Some(pause) = &mut self.pause {
                pause.missed += 1;
                self.shared.missed(1);
                self.batch.last_sequence = number;
                continue;
            }
            let payload = Bytes::from((**published).as_ref().clone());
            self.events.push(number, [time, time], &payload);
            self.batch.last_sequence = number;
            self.newest = time;
            self.news(now);
            if self.events.is_full() {
                self.stage_events();
            }
        }
        if self.staged >= self.most_staged() {
            self.commit(now);
        }
    }

    /// Events are missing that nobody had the time to take: so many, behind that number, between these times.
    pub(super) fn behind(&mut self, count: u64, after: u64, [since, until]: [WallTime; 2], now: Now) {
        if let Some(pause) = &mut self.pause {
            pause.missed += count;
            return;
        }
        let gap = Gap { count: Some(count), ..self.gap(GapReason::Behind, since, until) };
        self.batch.gaps.push((after, gap));
        self.news(now);
    }

    /// More became known of an event.
    pub(super) fn amend(&mut self, published: &Published, now: Now) {
        if self.pause.is_none() {
            let payload = Bytes::from(published.as_ref().clone());
            self.batch.amended.push((published.event.sequence, payload));
            self.news(now);
        }
    }

    /// More became known of a workload; events up to this number were told without that.
    pub(super) fn complete(&mut self, workload: &Workload, until: u64, now: Now) {
        if self.pause.is_none() {
            self.batch.completed.push((workload.cgroup_id, until, wire::workload(workload).into()));
            self.news(now);
        }
    }

    /// Takes a base window in.
    pub(super) fn window(&mut self, window: &Window, now: Now) {
        match &mut self.window {
            Some((open, at)) if window.start.since_ns(open.start) < WINDOW_NS => {
                open.merge(window);
                *at = now;
            }
            _ => {
                self.finish_window();
                self.window = Some((window.clone(), now));
            }
        }
        if self.window.as_ref().is_some_and(|(open, _)| open.length_ns >= WINDOW_NS) {
            self.finish_window();
            self.news(now);
        }
    }

    fn finish_window(&mut self) {
        let Some((window, now)) = self.window.take() else { return };
        if self.pause.is_some() {
            return;
        }
        let since = now.wall_of(window.start);
        let until = WallTime(since.0 + window.length_ns);
        self.windows_told += 1;
        let told = super::block::frame(&wire::recorded_window(&window, now));
        self.windows.push(self.windows_told, [since, until], &told);
        if self.windows.is_full() || self.windows_told.is_multiple_of(WINDOWS_IN_BLOCK) {
            let block = self.windows.block();
            self.staged += block.data.len() as u64;
            self.batch.blocks.push(block);
            self.windows.clear();
        }
    }

    /// Writes what is due, and tries again what failed. Tells how long there is nothing to do, in nanoseconds.
    pub(super) fn tick(&mut self, now: Now) -> u64 {
        if let Some(pause) = &self.pause {
            let waited = now.boot.since_ns(pause.tried);
            if pause.for_good || waited < RETRY_NS {
                return RETRY_NS - waited.min(RETRY_NS - 1);
            }
            self.go_on(now);
        }
        match self.new_since {
            Some(since) if now.boot.since_ns(since) >= COMMIT_NS => {
                self.commit(now);
                COMMIT_NS
            }
            Some(since) => COMMIT_NS - now.boot.since_ns(since),
            None => RETRY_NS,
        }
    }

    /// Writes all that is there, also the window that is not long enough yet: somebody wants to read it.
    pub(super) fn commit_all(&mut self, now: Now) {
        if self.pause.is_none() && self.window.is_some() {
            self.finish_window();
            self.news(now);
        }
        self.commit(now);
    }

    /// Writes all that is there.
    pub(super) fn commit(&mut self, now: Now) {
        if self.pause.is_some() || self.new_since.is_none() {
            return;
        }
        if let Err(error) = self.write(now) {
            self.pause(&error, now);
        }
    }

    /// The last that is written of this run.
    pub(super) fn stop(&mut self, now: Now) {
        self.finish_window();
        if self.pause.is_some() {
            self.go_on(now);
        }
        self.batch.ended = true;
        self.news(now);
        self.commit(now);
    }

    fn write(&mut self, now: Now) -> Result<(), Unwritten> {
        let Some(store) = self.shared.store() else { return Err(StoreError::Closed.into()) };
        let full = self.batch.blocks.len();
        let open = [&self.events, &self.windows].into_iter().filter(|filling| !filling.is_empty());
        self.batch.blocks.extend(open.map(Filling::block));
        let written = self
            .room_for(&store)
            .and_then(|()| store.commit(self.run, &self.batch, now.wall).map_err(Unwritten::from));
        match written {
            Ok(()) => {
                let Batch { last_sequence, ended, .. } = self.batch;
                self.batch = Batch { last_sequence, ended, ..Batch::default() };
                (self.staged, self.new_since) = (0, None);
                self.shared.committed();
                Ok(())
            }
            Err(error) => {
                self.batch.blocks.truncate(full);
                Err(error)
            }
        }
    }

    fn gap(&self, reason: GapReason, since: WallTime, until: WallTime) -> Gap {
        Gap {
            reason: reason.into(),
            since: Some(timestamp(since)),
            until: Some(timestamp(until)),
            start_time: Some(timestamp(self.shared.settings.start)),
            ..Gap::default()
        }
    }

    fn stage_events(&mut self) {
        let block = self.events.block();
        self.staged += block.data.len() as u64;
        self.batch.blocks.push(block);
        self.events.clear();
    }

    fn news(&mut self, now: Now) {
        self.new_since = self.new_since.or(Some(now.boot));
    }

    /// With so many bytes it does not wait any longer.
    fn most_staged(&self) -> u64 {
        (self.limits.bytes / 32).min(8 << 20)
    }
}
