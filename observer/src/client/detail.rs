//! What is worth knowing of an event: the words in the brackets at the end of its line.

mod deeper;
mod process;

use observer_proto::v1::event::Detail;
use observer_proto::v1::{
    Event, ResetCause, ResetDirection, RetransmitCause, RetransmitPhase, TcpClose, TcpConnectFailure,
    TcpReset, TcpRetransmit,
};

use super::color::Paint;
use super::container;
use super::escape::escape;
use super::label;
use super::units::{bytes, duration, plural};

/// The words for an event, without its process.
pub(crate) fn words(event: &Event) -> Vec<String> {
    match &event.detail {
        Some(Detail::ProcessExec(exec)) => process::exec(exec, event),
        Some(Detail::ProcessExit(exit)) => process::exit(exit),
        Some(Detail::OomKill(kill)) => process::oom_kill(kill),
        Some(Detail::ContainerStart(start)) => container::start(start, event),
        Some(Detail::ContainerStop(stop)) => container::stop(stop),
        Some(Detail::ContainerReady(ready)) => container::ready(ready),
        Some(Detail::ContainerCrashLoop(crash_loop)) => container::crash_loop(crash_loop),
        Some(Detail::TcpConnect(connect)) => vec![duration(connect.handshake_latency_ns)],
        Some(Detail::TcpAccept(accept)) => {
            accept.handshake_latency_ns.iter().map(|ns| duration(*ns)).collect()
        }
        Some(Detail::TcpConnectFailure(failure)) => connect_failure(failure),
        Some(Detail::TcpConnectPending(pending)) => {
            vec![
                format!("no answer for {}", duration(pending.waited_ns)),
                format!("SYN sent again {}", times(pending.syn_retransmits)),
            ]
        }
        Some(Detail::TcpRetransmit(retransmit)) => tcp_retransmit(retransmit),
        Some(Detail::TcpReset(reset)) => tcp_reset(reset),
        Some(Detail::TcpClose(close)) => tcp_close(close),
        Some(Detail::TcpResponse(response)) => deeper::tcp_response(response),
        Some(Detail::PacketDrop(drop)) => deeper::packet_drop(drop),
        Some(Detail::Signal(signal)) => deeper::signal(signal),
        Some(Detail::OpenFailure(failure)) => deeper::open_failure(failure),
        None => vec!["no detail: is the daemon newer than this client?".to_owned()],
    }
}

/// The colour of an event's type.
pub(crate) fn severity(event: &Event) -> Paint {
    let ended = |code: Option<u32>, signal: Option<u32>, oom: bool| {
        if oom || signal.is_some() || code.is_some_and(|code| code != 0) {
            Paint::Failure
        } else {
            Paint::Plain
        }
    };
    match &event.detail {
        Some(
            Detail::OomKill(_)
            | Detail::TcpConnectFailure(_)
            | Detail::TcpReset(_)
            | Detail::ContainerCrashLoop(_),
        ) => Paint::Failure,
        Some(Detail::ProcessExit(exit)) => ended(exit.code, exit.signal, exit.oom_killed),
        Some(Detail::ContainerStop(stop)) => container::severity(stop),
        Some(Detail::TcpClose(close)) if !close.error.is_empty() => Paint::Failure,
        Some(
            Detail::TcpRetransmit(_)
            | Detail::TcpConnectPending(_)
            | Detail::PacketDrop(_)
            | Detail::OpenFailure(_),
        ) => Paint::Warning,
        Some(Detail::ContainerStart(_) | Detail::ContainerReady(_)) => Paint::Good,
        Some(
            Detail::ProcessExec(_)
            | Detail::TcpConnect(_)
            | Detail::TcpAccept(_)
            | Detail::TcpClose(_)
            | Detail::TcpResponse(_)
            | Detail::Signal(_),
        )
        | None => Paint::Plain,
    }
}

/// How something ended, and after how long.
fn ending(
    code: Option<u32>,
    signal: Option<u32>,
    signal_name: &str,
    oom: bool,
    run_time: Option<u64>,
) -> String {
    let mut text = match (code, signal) {
        (_, Some(signal)) if signal_name.is_empty() => format!("signal {signal}"),
        (_, Some(_)) => escape(signal_name).into_owned(),
        (Some(code), None) => format!("code {code}"),
        (None, None) => "its end was not seen".to_owned(),
    };
    if oom {
        text.push_str(" by the OOM killer");
    }
    if let Some(ns) = run_time {
        text.push_str(" after ");
        text.push_str(&duration(ns));
    }
    text
}

