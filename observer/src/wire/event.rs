//! Events on the wire.

use observer_proto::served as v1;
use observer_proto::served::event::Detail as WireDetail;

use super::deeper::{open_failure, packet_drop, signal, tcp_response};
use super::process::{oom_kill, process_exec, process_exit};
use super::{container, counters, process, tcp, timestamp, workload};
use crate::event::{
    Detail, Ending, Event, Now, ResetCause, ResetDirection, RetransmitCause, RetransmitPhase, TcpAccept,
    TcpClose, TcpConnect, TcpConnectFailure, TcpConnectPending, TcpReset, TcpRetransmit, Workload,
    error_name, signal_name,
};

/// An event.
pub(crate) fn event(event: &Event, node_name: &str) -> v1::Event {
    let event_type = event.event_type() as i32;
    let Event { sequence, boot_time, time, workload: owner, process: of, detail } = event;
    // The event's own two times date all that it holds, so that they fit one another.
    let now = Now { boot: *boot_time, wall: *time };
    v1::Event {
        sequence: *sequence,
        time: Some(timestamp(*time)),
        r#type: event_type,
        node_name: node_name.to_owned(),
        workload: owner.as_deref().map(workload),
        process: of.as_deref().map(|of| process(of, now)),
        detail: Some(of_detail(detail, owner.as_deref(), now)),
    }
}

fn of_detail(detail: &Detail, owner: Option<&Workload>, now: Now) -> WireDetail {
    match detail {
        Detail::ProcessExec(exec) => WireDetail::ProcessExec(process_exec(exec, now)),
        Detail::ProcessExit(exit) => WireDetail::ProcessExit(process_exit(exit)),
        Detail::OomKill(kill) => WireDetail::OomKill(oom_kill(kill)),
        Detail::ContainerStart(start) => WireDetail::ContainerStart(container::start(start, owner, now)),
        Detail::ContainerStop(stop) => WireDetail::ContainerStop(container::stop(stop, now)),
        Detail::ContainerReady(ready) => WireDetail::ContainerReady(container::ready(ready)),
        Detail::ContainerCrashLoop(crash_loop) => {
            WireDetail::ContainerCrashLoop(container::crash_loop(crash_loop, now))
        }
        Detail::TcpConnect(TcpConnect { tcp: ends, handshake_latency_ns }) => {
            let handshake_latency_ns = *handshake_latency_ns;
            WireDetail::TcpConnect(v1::TcpConnect { tcp: Some(tcp(owner, ends)), handshake_latency_ns })
        }
        Detail::TcpAccept(TcpAccept { tcp: ends, handshake_latency_ns }) => {
            let handshake_latency_ns = *handshake_latency_ns;
            WireDetail::TcpAccept(v1::TcpAccept { tcp: Some(tcp(owner, ends)), handshake_latency_ns })
        }
        Detail::TcpConnectPending(pending) => WireDetail::TcpConnectPending(tcp_pending(pending, owner)),
        Detail::TcpConnectFailure(failure) => WireDetail::TcpConnectFailure(tcp_failure(failure, owner)),
        Detail::TcpRetransmit(retransmit) => WireDetail::TcpRetransmit(tcp_retransmit(retransmit, owner)),
        Detail::TcpReset(reset) => WireDetail::TcpReset(tcp_reset(reset, owner)),
        Detail::TcpClose(close) => WireDetail::TcpClose(tcp_close(close, owner)),
        Detail::TcpResponse(response) => WireDetail::TcpResponse(tcp_response(response, owner)),
        Detail::PacketDrop(drop) => WireDetail::PacketDrop(packet_drop(drop)),
        Detail::Signal(sent) => WireDetail::Signal(signal(sent, now)),
        Detail::OpenFailure(failure) => WireDetail::OpenFailure(open_failure(failure)),
    }
}

/// The code, the signal and its name; an ending has either the first or the others.
pub(super) fn ending(ending: Ending) -> (Option<u32>, Option<u32>, String) {
    match ending {
        Ending::Code(code) => (Some(code.into()), None, String::new()),
        Ending::Signal { signal, core_dumped: _ } => (None, Some(signal.into()), signal_name(signal)),
    }
}

