//! How listeners and connections stand, in the open window.

use std::sync::Arc;

use super::{Figures, Place};
use crate::event::{Listener, ListenerSummary, Stalled};

impl Figures {
    /// A listener's queue was read, and since the last time it had dropped so many, of which so many found
    /// the queue full.
    pub(in crate::aggregate) fn listener(&mut self, listener: &Listener, dropped: u64, overflowed: u64) {
        if dropped == 0 && overflowed == 0 && listener.queue.waiting == 0 {
            return;
        }
        if (dropped > 0 || overflowed > 0)
            && let Some(at) = self.workload(&listener.workload)
            && let Some(slot) = self.workloads.get_mut(at)
        {
            slot.tcp.listen_drops += dropped;
            slot.tcp.listen_overflows += overflowed;
        }
        let summary = ListenerSummary {
            workload: Arc::clone(&listener.workload),
            most_waiting: listener.queue.waiting,
            limit: listener.queue.limit,
            dropped,
            overflowed,
        };
        let at = (listener.workload.id, listener.local.port());
        self.listeners.entry(at).and_modify(|known| known.merge(&summary)).or_insert(summary);
    }

    /// What of a connection stands still has changed.
    pub(in crate::aggregate) fn stalled(&mut self, place: Place, before: &Stalled, after: &Stalled) {
        if let Some(slot) = self.touch_workload(place.workload) {
            slot.stalled.change(before, after);
        }
        if let Some(slot) = self.touch_edge(place.edge) {
            slot.stalled.change(before, after);
        }
        self.live_changed = true;
    }
}
