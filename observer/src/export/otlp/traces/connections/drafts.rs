//! Spans of connections.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::super::super::ids::{Ends, Side, SpanName};
use super::super::incidents::{Incidents, Parties};
use super::super::span::{Draft, Told, link, note};
use super::Pair;
use super::end::{End, Happened};
use crate::event::{Detail, Event, Tcp, TcpClose, TcpConnectFailure, WallTime, error_name};
use crate::export::otlp::words;

/// Makes them.
#[derive(Debug)]
pub(super) struct Drafts {
    pub(super) node_name: Arc<str>,
}

impl Drafts {
    /// The name of one side's span; `None` where no side is known.
    pub(super) fn name(&self, ends: &Ends, pair: &Pair, side: Side) -> Option<SpanName> {
        Some(ends.span(side, pair.established()?, self.node(ends, pair)))
    }

    /// The node, where the connection does not leave it.
    fn node(&self, ends: &Ends, pair: &Pair) -> Option<&str> {
        (ends.is_loopback() || pair.is_here()).then_some(&*self.node_name)
    }

    /// Tells the sides of a connection that have ended, if it is wanted.
    pub(super) fn tell(&self, ends: &Ends, pair: &mut Pair, incidents: &mut Incidents, told: &mut Vec<Told>) {
        let Some(established) = pair.established().filter(|_| pair.wanted) else { return };
        let node = self.node(ends, pair);
        let are_both = pair.client.is_some() && pair.server.is_some();
        for side in [Side::Client, Side::Server] {
            let Some(end) = pair.side(side) else { continue };
            let Some(event) = end.closed.as_mut().and_then(|closed| closed.event.take()) else { continue };
            let Detail::TcpClose(close) = &event.detail else { continue };
            let name = ends.span(side, established, node);
            let mut draft = closed_draft(&event, close, end, name);
            let other = ends.span(side.other(), established, node);
            if side == Side::Server && are_both {
                draft.parent = Some(other.span);
            } else if !are_both {
                // The other side is told elsewhere, if it is: perhaps under the next name.
                draft.links.push(link(other, "other side"));
                let neighbour = ends.neighbour(side.other(), established, node);
                draft.links.extend(neighbour.map(|name| link(name, "other side, perhaps")));
            }
            let parties = Parties::of_connection(event.workload.as_deref(), &close.tcp);
            told.push(joined(draft, &event, parties, incidents));
        }
    }
}

/// One that was not established.
pub(super) fn failed(
    event: &Event,
    failure: &TcpConnectFailure,
    name: SpanName,
    incidents: &mut Incidents,
) -> Told {
    let TcpConnectFailure { tcp, errno: _, sent: _, duration_ns, syn_retransmits } = failure;
    let mut attributes = words::connection(tcp);
    words::process(&mut attributes, event.process.as_deref());
    attributes.text("error.type", failure.error());
    attributes.known("observer.tcp.syn_retransmits", Some(*syn_retransmits));
    let draft = Draft {
        name,
        parent: None,
        kind: SpanKind::Client,
        title: title(tcp),
        start: WallTime(event.time.0.saturating_sub(duration_ns.unwrap_or(0))),
        end: event.time,
        attributes,
        links: Vec::new(),
        notes: Vec::new(),
        error: Some(failure.error().replace('_', " ")),
    };
    let parties = Parties::of_connection(event.workload.as_deref(), tcp);
    joined(draft, event, parties, incidents)
}

fn closed_draft(event: &Event, close: &TcpClose, end: &End, name: SpanName) -> Draft {
    let TcpClose { tcp, duration_ns, counters, errno } = close;
    let mut attributes = words::connection(tcp);
    words::process(&mut attributes, event.process.as_deref());
    attributes.seconds("observer.tcp.handshake.duration", end.handshake_ns);
    attributes.seconds("observer.tcp.rtt", counters.rtt_ns);
    attributes.number("observer.tcp.sent_bytes", counters.sent_bytes);
    attributes.number("observer.tcp.received_bytes", counters.received_bytes);
    attributes.number("observer.tcp.retransmits", counters.retransmitted_segments);
    let error = match errno {
        0 if end.reset => "reset",
        errno => error_name(*errno),
    };
    attributes.text("error.type", error);
    // Who asked began before it was established.
    let began =
        end.established.0.saturating_sub(if tcp.outgoing { end.handshake_ns.unwrap_or(0) } else { 0 });
    let start = duration_ns.map_or(began, |duration| event.time.0.saturating_sub(duration));
    let mut notes = Vec::new();
    if end.handshake_ns.is_some() {
        notes.push(note(end.established, "established", Vec::new()));
    }
    notes.extend(end.notes.iter().map(Happened::told));
    if end.notes_omitted > 0 {
        attributes.known("observer.notes_omitted", Some(end.notes_omitted));
    }
    Draft {
        name,
        parent: None,
        kind: if tcp.outgoing { SpanKind::Client } else { SpanKind::Server },
        title: title(tcp),
        start: WallTime(start),
        end: event.time,
        attributes,
        links: Vec::new(),
        notes,
        error: Some(error).filter(|error| !error.is_empty()).map(|error| error.replace('_', " ")),
    }
}

fn joined(mut draft: Draft, event: &Event, parties: Parties, incidents: &mut Incidents) -> Told {
    draft.join(&incidents.join(parties, draft.name, draft.end));
    draft.finish(event.workload.clone())
}

/// What a connection's span is called: few names, as they are grouped by.
fn title(tcp: &Tcp) -> String {
    if tcp.outgoing {
        format!("tcp connect {}:{}", words::peer_name(tcp), tcp.remote.port())
    } else {
        format!("tcp accept :{}", tcp.local.port())
    }
}
