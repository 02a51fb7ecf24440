//! Whose a namespace is: that of a container's first process, unless it is the machine's own.

use foldhash::{HashMap, HashMapExt as _};

use crate::event::{Namespaces, WorkloadId};

/// The namespaces of containers, by kind and inode. As large as there are containers, three times at most.
pub(super) struct NamespaceOwners {
    host: Namespaces,
    owners: HashMap<(&'static str, u32), WorkloadId>,
}

impl NamespaceOwners {
    /// Nobody's but the machine's.
    pub(super) fn new(host: Namespaces) -> Self {
        Self { host, owners: HashMap::new() }
    }

    /// A container's first process is in these. The containers of a pod share some, and those stay the first one's,
    /// which is the sandbox. The kernel takes a number again: that of one which does not run any more is the newest's.
    pub(super) fn learn(
        &mut self,
        id: WorkloadId,
        namespaces: Namespaces,
        runs: impl Fn(WorkloadId) -> bool,
    ) {
        for key in self.own(namespaces) {
            let owner = self.owners.entry(key).or_insert(id);
            if !runs(*owner) {
                *owner = id;
            }
        }
    }

    /// Whose these are, and which of them: the one that has the mounts, else the process ids, else the network.
    pub(super) fn entered(&self, namespaces: Namespaces) -> Option<(WorkloadId, Vec<&'static str>)> {
        let mut kinds = Vec::new();
        let mut owner = None;
        for key in self.own(namespaces) {
            if let Some(id) = self.owners.get(&key) {
                kinds.push(key.0);
                owner.get_or_insert(*id);
            }
        }
        Some((owner?, kinds))
    }

    /// These containers are gone.
    pub(super) fn forget(&mut self, gone: &[WorkloadId]) {
        if !gone.is_empty() {
            self.owners.retain(|_, owner| !gone.contains(owner));
        }
    }

    /// Those that are not the machine's.
    fn own(&self, namespaces: Namespaces) -> impl Iterator<Item = (&'static str, u32)> + use<> {
        let kinds = [
            ("mnt", namespaces.mnt, self.host.mnt),
            ("pid", namespaces.pid, self.host.pid),
            ("net", namespaces.net, self.host.net),
        ];
        kinds
            .into_iter()
            .filter(|(_, inode, host)| *inode != 0 && inode != host)
            .map(|(kind, inode, _)| (kind, inode))
    }
}