fn connect_failure(failure: &TcpConnectFailure) -> Vec<String> {
    let error = if failure.error.is_empty() { "failed" } else { failure.error.as_str() };
    let lasted = failure.duration_ns.map_or_else(|| "an unknown time".to_owned(), duration);
    let mut words = vec![format!("{} after {lasted}", escape(error))];
    if failure.syn_retransmits > 0 {
        words.push(format!("SYN sent again {}", times(failure.syn_retransmits)));
    }
    words
}

fn tcp_retransmit(retransmit: &TcpRetransmit) -> Vec<String> {
    let kind = match retransmit.phase() {
        RetransmitPhase::Unspecified => "segment",
        RetransmitPhase::Syn => "SYN segment",
        RetransmitPhase::SynAck => "SYN-ACK segment",
        RetransmitPhase::Data => "data segment",
        RetransmitPhase::Fin => "FIN segment",
    };
    let mut words = vec![plural(u64::from(retransmit.segments), kind)];
    words.extend((!retransmit.state.is_empty()).then(|| escape(&retransmit.state).into_owned()));
    match retransmit.cause() {
        RetransmitCause::Unspecified => {}
        RetransmitCause::Timeout if retransmit.timeouts > 1 => {
            words.push(format!("timeout {} in a row", retransmit.timeouts));
        }
        RetransmitCause::Timeout => words.push("timeout".to_owned()),
        RetransmitCause::Fast => words.push("fast recovery".to_owned()),
        RetransmitCause::TailLossProbe => words.push("tail loss probe".to_owned()),
    }
    if retransmit.backoff > 0 {
        words.push(format!("backed off {}", times(retransmit.backoff)));
    }
    words
}

fn tcp_reset(reset: &TcpReset) -> Vec<String> {
    let way = match reset.direction() {
        ResetDirection::Unspecified => "reset",
        ResetDirection::Sent if reset.no_socket => "sent by the kernel, no socket there",
        ResetDirection::Sent => "sent",
        ResetDirection::Received => "received",
    };
    let state = (!reset.state.is_empty()).then(|| escape(&reset.state).into_owned());
    let reason = (!reset.reason.is_empty()).then(|| format!("reason {}", escape(&reset.reason)));
    let cause = match reset.cause() {
        ResetCause::Unspecified => None,
        ResetCause::NoListener => Some("nobody listens there"),
        ResetCause::NoConnection => Some("no such connection"),
        ResetCause::UnreadData => Some("closed with unread data"),
        ResetCause::LingerZero => Some("closed with linger 0"),
        ResetCause::DataAfterClose => Some("data after close"),
        ResetCause::Timeout => Some("no answer for too long"),
        ResetCause::OutOfMemory => Some("out of socket memory"),
        ResetCause::Aborted => Some("aborted"),
        ResetCause::Unexpected => Some("unexpected segment"),
    };
    let cause = cause.map(str::to_owned);
    [way.to_owned()].into_iter().chain(cause).chain(state).chain(reason).collect()
}

fn tcp_close(close: &TcpClose) -> Vec<String> {
    let lasted = close.duration_ns.map_or_else(|| "a life longer than the daemon's".to_owned(), duration);
    let mut words = if close.error.is_empty() {
        vec![lasted]
    } else {
        vec![format!("{} after {lasted}", escape(&close.error))]
    };
    if let Some(counters) = &close.counters {
        words.push(format!("{} out", bytes(counters.sent_bytes)));
        words.push(format!("{} in", bytes(counters.received_bytes)));
        words.extend(counters.rtt_ns.map(|rtt| format!("rtt {}", duration(rtt))));
        words.push(format!(
            "{} of {} retransmitted",
            counters.retransmitted_segments,
            plural(counters.sent_segments, "segment")
        ));
    }
    words
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

/// Whether the process of an event is named in its line: where it did it, not where the kernel did.
pub(crate) fn process(event: &Event) -> Option<String> {
    match event.detail.as_ref()? {
        Detail::ProcessExit(_)
        | Detail::OomKill(_)
        | Detail::ContainerReady(_)
        | Detail::TcpConnect(_)
        | Detail::TcpAccept(_)
        | Detail::TcpConnectFailure(_)
        | Detail::TcpConnectPending(_)
        | Detail::TcpResponse(_)
        | Detail::Signal(_)
        | Detail::OpenFailure(_) => event.process.as_ref().map(label::process),
        Detail::ProcessExec(_)
        | Detail::ContainerStart(_)
        | Detail::ContainerStop(_)
        | Detail::ContainerCrashLoop(_)
        | Detail::TcpRetransmit(_)
        | Detail::TcpReset(_)
        | Detail::TcpClose(_)
        | Detail::PacketDrop(_) => None,
    }
}
