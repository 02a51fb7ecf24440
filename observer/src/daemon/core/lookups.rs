//! What attribution wants to know, asked of the inventory.

use super::Core;
use crate::event::Now;
use crate::inventory::Fact;

impl Core<'_> {
    /// Has containers looked up that became known. One that cannot be asked for is named by its id.
    pub(super) fn look_up(&mut self, now: Now) {
        let mut refused = Vec::new();
        for id in self.out.lookups.drain(..) {
            if !self.inventory.lookup(&id) {
                refused.push(id);
            }
        }
        for id in self.out.lookups_alone.drain(..) {
            if !self.inventory.lookup_alone(&id) {
                refused.push(id);
            }
        }
        for container_id in refused {
            self.refused_lookups += 1;
            self.attributor.fact(Fact::Unknown { container_id }, now, &mut self.out);
        }
    }
}
