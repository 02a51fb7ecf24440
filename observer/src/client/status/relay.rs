//! The state of a relay: the nodes that it asks, and where it finds them.

use std::io;

use observer_proto::v1::{NodeState, Relay, RelayedNode, Status};

use super::super::color::Paint;
use super::super::escape::escape;
use super::super::look::Look;
use super::super::table::{Table, figures, text};
use super::super::units::{bytes, duration, percent, plural};

/// Writes it. Nothing that only a daemon has is there.
pub(super) fn write_relay(
    out: &mut dyn io::Write,
    look: &Look,
    status: &Status,
    relay: &Relay,
) -> io::Result<()> {
    let away = relay.nodes.iter().filter(|node| node.state() != NodeState::Connected).count() as u64;
    let but = if away == 0 { String::new() } else { format!(", {away} of them not connected") };
    let head = format!(
        "observer {}, a relay over {}{but}",
        escape(&status.version),
        plural(relay.nodes.len() as u64, "node")
    );
    writeln!(out, "{}", look.painter.paint(Paint::Bold, head))?;
    let since = status.start_time.as_ref();
    let since = since.map_or_else(String::new, |time| format!(" since {}", look.clock().date(time)));
    writeln!(out, "  up {}{since}", duration(status.uptime_ns))?;
    writeln!(
        out,
        "  memory {}, processor {} ({} of one)",
        bytes(status.resident_bytes),
        duration(status.cpu_time_ns),
        percent(status.cpu_time_ns, status.uptime_ns)
    )?;
    writeln!(
        out,
        "  an event waits {} at most for earlier ones of other nodes",
        duration(relay.merge_window_ns)
    )?;
    super::heading(out, look, "Nodes")?;
    write_nodes(out, look, &relay.nodes)?;
    super::heading(out, look, "Where nodes are found")?;
    super::write_sources(out, look, &relay.sources)
}

fn write_nodes(out: &mut dyn io::Write, look: &Look, nodes: &[RelayedNode]) -> io::Result<()> {
    if nodes.is_empty() {
        return writeln!(out, "  {}", look.painter.paint(Paint::Failure, "none"));
    }
    let mut table = Table::new([
        text("  NODE", 18, 0),
        text("STATE", 11, 0),
        text("SINCE", 19, 2),
        text("VERSION", 8, 2),
        text("CLOCK", 14, 1),
        figures("STREAMS", 7, 3),
        figures("MESSAGES", 8, 3),
        figures("LOST", 6, 1),
        text("ADDRESS", 24, 1),
    ]);
    for node in nodes {
        table.row(paint(node), row(node, look));
    }
    let mut lines = Vec::new();
    table.write(&mut lines, look)?;
    let lines = String::from_utf8_lossy(&lines);
    let mut lines = lines.lines();
    if let Some(titles) = lines.next() {
        writeln!(out, "{titles}")?;
    }
    // A row is a line; why it is as it is stands below.
    for (line, node) in lines.zip(nodes) {
        writeln!(out, "{line}")?;
        if !node.message.is_empty() {
            let paint = if paint(node) == Paint::Plain { Paint::Warning } else { paint(node) };
            writeln!(out, "    {}", look.painter.paint(paint, escape(&node.message).into_owned()))?;
        }
    }
    Ok(())
}

fn row(node: &RelayedNode, look: &Look) -> Vec<String> {
    let state = match node.state() {
        NodeState::Connected => "connected",
        NodeState::Unavailable => "unavailable",
        NodeState::Gone => "gone",
        NodeState::Behind => "behind",
        NodeState::Stopping => "stopping",
        NodeState::Following | NodeState::Unspecified => "-",
    };
    let clock = |ahead: i64| {
        let way = if ahead < 0 { "behind" } else { "ahead" };
        format!("{} {way}", duration(ahead.unsigned_abs()))
    };
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { escape(text).into_owned() };
    vec![
        format!("  {}", dash(&node.name)),
        state.to_owned(),
        node.since.as_ref().map_or_else(|| "-".to_owned(), |time| look.clock().date(time)),
        dash(&node.version),
        node.clock_ahead_ns.map_or_else(|| "-".to_owned(), clock),
        node.streams.to_string(),
        node.messages.to_string(),
        node.lost.to_string(),
        dash(&node.address),
    ]
}

fn paint(node: &RelayedNode) -> Paint {
    match node.state() {
        NodeState::Connected if node.lost > 0 => Paint::Warning,
        NodeState::Connected => Paint::Plain,
        NodeState::Gone => Paint::Dim,
        NodeState::Unspecified
        | NodeState::Stopping
        | NodeState::Following
        | NodeState::Unavailable
        | NodeState::Behind => Paint::Failure,
    }
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::IdentitySource;
    use prost_types::Timestamp;

    use super::super::super::testing;
    use super::super::write_status;
    use super::*;

    #[test]
    fn a_relay_tells_of_its_nodes_and_of_nothing_that_only_a_daemon_has() {
        let node = |name: &str, state: NodeState, ahead, message: &str| RelayedNode {
            name: name.to_owned(),
            address: format!("tls://{name}:4245"),
            state: state.into(),
            message: message.to_owned(),
            since: Some(Timestamp { nanos: 0, ..testing::AT }),
            clock_ahead_ns: ahead,
            ..RelayedNode::default()
        };
        let up = RelayedNode {
            version: "0.1.0".to_owned(),
            streams: 2,
            messages: 1_203,
            ..node("node-a", NodeState::Connected, Some(-1_200_000), "")
        };
        let ahead = "its clock is 3600.0 s ahead of the relay's";
        let ahead = node("node-b", NodeState::Connected, Some(3_600_000_000_000), ahead);
        let away = node("node-c", NodeState::Unavailable, None, "nobody listens there\u{1b}");
        let sources = vec![
            IdentitySource {
                name: "list".to_owned(),
                endpoint: "settings".to_owned(),
                healthy: true,
                message: "3 daemons".to_owned(),
            },
            IdentitySource {
                name: "dns".to_owned(),
                endpoint: "observer:4245".to_owned(),
                healthy: false,
                message: "no name server has an answer".to_owned(),
            },
        ];
        let status = Status {
            version: "0.1.0".to_owned(),
            uptime_ns: 7_380_000_000_000,
            cpu_time_ns: 7_380_000_000,
            resident_bytes: 24 << 20,
            relay: Some(Relay { nodes: vec![up, ahead, away], sources, merge_window_ns: 300_000_000 }),
            ..Status::default()
        };
        let mut out = Vec::new();
        write_status(&mut out, &testing::look(), &status).unwrap();
        let expected = "\
observer 0.1.0, a relay over 3 nodes, 1 of them not connected
  up 2 h 3 min
  memory 24 MiB, processor 7.4 s (0.1% of one)
  an event waits 300 ms at most for earlier ones of other nodes
Nodes
  NODE    STATE        SINCE                VERSION  CLOCK          STREAMS  MESSAGES  LOST  ADDRESS
  node-a  connected    2026-01-31 08:12:03  0.1.0    1.2 ms behind        2      1203     0  tls://node-a:4245
  node-b  connected    2026-01-31 08:12:03  -        1 h ahead            0         0     0  tls://node-b:4245
    its clock is 3600.0 s ahead of the relay's
  node-c  unavailable  2026-01-31 08:12:03  -        -                    0         0     0  tls://node-c:4245
    nobody listens there\\x1b
Where nodes are found
  ok list settings: 3 daemons
  failing dns observer:4245: no name server has an answer
";
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(shown, expected, "\n{shown}");
    }
}
