//! One line an event: `TIME [node]: ns/pod/container -> ns/pod:port TYPE (what is worth knowing)`.

#[cfg(test)]
mod tests;

use std::io;

use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{Event, NodeState, NodeStatus, Tcp, WatchEventsRequest, WatchEventsResponse};
use prost_types::Timestamp;

use super::cells::Columns;
use super::chosen::Chosen;
use super::color::Paint;
use super::escape::escape;
use super::look::Look;
use super::origin::Origin;
use super::time::Clock;
use super::{detail, folded, json, label, lost};

/// Writes the messages of an event stream.
pub(crate) struct Lines {
    look: Look,
    clock: Clock,
    origin: Origin,
    /// Where fields were chosen.
    columns: Columns,
    /// Whose origin it is, where what was recorded is shown: all of it, also what was recorded twice.
    recorded: Option<String>,
}

impl Lines {
    /// Lines of the given look.
    pub(crate) fn new(look: &Look) -> Self {
        Self {
            look: look.clone(),
            clock: look.clock(),
            origin: Origin::default(),
            columns: Columns::default(),
            recorded: None,
        }
    }

    /// The same for what was recorded, perhaps of several nodes.
    pub(crate) fn of_recording(look: &Look) -> Self {
        Self { recorded: Some(String::new()), ..Self::new(look) }
    }

    /// The request that goes on where the stream before it was cut off.
    pub(crate) fn resumed(&self, request: WatchEventsRequest) -> WatchEventsRequest {
        let Some(resume) = self.origin.resume() else { return request };
        let WatchEventsRequest { allow, deny, follow, field_mask, .. } = request;
        let resume = Some(resume);
        WatchEventsRequest { allow, deny, follow, field_mask, resume, ..WatchEventsRequest::default() }
    }

    /// Writes one message, if it is worth a line.
    pub(crate) fn write(&mut self, out: &mut dyn io::Write, message: &WatchEventsResponse) -> io::Result<()> {
        // What a stream that is opened again has shown already is no news.
        let again = match &message.payload {
            Some(Payload::NodeStatus(status)) => {
                if let Some(node) = self.recorded.as_mut().filter(|node| **node != message.node_name) {
                    node.clone_from(&message.node_name);
                    self.origin = Origin::default();
                }
                self.origin.greeted(status, &self.clock)
            }
            Some(Payload::Event(event)) if !self.origin.is_new(event) && self.recorded.is_none() => {
                return Ok(());
            }
            Some(Payload::Event(_) | Payload::Lost(_) | Payload::Folded(_) | Payload::History(_)) | None => {
                None
            }
        };
        if self.look.is_whole() {
            return json::write_whole(out, &self.look, "WatchEventsResponse", message);
        }
        let node = message.node_name.as_str();
        match &message.payload {
            Some(Payload::Event(event)) => {
                if let Chosen::Fields(fields) = &self.look.chosen {
                    return self.columns.write(out, &self.look, fields, event);
                }
                let head =
                    self.head(event.time.as_ref(), if node.is_empty() { &event.node_name } else { node });
                writeln!(out, "{head}{}", self.event(event))
            }
            Some(Payload::Lost(notice)) => {
                let head = self.head(message.time.as_ref(), node);
                let words = format!("lost: {}", lost::words(notice, &self.clock));
                writeln!(out, "{head}{}", self.look.painter.paint(Paint::Warning, words))
            }
            Some(Payload::Folded(notice)) => {
                let head = self.head(message.time.as_ref(), node);
                let words = folded::words(notice, &self.clock);
                writeln!(out, "{head}{}", self.look.painter.paint(Paint::Warning, words))
            }
            Some(Payload::History(history)) => {
                let Some(words) = lost::missing(history, &self.clock) else { return Ok(()) };
                let head = self.head(message.time.as_ref(), node);
                writeln!(out, "{head}{}", self.look.painter.paint(Paint::Warning, words))
            }
            Some(Payload::NodeStatus(status)) => match again {
                Some(words) => {
                    let head = self.head(message.time.as_ref(), node);
                    writeln!(out, "{head}{}", self.look.painter.paint(Paint::Warning, words))
                }
                None => self.node_status(out, status, message),
            },
            None => Ok(()),
        }
    }

