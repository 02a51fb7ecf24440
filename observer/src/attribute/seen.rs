//! What was there before a record told of it: cgroups, containers and processes that have to be looked for.

use super::{Attributor, Output};
use crate::event::{Namespaces, Now, Process, ProcessKey};

impl Attributor {
    /// That cgroup has been heard of. What has not must be told with [`Self::cgroup`] before a record
    /// of it is attributed.
    pub(crate) fn knows_cgroup(&self, id: u64) -> bool {
        id == 0 || self.identities.knows(id)
    }

    /// That process has been heard of, or there is no room for it. What has not should be told with [`Self::process`]
    /// before a record of it is attributed: it has executed nothing itself, or did so before it was seen.
    pub(crate) fn knows_process(&self, key: ProcessKey) -> bool {
        self.processes.knows(key)
    }

    /// A cgroup that was there before or whose making was missed; no path if it is gone already.
    pub(crate) fn cgroup(&mut self, id: u64, path: Option<&str>, now: Now, out: &mut Output) {
        let made = self.identities.made(id, path.unwrap_or("/"), now.boot);
        if path.is_none() {
            // Nobody will tell of its removal.
            self.identities.removed(id, now.boot);
        }
        Self::ask(made, out);
    }

    /// A container runs already; with its first process and that one's namespaces, if they could be found.
    pub(crate) fn container_runs(&mut self, cgroup_id: u64, first: Option<(ProcessKey, Namespaces)>) {
        if let Some(life) = self.identities.life_mut(cgroup_id) {
            life.runs_already(first.map(|(key, _)| key));
        }
        if let Some((_, namespaces)) = first {
            let owner = self.identities.owner_of(cgroup_id);
            self.namespaces.learn(owner, namespaces, |id| self.identities.runs(id));
        }
    }

    /// A process that runs already.
    pub(crate) fn process(&mut self, process: Process) {
        self.processes.seed(process);
    }
}