fn tcp_failure(failure: &TcpConnectFailure, owner: Option<&Workload>) -> v1::TcpConnectFailure {
    let TcpConnectFailure { tcp: ends, errno, sent: _, duration_ns, syn_retransmits } = failure;
    v1::TcpConnectFailure {
        tcp: Some(tcp(owner, ends)),
        error: failure.error().to_owned(),
        errno: *errno,
        duration_ns: *duration_ns,
        syn_retransmits: *syn_retransmits,
    }
}

fn tcp_pending(pending: &TcpConnectPending, owner: Option<&Workload>) -> v1::TcpConnectPending {
    let TcpConnectPending { tcp: ends, waited_ns, syn_retransmits } = pending;
    v1::TcpConnectPending {
        tcp: Some(tcp(owner, ends)),
        waited_ns: *waited_ns,
        syn_retransmits: *syn_retransmits,
    }
}

/// What was sent again.
pub(super) fn retransmit_phase(phase: RetransmitPhase) -> v1::RetransmitPhase {
    match phase {
        RetransmitPhase::Syn => v1::RetransmitPhase::Syn,
        RetransmitPhase::SynAck => v1::RetransmitPhase::SynAck,
        RetransmitPhase::Data => v1::RetransmitPhase::Data,
        RetransmitPhase::Fin => v1::RetransmitPhase::Fin,
    }
}

/// Why it was sent again.
pub(super) fn retransmit_cause(cause: RetransmitCause) -> v1::RetransmitCause {
    match cause {
        RetransmitCause::Unknown => v1::RetransmitCause::Unspecified,
        RetransmitCause::Timeout => v1::RetransmitCause::Timeout,
        RetransmitCause::Fast => v1::RetransmitCause::Fast,
        RetransmitCause::TailLossProbe => v1::RetransmitCause::TailLossProbe,
    }
}

fn tcp_retransmit(retransmit: &TcpRetransmit, owner: Option<&Workload>) -> v1::TcpRetransmit {
    let TcpRetransmit { tcp: ends, phase, cause, timeouts, backoff, segments, state } = retransmit;
    v1::TcpRetransmit {
        tcp: Some(tcp(owner, ends)),
        phase: retransmit_phase(*phase).into(),
        segments: *segments,
        state: state.name().to_owned(),
        cause: retransmit_cause(*cause).into(),
        timeouts: *timeouts,
        backoff: *backoff,
    }
}

fn tcp_reset(reset: &TcpReset, owner: Option<&Workload>) -> v1::TcpReset {
    let TcpReset { tcp: ends, direction, state, reason, cause } = reset;
    let cause = cause.map_or(v1::ResetCause::Unspecified, |cause| match cause {
        ResetCause::NoListener => v1::ResetCause::NoListener,
        ResetCause::NoConnection => v1::ResetCause::NoConnection,
        ResetCause::UnreadData => v1::ResetCause::UnreadData,
        ResetCause::LingerZero => v1::ResetCause::LingerZero,
        ResetCause::DataAfterClose => v1::ResetCause::DataAfterClose,
        ResetCause::Timeout => v1::ResetCause::Timeout,
        ResetCause::OutOfMemory => v1::ResetCause::OutOfMemory,
        ResetCause::Aborted => v1::ResetCause::Aborted,
        ResetCause::Unexpected => v1::ResetCause::Unexpected,
    });
    let direction = match direction {
        ResetDirection::Sent => v1::ResetDirection::Sent,
        ResetDirection::Received => v1::ResetDirection::Received,
    };
    v1::TcpReset {
        tcp: Some(tcp(owner, ends)),
        direction: direction.into(),
        state: state.map(|state| state.name().to_owned()).unwrap_or_default(),
        reason: reason.as_deref().unwrap_or_default().to_owned(),
        no_socket: state.is_none(),
        cause: cause.into(),
    }
}

fn tcp_close(close: &TcpClose, owner: Option<&Workload>) -> v1::TcpClose {
    let TcpClose { tcp: ends, duration_ns, counters: whole, errno } = close;
    v1::TcpClose {
        tcp: Some(tcp(owner, ends)),
        duration_ns: *duration_ns,
        counters: Some(counters(whole)),
        error: error_name(*errno).to_owned(),
    }
}