    /// That the stream began is no news, unless everything is wanted.
    fn node_status(
        &mut self,
        out: &mut dyn io::Write,
        status: &NodeStatus,
        message: &WatchEventsResponse,
    ) -> io::Result<()> {
        let state = match status.state() {
            NodeState::Connected if !self.look.is_wide() => return Ok(()),
            NodeState::Connected => "connected",
            NodeState::Stopping => "the daemon stops",
            NodeState::Unspecified => "status",
        };
        let head = self.head(message.time.as_ref(), &message.node_name);
        let colon = if status.message.is_empty() { "" } else { ": " };
        let words = format!("{state}{colon}{}", escape(&status.message));
        writeln!(out, "{head}{}", self.look.painter.paint(Paint::Bold, words))
    }

    fn head(&mut self, time: Option<&Timestamp>, node: &str) -> String {
        let head = format!("{}[{}]: ", self.clock.prefix(time), escape(node));
        self.look.painter.paint(Paint::Dim, head).into_owned()
    }

    fn event(&self, event: &Event) -> String {
        let mut words = detail::words(event);
        words.extend(detail::process(event));
        let kind = event.r#type().as_str_name();
        let kind = self.look.painter.paint(detail::severity(event), kind);
        let mut line = format!("{} {kind}", who(event));
        if !words.is_empty() {
            line = format!("{line} ({})", words.join(", "));
        }
        if self.look.is_wide() {
            let more = self.look.painter.paint(Paint::Dim, more(event)).into_owned();
            line.push_str(&more);
        }
        line
    }
}

/// The workload, and for a connection the direction and the other side.
fn who(event: &Event) -> String {
    match detail::tcp(event) {
        None => label::owner(event.workload.as_ref()),
        Some(tcp) if tcp.outgoing => {
            format!("{} -> {}", own(event, tcp), label::destination(tcp))
        }
        Some(tcp) => format!("{} <- {}", own(event, tcp), label::endpoint(tcp.source.as_ref())),
    }
}

/// This side: its workload, else its address; with the port where it is the listening side.
fn own(event: &Event, tcp: &Tcp) -> String {
    let end = if tcp.outgoing { &tcp.source } else { &tcp.destination };
    match (&event.workload, end) {
        (None, _) => label::endpoint(end.as_ref()),
        (Some(workload), Some(end)) if !tcp.outgoing => {
            format!("{}:{}", label::owner(Some(workload)), end.port)
        }
        (Some(workload), _) => label::owner(Some(workload)),
    }
}

/// What a wide line has beyond a compact one.
fn more(event: &Event) -> String {
    let mut words = Vec::new();
    if let Some(tcp) = detail::tcp(event) {
        let (source, destination) =
            (label::address(tcp.source.as_ref()), label::address(tcp.destination.as_ref()));
        let backend = tcp.backend.as_ref().map(|end| format!(" -> {}", label::address(Some(end))));
        words.push(format!("{source} -> {destination}{}", backend.unwrap_or_default()));
        let far = if tcp.outgoing { &tcp.destination } else { &tcp.source };
        if let Some(far) = far.as_ref().filter(|far| !far.node_name.is_empty()) {
            words.push(format!("on {}", escape(&far.node_name)));
        }
        words.push(format!("connection {}", escape(&tcp.connection_id)));
        words.push(format!("netns {}", tcp.netns));
    }
    if let Some(process) = &event.process {
        words.push(format!("{} {}", label::process(process), escape(&process.binary)).trim_end().to_owned());
    }
    if let Some(workload) = event.workload.as_ref().filter(|workload| !workload.container_id.is_empty()) {
        words.push(format!("container {}", escape(label::short(&workload.container_id))));
    }
    words.extend(event.workload.as_ref().and_then(label::maker));
    words.push(format!("sequence {}", event.sequence));
    format!(" {{{}}}", words.join(", "))
}
