//! What clients ask of the event loop, answered from its state.

use std::sync::Arc;

use observer_ebpf::event::Kind;

use super::Core;
use crate::attribute::{NameFigures, Standing};
use crate::event::{ConnectionOrder, EventType, Now, WorkloadEntry};
use crate::filter::Filters;
use crate::inventory::host;
use crate::probe::{self, ProgramReport};
use crate::serve::{ConnectionList, ListenerList, Request, WorkloadList};
use crate::status::{IdentitySource, ProbeStats, Recorder as Off, RingStats, Status, Table};

/// A list of connections shows counters that are at most so old.
const FRESH_NS: u64 = 500_000_000;

impl Core<'_> {
    /// Answers a client; one that is gone needs no answer.
    pub(super) fn answer(&mut self, request: Request) {
        let now = self.now();
        match request {
            Request::Events(request) => self.subscribers.add_events(request),
            Request::Debug(ask) => self.open_session(*ask, now),
            Request::ReadOn(id) => self.subscribers.read_on(id),
            Request::ReadRest(rest) => self.subscribers.read_rest(&rest),
            Request::Summaries(request) => self.subscribers.add_summaries(request),
            Request::Connections { filters, order, limit, reply } => {
                let _gone = reply.send(self.list_connections(&filters, order, limit, now)).is_err();
            }
            Request::Listeners { filters, reply } => {
                let _gone = reply.send(self.list_listeners(&filters, now)).is_err();
            }
            Request::Workloads { filters, reply } => {
                let _gone =
                    reply.send(WorkloadList { workloads: self.list_workloads(&filters, now), now }).is_err();
            }
            Request::Status { reply } => {
                let _gone = reply.send((self.status(now), now)).is_err();
            }
            Request::Past { since, until, reply } => {
                let _gone = reply.send(self.past(since, until, now)).is_err();
            }
            Request::OpenIncident { open, reply } => {
                let _gone = reply.send(self.open_incident(open, now)).is_err();
            }
            Request::CloseIncident { id, client, note, reply } => {
                let _gone = reply.send(self.close_incident(&id, client, note, now)).is_err();
            }
            Request::DeleteIncident { id, client, reply } => {
                self.delete_incident(&id, client, now);
                let _gone = reply.send(()).is_err();
            }
        }
    }

    /// Reads the live sockets unless that was done just now.
    fn refresh(&mut self, now: Now) {
        if now.boot.since_ns(self.aggregator.sampled()) >= FRESH_NS {
            self.sample(now);
        }
    }

    fn list_connections(
        &mut self,
        filters: &Filters,
        order: ConnectionOrder,
        limit: usize,
        now: Now,
    ) -> ConnectionList {
        self.refresh(now);
        let sampled = self.aggregator.sampled();
        let matches = |connection: &_| filters.connection(connection, sampled);
        let (connections, total) = self.aggregator.connections(matches, order, limit);
        ConnectionList { connections, total, sampled, now }
    }

    fn list_listeners(&mut self, filters: &Filters, now: Now) -> ListenerList {
        self.refresh(now);
        let listeners = self.aggregator.listeners(|listener| filters.listener(listener));
        ListenerList { listeners, sampled: self.aggregator.sampled(), now }
    }

    pub(super) fn list_workloads(&self, filters: &Filters, now: Now) -> Vec<WorkloadEntry> {
        let addresses = self.attributor.listed_addresses(now.boot);
        self.attributor
            .listed(now.boot)
            .filter(|(known, _)| filters.workload(&known.workload))
            .map(|(known, Standing { ended, crash_loop })| {
                let totals = self.aggregator.totals(known.workload.id);
                WorkloadEntry {
                    workload: Arc::clone(&known.workload),
                    live_connections: totals.live,
                    execs: totals.execs,
                    connections_opened: totals.opened,
                    cgroup_path: known.cgroup_path.clone(),
                    first_seen: known.first_seen,
                    restarts_seen: known.life.as_ref().map_or(0, |life| life.restarts_seen),
                    has_ended: ended.is_some(),
                    crash_loop,
                    addresses: addresses.of(&known.workload),
                    last_end: ended.or_else(|| known.life.as_ref().and_then(|life| life.last_end.clone())),
                    ready_after_ns: known.life.as_ref().and_then(|life| life.ready_after_ns),
                }
            })
            .collect()
    }

    pub(super) fn status(&mut self, now: Now) -> Status {
        let usage = host::usage().ok();
        let mut identity_sources = self.sources.clone();
        identity_sources.extend(self.asked_sources.values().flatten().cloned());
        identity_sources.extend(self.dns_source());
        let is_network = |kind: &str| kind.starts_with("tcp_") || kind == Kind::DnsAnswer.name();
        let ring = |ring: &crate::probe::Ring, lost: u64| RingStats {
            name: ring.name,
            size_bytes: u64::from(ring.size),
            records: ring.records,
            lost,
        };
        let rings = vec![
            ring(self.process_ring.get_ref(), self.losses.of_ring(|kind| !is_network(kind))),
            ring(self.network_ring.get_ref(), self.losses.of_ring(is_network)),
        ];
        let (kernel_maps, kernel_bytes) = self.probes.maps();
        let recorder = self.recorder.as_ref().map_or_else(Off::off, |recorder| recorder.status(now));
        let mut capabilities = self.capabilities.clone();
        capabilities.extend(recorder.capability());
        Status {
            start_time: self.started.wall,
            uptime_ns: now.boot.since_ns(self.started.boot),
            kernel_release: host::kernel_release(),
            capabilities,
            probes: self.probes.programs().into_iter().map(probe_stats).collect(),
            identity_sources,
            events: EventType::ALL.into_iter().zip(self.counts).collect(),
            losses: self.losses.all(),
            subscribers: self.subscribers.count() as u32,
            events_stored: self.subscribers.events_stored() as u64,
            oldest_event: self.subscribers.oldest_event(),
            tables: self.tables(),
            attach_duration_ns: self.attach_duration_ns,
            resident_bytes: usage.map_or(0, |usage| usage.resident_bytes),
            cpu_time_ns: usage.map_or(0, |usage| usage.cpu_time_ns),
            rings,
            folded: self.folds.totals.iter().map(|(kind, count)| (*kind, *count)).collect(),
            most_resident_bytes: self.config.max_memory,
            queued_updates: self.subscribers.waiting(),
            open_incidents: self.incidents.open().len() as u32,
            kernel_bytes,
            kernel_maps,
            debug_sessions: self.sessions.states(),
            recorder,
            exporters: self.exporters.status(),
        }
    }

    /// Name servers' answers, if they are read.
    fn dns_source(&self) -> Option<IdentitySource> {
        let refused = self.capabilities.iter().find(|one| one.name == probe::DNS_NAMES)?.missing.as_ref();
        let (NameFigures { answers, not_understood }, known) = self.attributor.names();
        let message = match refused {
            Some(missing) => missing.reason.clone(),
            None => {
                format!("{answers} answers seen, {not_understood} not understood, {known} addresses named")
            }
        };
        let endpoint = "from UDP port 53".to_owned();
        Some(IdentitySource { name: "dns", endpoint, healthy: refused.is_none(), message })
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = self.attributor.tables();
        // The aggregator's table of workloads holds those that are active, a part of the former.
        tables.extend(self.aggregator.tables().into_iter().filter(|table| table.name != "workloads"));
        tables.extend(self.subscribers.tables());
        tables.push(self.triggers.table());
        tables
    }
}

fn probe_stats(report: ProgramReport) -> ProbeStats {
    let ProgramReport { name, figures, detached } = report;
    ProbeStats {
        hook: probe::hook_of(&name),
        name,
        run_count: figures.run_count,
        run_time_ns: figures.run_time_ns,
        detached,
    }
}
