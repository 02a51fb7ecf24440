//! What attribution wants to know, asked of the inventory.

use super::Core;
use crate::decode::{Body, Record};
use crate::event::{Now, Process, ProcessKey};
use crate::inventory::cgroups::Cgroups;
use crate::inventory::{Fact, Translated, processes};
use crate::status::IdentitySource;

impl Core<'_> {
    /// Makes known whom a record is about, and attributes it.
    pub(super) fn attribute(&mut self, record: Record, now: Now) {
        if !matches!(record.body, Body::CgroupMade { .. }) {
            self.find_cgroup(record.cgroup_id, now);
        }
        if let Body::Signal { sender_cgroup, .. } = record.body {
            self.find_cgroup(sender_cgroup, now);
        }
        if let Body::Signalled(signalled) = &record.body {
            self.find_cgroup(signalled.sender_cgroup, now);
            self.find_process(signalled.sender.key);
        }
        if let Some(task) = record.body.actor() {
            self.find_process(task.key);
        }
        self.attributor.record(record, now, &mut self.out);
    }

    /// Makes a cgroup known that nobody has told of.
    pub(super) fn find_cgroup(&mut self, id: u64, now: Now) {
        if !self.attributor.knows_cgroup(id) {
            let path = self.cgroups.as_ref().and_then(|cgroups| cgroups.path_of(id));
            self.attributor.cgroup(id, path.as_deref(), now, &mut self.out);
        }
    }

    /// Makes a process known that nobody has told of, as far as /proc does: one that was forked and executed nothing.
    pub(super) fn find_process(&mut self, key: ProcessKey) {
        if !self.attributor.knows_process(key)
            && let Some(fact) = processes::read(key.pid).ok().flatten().filter(|fact| fact.is(key))
        {
            self.attributor.process(Process { key, ..fact.into_process() });
        }
    }

    /// Has containers looked up that became known, and connections. A container that cannot be asked for is named by
    /// its id, and a connection goes where it says.
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
        for query in std::mem::take(&mut self.out.translations) {
            let id = query.id;
            if !self.inventory.translate(query) {
                self.refused_translations += 1;
                let answer = Translated::Unknown;
                self.attributor.fact(Fact::Translation { id, answer }, now, &mut self.out);
            }
        }
        for lookup in std::mem::take(&mut self.out.end_lookups) {
            let container_id = lookup.container_id.clone();
            if !self.inventory.look_up_end(lookup) {
                self.refused_lookups += 1;
                self.attributor.fact(Fact::NoEnd { container_id }, now, &mut self.out);
            }
        }
        for container_id in refused {
            self.refused_lookups += 1;
            self.attributor.fact(Fact::Unknown { container_id }, now, &mut self.out);
        }
    }
}

/// The hierarchy of cgroups, and what the status says of it.
pub(super) fn find_cgroups(sources: &mut Vec<IdentitySource>) -> Option<Cgroups> {
    let (found, endpoint, healthy, message) = match Cgroups::find() {
        Ok(cgroups) => {
            let root = cgroups.root().display().to_string();
            (Some(cgroups), root, true, "version 2 hierarchy".to_owned())
        }
        Err(error) => {
            log::warn!(
                "{error}: nothing can be attributed to containers or units; in a pod, mount the node's /sys/fs/cgroup there"
            );
            (None, "/sys/fs/cgroup".to_owned(), false, error.to_string())
        }
    };
    sources.push(IdentitySource { name: "cgroup", endpoint, healthy, message });
    found
}
