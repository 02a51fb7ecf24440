//! The daemon's state and its workloads on the wire.

use observer_proto::served as v1;

use super::session::session_state;
use super::{boot_timestamp, container, lost, timestamp, workload};
use crate::event::WorkloadEntry;
use crate::event::{EventType, Now};
use crate::status::{
    Capability, Exporter, ExporterState, IdentitySource, KernelMap, ProbeStats, Recorder, RecorderState,
    RingStats, Status, Table,
};

/// The daemon's state.
pub(crate) fn status(status: Status, node_name: &str, now: Now) -> v1::Status {
    let Status {
        start_time,
        uptime_ns,
        kernel_release,
        capabilities,
        probes,
        identity_sources,
        events,
        losses,
        subscribers,
        events_stored,
        oldest_event,
        tables,
        attach_duration_ns,
        resident_bytes,
        cpu_time_ns,
        rings,
        folded,
        most_resident_bytes,
        open_incidents,
        queued_updates,
        kernel_bytes,
        kernel_maps,
        debug_sessions,
        recorder: of_recorder,
        exporters,
    } = status;
    v1::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        start_time: Some(timestamp(start_time)),
        uptime_ns,
        node_name: node_name.to_owned(),
        kernel_release,
        capabilities: capabilities.into_iter().map(capability).collect(),
        probes: probes.into_iter().map(probe).collect(),
        identity_sources: identity_sources.into_iter().map(identity_source).collect(),
        events: events.into_iter().map(event_count).collect(),
        losses: losses.iter().map(|loss| lost(loss, now)).collect(),
        subscribers,
        events_stored,
        oldest_event: oldest_event.map(timestamp),
        tables: tables.into_iter().map(table).collect(),
        attach_duration_ns,
        resident_bytes,
        cpu_time_ns,
        rings: rings.into_iter().map(ring).collect(),
        folded_events: folded
            .into_iter()
            .map(|(kind, count)| v1::EventCount { r#type: kind.to_owned(), count })
            .collect(),
        most_resident_bytes,
        open_incidents,
        queued_updates,
        kernel_bytes,
        kernel_maps: kernel_maps.into_iter().map(kernel_map).collect(),
        debug_sessions: debug_sessions.iter().map(|one| session_state(one, now)).collect(),
        replay: None,
        relay: None,
        recorder: Some(recorder(of_recorder)),
        exporters: exporters.into_iter().map(exporter).collect(),
    }
}

fn exporter(exporter: Exporter) -> v1::Exporter {
    let Exporter {
        name,
        kind,
        endpoint,
        state,
        queued,
        sent,
        lost,
        retries,
        last_error,
        last_error_time,
        last_success,
    } = exporter;
    let state = match state {
        ExporterState::Starting => v1::ExporterState::Starting,
        ExporterState::Running => v1::ExporterState::Running,
        ExporterState::Retrying => v1::ExporterState::Retrying,
    };
    let lost = lost.into_iter().filter(|(_, count)| *count > 0);
    v1::Exporter {
        name,
        kind: kind.to_owned(),
        endpoint,
        state: state.into(),
        queued,
        sent,
        lost: lost.map(|(reason, count)| v1::ExporterLoss { reason: reason.to_owned(), count }).collect(),
        retries,
        last_error,
        last_error_time: last_error_time.map(timestamp),
        last_success: last_success.map(timestamp),
    }
}

fn recorder(recorder: Recorder) -> v1::Recorder {
    let Recorder {
        state,
        reason,
        path,
        reach_seconds,
        oldest_event,
        events,
        bytes,
        most_bytes,
        most_seconds,
        commits,
        errors,
        missed_events,
    } = recorder;
    let state = match state {
        RecorderState::Off => v1::RecorderState::Off,
        RecorderState::Opening => v1::RecorderState::Opening,
        RecorderState::Recording => v1::RecorderState::Recording,
        RecorderState::Paused => v1::RecorderState::Paused,
        RecorderState::Refused => v1::RecorderState::Refused,
    };
    v1::Recorder {
        state: state.into(),
        reason,
        path,
        reach_seconds,
        oldest_event: oldest_event.map(timestamp),
        events,
        bytes,
        most_bytes,
        most_seconds,
        commits,
        errors,
        missed_events,
    }
}

/// A workload and what it is doing.
pub(crate) fn workload_status(entry: &WorkloadEntry, now: Now) -> v1::WorkloadStatus {
    let WorkloadEntry {
        workload: of,
        live_connections,
        execs,
        connections_opened,
        cgroup_path,
        first_seen,
        restarts_seen,
        has_ended,
        crash_loop,
        last_end,
        addresses,
        ready_after_ns,
    } = entry;
    let state = match (of.container_id.is_empty(), has_ended) {
        (true, _) => v1::ContainerState::Unspecified,
        (false, true) => v1::ContainerState::Ended,
        (false, false) => v1::ContainerState::Running,
    };
    v1::WorkloadStatus {
        workload: Some(workload(of)),
        live_connections: *live_connections,
        execs: *execs,
        connections_opened: *connections_opened,
        cgroup_path: cgroup_path.clone(),
        first_seen: Some(boot_timestamp(*first_seen, now)),
        restarts_seen: *restarts_seen,
        last_end: last_end.as_ref().map(|end| container::end(end, now)),
        ready_after_ns: *ready_after_ns,
        state: state.into(),
        crash_loop: *crash_loop,
        node_name: String::new(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
    }
}

fn capability(Capability { name, missing }: Capability) -> v1::Capability {
    let available = missing.is_none();
    let (reason, consequence, remedy) =
        missing.map(|missing| (missing.reason, missing.consequence, missing.remedy)).unwrap_or_default();
    v1::Capability { name: name.to_owned(), available, reason, consequence, remedy }
}

fn probe(ProbeStats { name, hook, run_count, run_time_ns, detached }: ProbeStats) -> v1::Probe {
    v1::Probe { name, hook, run_count, run_time_ns, detached }
}

fn identity_source(source: IdentitySource) -> v1::IdentitySource {
    let IdentitySource { name, endpoint, healthy, message } = source;
    v1::IdentitySource { name: name.to_owned(), endpoint, healthy, message }
}

fn event_count((event_type, count): (EventType, u64)) -> v1::EventCount {
    v1::EventCount { r#type: event_type.name().to_owned(), count }
}

fn table(Table { name, entries, capacity }: Table) -> v1::Table {
    v1::Table { name: name.to_owned(), entries, capacity }
}

fn ring(RingStats { name, size_bytes, records, lost }: RingStats) -> v1::Ring {
    v1::Ring { name: name.to_owned(), size_bytes, records, lost }
}

fn kernel_map(KernelMap { name, kind, entries, capacity, bytes }: KernelMap) -> v1::KernelMap {
    v1::KernelMap { name, r#type: kind.to_owned(), entries, capacity, bytes }
}
