//! Workloads as they were listed.

use observer_proto::v1;

use super::{boot_time, workload};
use crate::event::{ContainerEnd, EndKind, Ending, WorkloadEntry};

/// A workload and what it was doing.
pub(crate) fn workload_entry(told: &v1::WorkloadStatus) -> WorkloadEntry {
    let v1::WorkloadStatus {
        workload: of,
        live_connections,
        execs,
        connections_opened,
        cgroup_path,
        first_seen,
        restarts_seen,
        last_end,
        ready_after_ns,
        state: _,
        crash_loop,
        node_name: _,
        addresses,
    } = told;
    WorkloadEntry {
        workload: workload(of.as_ref()),
        live_connections: *live_connections,
        execs: *execs,
        connections_opened: *connections_opened,
        addresses: addresses.iter().filter_map(|address| address.parse().ok()).collect(),
        cgroup_path: cgroup_path.clone(),
        first_seen: boot_time(first_seen.as_ref()),
        restarts_seen: *restarts_seen,
        has_ended: told.state() == v1::ContainerState::Ended,
        crash_loop: *crash_loop,
        last_end: last_end.as_ref().map(end),
        ready_after_ns: *ready_after_ns,
    }
}

fn end(told: &v1::ContainerEnd) -> ContainerEnd {
    let v1::ContainerEnd {
        time,
        kind: _,
        code,
        signal,
        signal_name: _,
        run_time_ns,
        restarted_after_ns,
        reason,
    } = told;
    let kind = match told.kind() {
        v1::EndKind::Completed => EndKind::Completed,
        v1::EndKind::Error => EndKind::Error,
        v1::EndKind::Signalled => EndKind::Signalled,
        v1::EndKind::OomKilled => EndKind::OomKilled,
        v1::EndKind::KilledAfterGrace => EndKind::KilledAfterGrace,
        v1::EndKind::StartError => EndKind::StartError,
        v1::EndKind::CoreDumped => EndKind::CoreDumped,
        v1::EndKind::Vanished | v1::EndKind::Unspecified => EndKind::Vanished,
    };
    let core_dumped = kind == EndKind::CoreDumped;
    let by_signal = signal.map(|signal| Ending::Signal { signal: signal as u8, core_dumped });
    ContainerEnd {
        time: boot_time(time.as_ref()),
        kind,
        ending: by_signal.or_else(|| code.and_then(|code| u8::try_from(code).ok()).map(Ending::Code)),
        code: *code,
        run_time_ns: *run_time_ns,
        restarted_after_ns: *restarted_after_ns,
        reason: reason.clone(),
    }
}
