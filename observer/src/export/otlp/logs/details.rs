//! What is particular to each type of event, as attributes.

use crate::event::{
    Detail, Ending, Event, OomKill, ProcessExit, Shortage, TcpRetransmit, error_name, open_error, signal_name,
};
use crate::export::otlp::attributes::Attributes;
use crate::export::otlp::traces::end_name;
use crate::export::otlp::words;

/// The attributes of an event.
pub(super) fn attributes(event: &Event) -> Attributes {
    let mut all = event.tcp().map_or_else(Attributes::default, words::connection);
    words::process(&mut all, event.process.as_deref());
    add(&mut all, event);
    all
}

fn add(all: &mut Attributes, event: &Event) {
    match &event.detail {
        Detail::ProcessExec(exec) => {
            let arguments: Vec<_> = exec.arguments.iter().map(|one| one.to_string_lossy()).collect();
            all.text("process.command_line", &arguments.join(" "));
            all.text("process.working_directory", &exec.directory.to_string_lossy());
        }
        Detail::ProcessExit(exit) => process_exit(all, exit),
        Detail::OomKill(kill) => oom_kill(all, kill),
        Detail::ContainerStart(start) => {
            all.known("observer.container.restarts_seen", Some(start.restarts_seen));
            all.seconds("observer.container.down_time", start.since_last_end_ns);
        }
        Detail::ContainerStop(stop) => {
            if stop.is_failure() {
                all.text("error.type", end_name(stop.kind()));
            }
            all.known("process.exit.code", stop.code());
            all.seconds("observer.container.run_time", stop.run_time_ns);
            all.flag("observer.container.oom_killed", stop.oom_killed);
            let reason = stop.runtime.as_ref().map_or("", |runtime| &runtime.reason);
            all.text("k8s.container.status.last_terminated_reason", reason);
        }
        Detail::ContainerReady(ready) => {
            all.text("server.address", &ready.address.ip().to_string());
            all.number("server.port", ready.address.port().into());
            all.seconds("observer.container.start_up_time", ready.since_start_ns);
        }
        Detail::ContainerCrashLoop(crash_loop) => {
            all.known("observer.container.failures", Some(crash_loop.failures));
        }
        Detail::TcpConnect(connect) => {
            all.seconds("observer.tcp.handshake.duration", Some(connect.handshake_latency_ns));
        }
        Detail::TcpAccept(accept) => {
            all.seconds("observer.tcp.handshake.duration", accept.handshake_latency_ns);
        }
        Detail::TcpConnectFailure(failure) => {
            all.text("error.type", failure.error());
            all.seconds("observer.tcp.connect.duration", failure.duration_ns);
            all.known("observer.tcp.syn_retransmits", Some(failure.syn_retransmits));
        }
        Detail::TcpConnectPending(pending) => {
            all.seconds("observer.tcp.connect.duration", Some(pending.waited_ns));
            all.known("observer.tcp.syn_retransmits", Some(pending.syn_retransmits));
        }
        Detail::TcpRetransmit(retransmit) => {
            let TcpRetransmit { cause, phase, segments, .. } = retransmit;
            words::retransmit(all, *cause, *phase, *segments);
        }
        Detail::TcpReset(reset) => {
            words::reset(all, reset.direction, reset.cause, reset.reason.as_deref());
        }
        Detail::TcpClose(close) => {
            all.text("error.type", error_name(close.errno));
            all.seconds("observer.tcp.connection.duration", close.duration_ns);
            all.seconds("observer.tcp.rtt", close.counters.rtt_ns);
            all.number("observer.tcp.sent_bytes", close.counters.sent_bytes);
            all.number("observer.tcp.received_bytes", close.counters.received_bytes);
            all.number("observer.tcp.retransmits", close.counters.retransmitted_segments);
        }
        Detail::TcpResponse(response) => {
            all.seconds("observer.tcp.response.duration", Some(response.latency_ns));
        }
        Detail::PacketDrop(drop) => {
            all.text("observer.packet_drop.reason", &drop.reason);
            all.text("network.transport", &drop.protocol);
        }
        Detail::Signal(signal) => all.text("observer.signal", &signal_name(signal.number)),
        Detail::OpenFailure(failure) => {
            all.text("file.path", &failure.path.to_string_lossy());
            all.text("error.type", &open_error(failure.errno));
        }
    }
}

fn process_exit(all: &mut Attributes, exit: &ProcessExit) {
    match exit.ending {
        Ending::Code(code) => all.number("process.exit.code", code.into()),
        Ending::Signal { signal, .. } => all.text("observer.signal", &signal_name(signal)),
    }
    all.flag("observer.oom_killed", exit.oom_killed);
    all.seconds("observer.process.run_time", Some(exit.run_time_ns));
}

fn oom_kill(all: &mut Attributes, kill: &OomKill) {
    let OomKill { resident_bytes, shortage } = kill;
    all.known("observer.memory.resident", *resident_bytes);
    if let Shortage::Cgroup { path, limit_bytes, usage_bytes: _ } = shortage {
        all.text("observer.memory.cgroup", path);
        all.number("observer.memory.limit", *limit_bytes);
    }
}
