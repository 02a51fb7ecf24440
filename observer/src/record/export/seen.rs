//! What of a recording somebody gets in a file who may not see all of it, or does not want it.

use observer_proto::v1;
use prost::Message as _;

use super::load::WriteError;
use crate::event::WallTime;
use crate::filter::{self, Filters};
use crate::record::block::{frame, items, sequence};
use crate::record::windows::of_block;
use crate::record::{Block, Filling, Kind, ONE_CLOCK, Raw, StoreError};
use crate::wire::{self, back};

/// Looks through what is exported.
pub(crate) struct Seen<'a> {
    filters: &'a Filters,
}

impl<'a> Seen<'a> {
    /// What passes these.
    pub(crate) const fn new(filters: &'a Filters) -> Self {
        Self { filters }
    }

    /// What is left of a part; `None` for nothing.
    pub(crate) fn change(&mut self, raw: Raw) -> Result<Option<Raw>, WriteError> {
        if self.filters.lets_all_pass() {
            return Ok(Some(raw));
        }
        Ok(match raw {
            Raw::Block(block) if block.kind == Kind::Events => self.events(&block)?.map(Raw::Block),
            Raw::Block(block) => self.windows(block)?.map(Raw::Block),
            Raw::Amended(number, event) => {
                let told = items(&event).next().and_then(|(_, event)| self.event(&event));
                told.map(|event| Raw::Amended(number, frame(&event).into()))
            }
            Raw::Completed(cgroup, until, workload) => {
                let told = v1::Workload::decode(workload.clone()).unwrap_or_default();
                let sees = self.filters.scope().sees(&filter::told_workload(&told));
                sees.then_some(Raw::Completed(cgroup, until, workload))
            }
            // When the daemon ran and recorded is nobody's secret.
            Raw::Run(_) | Raw::Gap(..) => Some(raw),
        })
    }

    fn events(&self, block: &Block) -> Result<Option<Block>, WriteError> {
        let raw = block.raw().map_err(StoreError::from)?;
        let mut left = Filling::new(Kind::Events);
        for (_, event) in items(&raw) {
            if let Some(event) = self.event(&event) {
                let at = time(&event);
                left.push(sequence(&event), [at, at], &frame(&event));
            }
        }
        Ok((!left.is_empty()).then(|| left.block()))
    }

    /// What is to be seen of an event.
    fn event(&self, event: &[u8]) -> Option<Vec<u8>> {
        let event = v1::Event::decode(event).ok()?;
        let passes = self.filters.told_event(&event);
        passes.then(|| event.encode_to_vec())
    }

    /// Windows are sums: filters of events do not take them apart, and what is hidden is left out of each.
    fn windows(&self, block: Block) -> Result<Option<Block>, WriteError> {
        let scope = self.filters.scope();
        if scope.is_all() {
            return Ok(Some(block));
        }
        let mut left = Filling::new(Kind::Windows);
        for (number, window) in (block.first..).zip(of_block(&block)?) {
            let ends = [window.start, window.end()].map(|time| WallTime(time.0));
            left.push(number, ends, &frame(&wire::recorded_window(&scope.window(&window), ONE_CLOCK)));
        }
        Ok((!left.is_empty()).then(|| left.block()))
    }
}

fn time(event: &[u8]) -> WallTime {
    v1::Event::decode(event).ok().and_then(|event| event.time).map_or(WallTime(0), |time| back::wall_time(&time))
}
