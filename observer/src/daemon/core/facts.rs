//! What the inventory tells, handed to attribution.

use super::Core;
use crate::daemon::memory;
use crate::inventory::{ClusterFact, Fact};

impl Core<'_> {
    pub(super) fn fact(&mut self, fact: Fact) {
        let now = self.now();
        if let Fact::Sources(sources) = &fact {
            self.cri.clone_from(sources);
        }
        if let Fact::ClusterSource(source) = &fact {
            self.kubernetes = Some(source.clone());
        }
        let listed = matches!(fact, Fact::Cluster(ClusterFact::Listed(_)));
        self.attributor.fact(fact, now, &mut self.out);
        self.deliver(now);
        if listed {
            // Reading a list took many times what is kept of it.
            memory::release();
        }
    }
}
