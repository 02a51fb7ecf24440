//! What goes into attribution from the inventory, and what comes out of it.

use super::Core;
use crate::daemon::memory;
use crate::event::Now;
use crate::inventory::{ClusterFact, Fact};

impl Core<'_> {
    pub(super) fn fact(&mut self, fact: Fact) {
        let now = self.now();
        if let Fact::Sources(name, sources) = &fact {
            self.asked_sources.insert(name, sources.clone());
        }
        self.adoption.told(&fact);
        let listed = matches!(fact, Fact::Cluster(ClusterFact::Listed(_)));
        self.attributor.fact(fact, now, &mut self.out);
        self.deliver(now);
        if listed {
            // Reading a list took many times what is kept of it.
            memory::release();
        }
    }

    /// Hands on what attribution gave out.
    pub(in crate::daemon) fn deliver(&mut self, now: Now) {
        self.look_up(now);
        for workload in self.out.renewed.drain(..) {
            self.aggregator.renew(&workload);
        }
        for (id, backend) in self.out.translated.drain(..) {
            self.aggregator.translated(id, &backend);
        }
        for event in &self.out.events {
            self.counts[event.event_type() as usize - 1] += 1;
            self.aggregator.record(event);
            Self::note_for_sessions(&mut self.sessions, event);
        }
        let fired: Vec<_> = self.out.events.iter().filter_map(|event| self.triggers.event(event)).collect();
        match &mut self.recorder {
            Some(recorder) => recorder.publish(self.subscribers.publish_all(&self.out.events)),
            None => self.subscribers.publish(&self.out.events),
        }
        self.fired(fired, now);
        self.out.events.clear();
        for event in self.out.amended.drain(..) {
            if let Some(recorder) = &mut self.recorder {
                recorder.amend(self.subscribers.published(&event));
            }
            self.subscribers.amend(event);
        }
        for workload in self.out.completed.drain(..) {
            if let Some(recorder) = &mut self.recorder {
                recorder.complete(&workload);
            }
            self.subscribers.complete(&workload);
        }
        for id in self.out.forgotten.drain(..) {
            self.aggregator.forget(id);
        }
    }
}
