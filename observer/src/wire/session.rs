//! Debugging sessions on the wire.

use observer_proto::served as v1;

use super::{boot_timestamp, workload};
use crate::event::Now;
use crate::session::{EndReason, Part, PartState, Session, SessionId, SessionState, Statistics};

/// The session as it stands.
pub(crate) fn debug_session(session: &Session, now: Now) -> v1::DebugSession {
    let Session { id: SessionId(id), parts, workloads, start, end, max_cpu_share, notes } = session;
    v1::DebugSession {
        id: id.to_string(),
        parts: parts.iter().map(part_state).collect(),
        workloads: workloads.iter().map(|of| workload(of)).collect(),
        start_time: Some(boot_timestamp(*start, now)),
        end_time: Some(boot_timestamp(*end, now)),
        max_cpu_share: *max_cpu_share,
        notes: notes.clone(),
    }
}

/// A session that is open, for the status.
pub(super) fn session_state(state: &SessionState, now: Now) -> v1::DebugSessionState {
    let SessionState { id: SessionId(id), start, end, workloads, events, cpu_share, max_cpu_share } = state;
    v1::DebugSessionState {
        id: id.to_string(),
        start_time: Some(boot_timestamp(*start, now)),
        end_time: Some(boot_timestamp(*end, now)),
        workloads: *workloads,
        events: *events,
        cpu_share: *cpu_share,
        max_cpu_share: *max_cpu_share,
    }
}

fn part_state(state: &PartState) -> v1::DebugPartState {
    let PartState { part, hooks } = state;
    let (hooks, reason, remedy) = match hooks {
        Ok(hooks) => (hooks.clone(), String::new(), String::new()),
        Err((reason, remedy)) => (Vec::new(), reason.clone(), remedy.clone()),
    };
    v1::DebugPartState { part: debug_part(*part).into(), watched: reason.is_empty(), hooks, reason, remedy }
}

fn debug_part(part: Part) -> v1::DebugPart {
    match part {
        Part::Responses => v1::DebugPart::Responses,
        Part::PacketDrops => v1::DebugPart::PacketDrops,
        Part::Signals => v1::DebugPart::Signals,
        Part::OpenFailures => v1::DebugPart::OpenFailures,
    }
}

/// What it has seen and what it costs.
pub(crate) fn debug_statistics(statistics: &Statistics) -> v1::DebugStatistics {
    let Statistics {
        elapsed_ns,
        events,
        folded,
        lost,
        cpu_share,
        cpu_time_ns,
        runs,
        other_runs,
        measured_by_kernel,
    } = statistics;
    let count = |(of, count): &(crate::event::EventType, u64)| v1::EventCount {
        r#type: of.name().to_owned(),
        count: *count,
    };
    v1::DebugStatistics {
        elapsed_ns: *elapsed_ns,
        events: events.iter().map(count).collect(),
        folded: *folded,
        lost: *lost,
        cpu_share: *cpu_share,
        cpu_time_ns: *cpu_time_ns,
        runs: *runs,
        other_runs: *other_runs,
        measured_by_kernel: *measured_by_kernel,
    }
}

/// Why it ended.
pub(crate) fn debug_end(reason: EndReason, statistics: &Statistics) -> v1::DebugEnd {
    let number = match reason {
        EndReason::TimeLimit { .. } => v1::DebugEndReason::TimeLimit,
        EndReason::CostLimit { .. } => v1::DebugEndReason::CostLimit,
        EndReason::Stopping => v1::DebugEndReason::Stopping,
        EndReason::ClientGone => v1::DebugEndReason::ClientGone,
    };
    v1::DebugEnd {
        reason: number.into(),
        message: end_words(reason),
        statistics: Some(debug_statistics(statistics)),
    }
}

/// The same in words.
pub(crate) fn end_words(reason: EndReason) -> String {
    match reason {
        EndReason::TimeLimit { after_ns } => {
            format!("its time was over, after {:.1} s", after_ns as f64 / 1e9)
        }
        EndReason::CostLimit { share, most } => format!(
            "it cost too much: the deeper programs took {:.3} % of a processor, and may take {:.3} %",
            share * 100.0,
            most * 100.0
        ),
        EndReason::Stopping => "the daemon stops".to_owned(),
        EndReason::ClientGone => "the client is gone".to_owned(),
    }
}
