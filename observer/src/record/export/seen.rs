//! What of a recording somebody gets in a file who may not see all of it, or does not want it.

use std::sync::Arc;

use observer_proto::v1;
use prost::Message as _;

use super::load::WriteError;
use crate::event::{Live, Peer, WallTime, Window, Workload};
use crate::filter::{self, Cache, Filters};
use crate::record::block::{frame, items, sequence};
use crate::record::{Amendments, Block, CLOCKS, Filling, Identities, Kind, Raw, StoreError};
use crate::wire;

/// Looks through what is exported.
pub(crate) struct Seen<'a> {
    filters: &'a Filters,
    range: [WallTime; 2],
    /// The run that is looked through.
    run: u32,
    /// What became known later of its events.
    known: Amendments,
    cache: Cache,
}

impl<'a> Seen<'a> {
    /// What passes these; of the time, too, where anything is left out. Else blocks are as they are.
    pub(crate) fn new(filters: &'a Filters, range: [WallTime; 2]) -> Self {
        Self { filters, range, run: 0, known: Amendments::default(), cache: Cache::default() }
    }

    /// What is left of a part; `None` for nothing.
    pub(crate) fn change(&mut self, raw: Raw) -> Result<Option<Raw>, WriteError> {
        if self.filters.lets_all_pass() {
            return Ok(Some(raw));
        }
        Ok(match raw {
            Raw::Block(block) if block.kind == Kind::Events => self.events(&block)?.map(Raw::Block),
            Raw::Block(block) => self.windows(&block)?.map(Raw::Block),
            // It is in the blocks that follow: what became known of an event decides whether it passes.
            Raw::Amended(..) | Raw::Completed(..) => {
                self.known.learn(raw);
                None
            }
            Raw::Run(_) => {
                self.run += 1;
                self.known = Amendments::default();
                Some(raw)
            }
            // When nothing was recorded is nobody's secret.
            Raw::Gap(..) => Some(raw),
        })
    }

    fn events(&mut self, block: &Block) -> Result<Option<Block>, WriteError> {
        let raw = block.raw().map_err(StoreError::from)?;
        let mut left = Filling::new(Kind::Events);
        for (payload, event) in items(&raw) {
            let (_, event) = self.known.apply(sequence(&event), payload, event);
            if let Some(event) = self.event(&event) {
                let at = filter::time(&event);
                if at < self.range[0] || at > self.range[1] {
                    continue;
                }
                left.push(sequence(&event), [at, at], &frame(&event));
            }
        }
        Ok((!left.is_empty()).then(|| left.block()))
    }

    /// What is to be seen of an event.
    fn event(&mut self, event: &[u8]) -> Option<Vec<u8>> {
        Some(match self.filters.encoded_event(event, &mut self.cache)? {
            filter::Seen::Whole => event.to_vec(),
            filter::Seen::Part(part) => part.encode_to_vec(),
        })
    }

    /// Windows are sums: of filters of events those count that tell whose it is, and what is hidden is left out of each.
    fn windows(&self, block: &Block) -> Result<Option<Block>, WriteError> {
        let scope = self.filters.scope();
        let raw = block.raw().map_err(StoreError::from)?;
        let mut left = Filling::new(Kind::Windows);
        for (number, (_, told)) in (block.first..).zip(items(&raw)) {
            let told = v1::RecordedWindow::decode(told).unwrap_or_default();
            // Each window by itself: who is who is told in each of them.
            let window = Identities::default().window(self.run, &told);
            let ends = [window.start, window.end()].map(|time| WallTime(time.0));
            let seen = self.wanted(scope.window(&window).into_owned());
            left.push(number, ends, &frame(&wire::recorded_window(&seen, CLOCKS)));
        }
        Ok((!left.is_empty()).then(|| left.block()))
    }

    fn wanted(&self, mut window: Window) -> Window {
        let owner = |workload: &Workload| self.filters.owner(workload);
        // An edge is of both of its sides.
        let either = |of: &Workload, peer: &Peer| owner(of) || peer.workload.as_deref().is_some_and(owner);
        window.workloads.retain(|_, summary| owner(&summary.workload));
        window.listeners.retain(|_, summary| owner(&summary.workload));
        window.edges.retain(|_, summary| either(&summary.workload, &summary.peer));
        let mut live = Live::clone(&window.live);
        live.workloads.retain(|one| owner(&one.workload));
        live.edges.retain(|one| either(&one.workload, &one.peer));
        window.live = Arc::new(live);
        window
    }
}
