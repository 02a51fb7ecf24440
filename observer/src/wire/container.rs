//! Runs of containers on the wire: their starts and ends.

use observer_proto::served as v1;

use super::event::ending;
use super::{address, boot_timestamp, process, timestamp};
use crate::event::{
    BootTime, ContainerCrashLoop, ContainerEnd, ContainerReady, ContainerStart, ContainerStop, EndKind,
    Ending, Now, Origin, RuntimeEnd, SignalSent, Workload, interface, signal_name,
};

/// A start.
pub(super) fn start(start: &ContainerStart, owner: Option<&Workload>, now: Now) -> v1::ContainerStart {
    let ContainerStart { restarts_seen, since_last_end_ns, last_end } = start;
    v1::ContainerStart {
        image: owner.map(|workload| workload.image.clone()).unwrap_or_default(),
        restarts_seen: *restarts_seen,
        since_last_end_ns: *since_last_end_ns,
        last_end: last_end.as_ref().map(|last| end(last, now)),
    }
}

/// The first listening socket.
pub(super) fn ready(ready: &ContainerReady) -> v1::ContainerReady {
    let ContainerReady { address: at, since_start_ns } = ready;
    v1::ContainerReady {
        address: address(at.ip(), interface(*at)),
        port: at.port().into(),
        since_start_ns: *since_start_ns,
    }
}

/// An end with all that is known of it.
pub(super) fn stop(stop: &ContainerStop, now: Now) -> v1::ContainerStop {
    let (kind, code, sources_disagree) = (stop.kind(), stop.code(), stop.sources_disagree());
    let ContainerStop {
        time,
        ending: how,
        oom_killed,
        run_time_ns,
        executed: _,
        killed_by,
        asked_by,
        oom_killed_children,
        runtime,
        pod_ended,
        others_running,
        restarts_seen,
    } = stop;
    let (_, signal, signal_name) = how.map(ending).unwrap_or_default();
    let sources =
        [how.map(|_| v1::EndSource::Kernel.into()), runtime.as_ref().map(|_| v1::EndSource::Cri.into())];
    let sent = |sent: &Option<SignalSent>| sent.as_ref().map(|sent| signal_sent(sent, *time, now));
    v1::ContainerStop {
        code,
        signal,
        signal_name,
        oom_killed: *oom_killed,
        run_time_ns: *run_time_ns,
        kind: end_kind(kind).into(),
        sources: sources.into_iter().flatten().collect(),
        sources_disagree,
        runtime: runtime.as_ref().map(runtime_end),
        core_dumped: matches!(how, Some(Ending::Signal { core_dumped: true, .. })),
        killed_by: sent(killed_by),
        asked_by: sent(asked_by),
        oom_killed_children: *oom_killed_children,
        pod_ended: *pod_ended,
        others_running: *others_running,
        restarts_seen: *restarts_seen,
    }
}

/// Ends again and again.
pub(super) fn crash_loop(crash_loop: &ContainerCrashLoop, now: Now) -> v1::ContainerCrashLoop {
    let ContainerCrashLoop { failures, window_ns, restarts_seen, ends } = crash_loop;
    v1::ContainerCrashLoop {
        failures: *failures,
        window_ns: *window_ns,
        restarts_seen: *restarts_seen,
        ends: ends.iter().map(|one| end(one, now)).collect(),
    }
}

/// An end in short.
pub(super) fn end(end: &ContainerEnd, now: Now) -> v1::ContainerEnd {
    let ContainerEnd { time, kind, ending: how, code, run_time_ns, restarted_after_ns, reason } = end;
    let (_, signal, signal_name) = how.map(ending).unwrap_or_default();
    v1::ContainerEnd {
        time: Some(boot_timestamp(*time, now)),
        kind: end_kind(*kind).into(),
        code: *code,
        signal,
        signal_name,
        run_time_ns: *run_time_ns,
        restarted_after_ns: *restarted_after_ns,
        reason: reason.clone(),
    }
}

fn runtime_end(end: &RuntimeEnd) -> v1::RuntimeEnd {
    let RuntimeEnd { reason, exit_code, message, finished, attempt } = end;
    v1::RuntimeEnd {
        reason: reason.clone(),
        exit_code: *exit_code,
        message: message.clone(),
        finished_at: finished.map(timestamp),
        attempt: *attempt,
    }
}

fn signal_sent(sent: &SignalSent, ended: BootTime, now: Now) -> v1::SignalSent {
    let SignalSent { signal, ignored, origin, sender, time } = sent;
    let origin = match origin {
        Origin::Container => v1::SignalOrigin::Container,
        Origin::Pod => v1::SignalOrigin::Pod,
        Origin::Outside => v1::SignalOrigin::Outside,
    };
    v1::SignalSent {
        signal: (*signal).into(),
        signal_name: signal_name(*signal),
        origin: origin.into(),
        sender: Some(process(sender, now)),
        before_end_ns: ended.since_ns(*time),
        ignored: *ignored,
    }
}

fn end_kind(kind: EndKind) -> v1::EndKind {
    match kind {
        EndKind::Completed => v1::EndKind::Completed,
        EndKind::Error => v1::EndKind::Error,
        EndKind::Signalled => v1::EndKind::Signalled,
        EndKind::OomKilled => v1::EndKind::OomKilled,
        EndKind::KilledAfterGrace => v1::EndKind::KilledAfterGrace,
        EndKind::StartError => v1::EndKind::StartError,
        EndKind::CoreDumped => v1::EndKind::CoreDumped,
        EndKind::Vanished => v1::EndKind::Vanished,
    }
}
