//! How full this stage's tables are, and what they had no room for.

use super::Attributor;
use super::tcp::{MAX_LISTENING, MAX_PENDING};
use super::translations::Translations;
use crate::status::Table;

impl Attributor {
    /// The tables and how full they are.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let table = |name, entries: usize, capacity: usize| Table {
            name,
            entries: entries as u64,
            capacity: capacity as u64,
        };
        let (objects, most_objects) = self.addresses.cluster.size();
        let [(answers, most_answers), (named, most_named)] = self.names.sizes();
        let [untranslated, most_untranslated] = self.translations.untranslated();
        let mut tables = vec![
            table("workloads", self.identities.len(), self.settings.max_workloads),
            table("processes", self.processes.len(), self.settings.max_processes),
            table("held_events", self.held.len() + self.stops.len(), self.settings.max_held),
            table("restarts", self.restarts.len(), self.settings.max_workloads),
            table("translations", self.translations.len(), Translations::capacity()),
            table("untranslated", untranslated, most_untranslated),
            table("pending_attempts", self.pending.len(), MAX_PENDING),
            table("listening_ports", self.listening.len(), MAX_LISTENING),
            table("pod_addresses", self.addresses.len(), self.settings.max_workloads),
            table("cluster_objects", objects, most_objects),
        ];
        if self.settings.dns {
            tables.push(table("dns_names", answers, most_answers));
            tables.push(table("named_connections", named, most_named));
        }
        tables
    }

    /// What the tables had no room for since the last call: the table's name and how many.
    pub(crate) fn take_overflows(&mut self) -> [(&'static str, u64); 6] {
        [
            ("workloads", self.identities.take_overflow()),
            ("processes", self.processes.take_overflow()),
            ("restarts", self.restarts.take_overflow()),
            ("translations", self.translations.take_overflow()),
            ("dns_names", self.names.take_overflow()),
            ("cluster_objects", self.addresses.cluster.take_overflow()),
        ]
    }
}
