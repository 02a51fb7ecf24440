//! What was there before the daemon: cgroups, processes, running containers.

use std::collections::HashMap;

use super::core::Core;
use crate::attribute::is_users;
use crate::event::ProcessKey;
use crate::inventory::processes::{self, ProcessFact};
use crate::status::IdentitySource;

impl Core<'_> {
    /// Reads cgroups and processes once. The probes are attached already, so that nothing falls
    /// between this and the first record.
    pub(super) fn seed(&mut self) {
        let now = self.now();
        let keys = self.seed_processes();
        let Some(cgroups) = &self.cgroups else { return };
        let mut scan = cgroups.scan();
        // What users call themselves counts only where nobody else is called so.
        scan.found.sort_by_key(|(_, path)| is_users(path));
        if scan.truncated {
            log::warn!("there are more cgroups than are read at the start; the others are read as they act");
        }
        for (id, path) in &scan.found {
            self.attributor.cgroup(*id, Some(path), now, &mut self.out);
        }
        let containers: Vec<(u64, String)> = self
            .attributor
            .workloads()
            .filter(|known| !known.workload.container_id.is_empty())
            .map(|known| (known.workload.cgroup_id, known.cgroup_path.clone()))
            .collect();
        for (id, path) in containers {
            let first = cgroups.first_process(&path).ok().flatten().and_then(|pid| keys.get(&pid).copied());
            let first = first.map(|key| (key, processes::namespaces(key.pid)));
            self.attributor.container_runs(id, first);
        }
        self.deliver(now);
    }

    fn seed_processes(&mut self) -> HashMap<u32, ProcessKey> {
        let mut source = IdentitySource {
            name: "procfs",
            endpoint: "/proc".to_owned(),
            healthy: true,
            message: String::new(),
        };
        let found = match processes::scan() {
            Ok(processes) => {
                source.message = format!("{} processes at the start", processes.found.len());
                processes.found
            }
            Err(error) => {
                source.healthy = false;
                source.message = error.to_string();
                Vec::new()
            }
        };
        self.sources.push(source);
        let mut keys = HashMap::with_capacity(found.len());
        for process in found.into_iter().map(ProcessFact::into_process) {
            keys.insert(process.key.pid, process.key);
            self.attributor.process(process);
        }
        keys
    }
}
