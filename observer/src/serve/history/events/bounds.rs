//! How many events there may be: what the setting allows, and what memory leaves beside the tables.

use itertools::Itertools as _;

use super::Events;
use crate::event::WorkloadId;

/// So many bytes are kept also where memory is short.
const SPARED: usize = 4 << 20;
/// So much of the memory these events leave to the tables, which lose what they cannot take in, where an event that goes may
/// be recorded. A table that takes in 5,000 connections in a second needs some 7 MiB for that.
const FOR_OTHERS: u64 = 8 << 20;
/// They give way where less than that is left, so that they do not grow and give way in turns.
const SHORT: u64 = FOR_OTHERS / 2;

impl Events {
    /// How many bytes there may be, with these of a new event.
    pub(super) fn most(&mut self, bytes: usize) -> usize {
        let with = self.bytes + bytes;
        if with > self.taken.max(SPARED) {
            if !self.room.take_leaving(bytes, FOR_OTHERS) {
                return self.bytes.max(SPARED).min(self.capacity);
            }
            self.taken = with;
        }
        self.capacity
    }

    /// Where memory is short, lets the oldest events go until others have theirs again. Whether any went.
    pub(in crate::serve) fn give_way(&mut self) -> bool {
        let left = self.room.left();
        if left >= SHORT || self.bytes <= SPARED {
            return false;
        }
        let missing = usize::try_from(FOR_OTHERS - left).unwrap_or(usize::MAX);
        let level = self.level(self.bytes.saturating_sub(missing).max(SPARED));
        let more = self.by_owner.iter().filter(|(_, owned)| owned.bytes > level).map(|(owner, _)| *owner);
        for owner in more.collect::<Vec<_>>() {
            while self.by_owner.get(&owner).is_some_and(|owned| owned.bytes > level) {
                self.drop_oldest(owner);
            }
        }
        self.taken = self.bytes;
        true
    }

    /// With no more than that of each workload, all have so many bytes together.
    fn level(&self, together: usize) -> usize {
        let sizes = self.by_owner.values().map(|owned| owned.bytes).sorted_unstable();
        let (mut left, mut owners) = (together, self.by_owner.len());
        for size in sizes {
            if size * owners > left {
                break;
            }
            left -= size;
            owners -= 1;
        }
        left / owners.max(1)
    }

    /// Lets the oldest event go of whom the new one is, if that one has its share of what there may be, else of whoever has
    /// the most.
    pub(super) fn make_room(&mut self, owner: Option<WorkloadId>, most: usize) {
        let share = most / (self.by_owner.len() + 1);
        let bytes = |owner: &Option<WorkloadId>| self.by_owner.get(owner).map_or(0, |owned| owned.bytes);
        let from = if bytes(&owner) > share {
            owner
        } else {
            if bytes(&self.largest) <= share {
                let largest = self.by_owner.iter().max_by_key(|(_, owned)| owned.bytes);
                self.largest = largest.map_or(owner, |(owner, _)| *owner);
            }
            self.largest
        };
        self.drop_oldest(from);
    }

    /// Lets a workload's oldest event go.
    fn drop_oldest(&mut self, owner: Option<WorkloadId>) {
        let Some(owned) = self.by_owner.get_mut(&owner) else { return };
        if let Some(event) = owned.events.pop_front() {
            let bytes = event.bytes();
            owned.bytes -= bytes;
            self.bytes -= bytes;
            self.stored -= 1;
            self.complete_since = self.complete_since.max(event.time);
        }
        if owned.events.is_empty() {
            self.by_owner.remove(&owner);
        }
    }
}
