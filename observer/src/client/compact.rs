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
use super::nodes::Nodes;
use super::origin::Origin;
use super::time::Clock;
use super::{detail, folded, gap, json, label, lost, nodes};

/// Writes the messages of an event stream.
pub(crate) struct Lines {
    look: Look,
    clock: Clock,
    origin: Origin,
    nodes: Nodes,
    /// Where fields were chosen.
    columns: Columns,
    /// Whose origin it is, where what was recorded is shown: all of it, also what was recorded twice.
    recorded: Option<String>,
}

/// A message of an event stream as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// When it happened or was sent.
    pub(crate) time: Option<Timestamp>,
    /// What it is, for its colour.
    pub(crate) paint: Paint,
    /// The text, its time before it.
    pub(crate) text: String,
}

impl Lines {
    /// Lines of the given look.
    pub(crate) fn new(look: &Look) -> Self {
        Self {
            look: look.clone(),
            clock: look.clock(),
            origin: Origin::default(),
            nodes: Nodes::default(),
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
        self.origin.resumed(request)
    }

    /// Writes one message, if it is worth a line.
    pub(crate) fn write(&mut self, out: &mut dyn io::Write, message: &WatchEventsResponse) -> io::Result<()> {
        // What a stream that is opened again has shown already is no news.
        let Some(again) = self.again(message) else { return Ok(()) };
        if self.look.is_whole() {
            return json::write_whole(out, &self.look, "WatchEventsResponse", message);
        }
        let (time, node) = (message.time.as_ref(), message.node_name.as_str());
        if let Some(Payload::Event(event)) = &message.payload {
            if let Chosen::Fields(fields) = &self.look.chosen {
                return self.columns.write(out, &self.look, fields, event);
            }
            let node = if node.is_empty() { &event.node_name } else { node };
            let head = self.head(event.time.as_ref(), node);
            return writeln!(out, "{head}{}", self.event(event));
        }
        let Some((paint, words)) = self.notice(message, again) else { return Ok(()) };
        // What a relay says for itself is of no node.
        let head = self.head(time, if node.is_empty() { "relay" } else { node });
        writeln!(out, "{head}{}", self.look.painter.paint(paint, words))
    }

    /// One message without its node, and what it is; `None` where it is not worth a line.
    pub(crate) fn line(&mut self, message: &WatchEventsResponse) -> Option<Line> {
        let again = self.again(message)?;
        let (time, paint, words) = match &message.payload {
            Some(Payload::Event(event)) => (event.time, detail::severity(event), self.event(event)),
            Some(
                Payload::Lost(_)
                | Payload::Folded(_)
                | Payload::History(_)
                | Payload::Gap(_)
                | Payload::NodeStatus(_),
            )
            | None => {
                let (paint, words) = self.notice(message, again)?;
                // A state may be of another node than all else is.
                let of = match &message.payload {
                    Some(Payload::NodeStatus(status)) => status.node_name.as_str(),
                    _ => "",
                };
                (message.time, paint, nodes::of_node(of, &words))
            }
        };
        Some(Line { time, paint, text: format!("{}{words}", self.clock.prefix(time.as_ref())) })
    }

    /// `None` for an event that a stream which is opened again has shown already; else what there is to say of its
    /// being opened again.
    #[allow(clippy::option_option, reason = "the outer one is whether to go on")]
    fn again(&mut self, message: &WatchEventsResponse) -> Option<Option<String>> {
        match &message.payload {
            Some(Payload::NodeStatus(status)) => {
                if let Some(node) = self.recorded.as_mut().filter(|node| **node != message.node_name) {
                    node.clone_from(&message.node_name);
                    self.origin = Origin::default();
                }
                let again = self.origin.greeted(status, &self.clock);
                if self.origin.is_relay() {
                    self.origin.began(message.time);
                }
                Some(again)
            }
            Some(Payload::Event(event)) => {
                let node =
                    Some(&message.node_name).filter(|node| !node.is_empty()).unwrap_or(&event.node_name);
                (self.origin.is_new(event, node, message.time) || self.recorded.is_some()).then_some(None)
            }
            Some(Payload::Lost(_) | Payload::Folded(_) | Payload::History(_) | Payload::Gap(_)) | None => {
                Some(None)
            }
        }
    }

    /// What is no event, in words.
    fn notice(&mut self, message: &WatchEventsResponse, again: Option<String>) -> Option<(Paint, String)> {
        let warning = |words| Some((Paint::Warning, words));
        match message.payload.as_ref()? {
            Payload::Event(_) => None,
            Payload::Lost(notice) => warning(format!("lost: {}", lost::words(notice, &self.clock))),
            Payload::Folded(notice) => warning(folded::words(notice, &self.clock)),
            Payload::History(history) => warning(lost::missing(history, &self.clock)?),
            Payload::Gap(gap) => warning(gap::words(gap, &self.clock)),
            Payload::NodeStatus(_) if again.is_some() => warning(again?),
            Payload::NodeStatus(status) if !status.node_name.is_empty() => self.nodes.told(status),
            Payload::NodeStatus(status) => Some((Paint::Bold, self.node_status(status)?)),
        }
    }

    /// That the stream began is no news, unless everything is wanted.
    fn node_status(&self, status: &NodeStatus) -> Option<String> {
        let usual = matches!(status.state(), NodeState::Connected | NodeState::Following);
        (self.look.is_wide() || !usual).then(|| nodes::words(status))
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
    match event.tcp() {
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
    if let Some(tcp) = event.tcp() {
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
