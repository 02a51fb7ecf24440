//! The words for what debugging sessions see.

use observer_proto::v1::{Endpoint, OpenFailure, PacketDrop, Signal, SignalEffect, TcpResponse};

use super::super::escape::{escape, quote};
use super::super::label;
use super::super::units::{bytes, duration, plural};

/// How long it took, and where that went.
pub(super) fn tcp_response(response: &TcpResponse) -> Vec<String> {
    let mut words = vec![format!("answered after {}", duration(response.latency_ns))];
    match (response.wait_ns, response.work_ns) {
        (Some(wait), Some(work)) => {
            words.push(format!("waited {}", duration(wait)));
            let reading = response.latency_ns.saturating_sub(wait).saturating_sub(work);
            if reading > 0 {
                words.push(format!("read for {}", duration(reading)));
            }
            words.push(format!("worked {}", duration(work)));
        }
        _ => words.push("without reading".to_owned()),
    }
    if response.reads > 0 {
        words.push(format!("{} in {}", bytes(response.read_bytes), plural(response.reads.into(), "read")));
    }
    if response.queued {
        words.push("came before the last answer".to_owned());
    }
    words
}

/// Why, which way, and what it was.
pub(super) fn packet_drop(drop: &PacketDrop) -> Vec<String> {
    let mut words = vec![escape(&drop.reason).into_owned()];
    let way = if drop.incoming { "in" } else { "out" };
    let kind = if drop.protocol.is_empty() { "packet" } else { drop.protocol.as_str() };
    let flags = if drop.tcp_flags.is_empty() { String::new() } else { format!(" {}", drop.tcp_flags) };
    words.push(format!("{}{} {way}", escape(kind), escape(&flags)));
    if let (Some(source), Some(destination)) = (&drop.source, &drop.destination) {
        words.push(format!("{} -> {}", end(source), end(destination)));
    }
    words.push(bytes(drop.length_bytes.into()));
    if !drop.has_socket {
        words.push("no socket".to_owned());
    }
    words
}

/// An end of a packet, which may have no ports.
fn end(end: &Endpoint) -> String {
    if end.port == 0 { escape(&end.address).into_owned() } else { label::address(Some(end)) }
}

/// Which one, by whom, and what became of it.
pub(super) fn signal(signal: &Signal) -> Vec<String> {
    let name = if signal.signal_name.is_empty() {
        format!("signal {}", signal.signal)
    } else {
        escape(&signal.signal_name).into_owned()
    };
    let mut words = vec![name];
    let by = match (&signal.sender, signal.by_kernel) {
        (Some(sender), true) => format!("by the kernel for {}", label::process(sender)),
        (Some(sender), false) => format!("by {}", label::process(sender)),
        (None, true) => "by the kernel".to_owned(),
        (None, false) => "by somebody who is not to be seen".to_owned(),
    };
    match &signal.sender_workload {
        Some(workload) => words.push(format!("{by} of {}", label::owner(Some(workload)))),
        None => words.push(by),
    }
    let effect = match signal.effect() {
        SignalEffect::Unspecified | SignalEffect::Delivered => None,
        SignalEffect::Ignored => Some("ignored"),
        SignalEffect::Pending => Some("one is waiting already"),
        SignalEffect::Lost => Some("lost: too many wait"),
        SignalEffect::Bare => Some("without its details: too many wait"),
    };
    words.extend(effect.map(str::to_owned));
    if signal.to_thread {
        words.push("to one thread".to_owned());
    }
    words
}

/// The error and the path.
pub(super) fn open_failure(failure: &OpenFailure) -> Vec<String> {
    let more = if failure.path_truncated { "…" } else { "" };
    vec![escape(&failure.error).into_owned(), format!("{}{more}", quote(&failure.path))]
}
