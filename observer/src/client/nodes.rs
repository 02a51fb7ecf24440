//! What a relay says of the nodes that it asks, in words: how they are, and which did not answer.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{self, Write as _};

use observer_proto::v1::{NodeState, NodeStatus};

use super::color::Paint;
use super::escape::escape;
use super::look::Look;

/// So many nodes that did not answer are named.
const NAMED: usize = 20;

/// Which nodes cannot be asked, of those that a stream told of.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    away: BTreeSet<String>,
}

impl Nodes {
    /// Takes in a state; `None` where it is none of a node's, or no news: one is connected, and nothing is the matter with it.
    pub(crate) fn told(&mut self, status: &NodeStatus) -> Option<(Paint, String)> {
        if status.node_name.is_empty() {
            return None;
        }
        let was_away = self.away.remove(&status.node_name);
        if status.state() == NodeState::Unavailable {
            self.away.insert(status.node_name.clone());
        }
        match (status.state(), status.message.is_empty()) {
            (NodeState::Connected, true) if was_away => {
                Some((Paint::Good, "connected again; it tells what happened meanwhile".to_owned()))
            }
            (NodeState::Connected, false) if was_away => {
                Some((Paint::Warning, format!("connected again: {}", escape(&status.message))))
            }
            (NodeState::Connected | NodeState::Unspecified | NodeState::Following, true) => None,
            _ => Some((Paint::Warning, words(status))),
        }
    }

    /// The same as a line of its own, which says of which node it is.
    pub(crate) fn line(&mut self, status: &NodeStatus) -> Option<(Paint, String)> {
        let (paint, words) = self.told(status)?;
        Some((paint, of_node(&status.node_name, &words)))
    }
}

/// What is said of a node; of none where one alone tells.
pub(crate) fn of_node(node: &str, words: &str) -> String {
    if node.is_empty() { words.to_owned() } else { format!("[{}]: {words}", escape(node)) }
}

/// A state in words.
pub(super) fn words(status: &NodeStatus) -> String {
    let state = match status.state() {
        NodeState::Connected => "connected",
        NodeState::Following => "following",
        NodeState::Stopping => "the daemon stops",
        NodeState::Unavailable => "unavailable",
        NodeState::Gone => "gone",
        NodeState::Behind => "behind",
        NodeState::Unspecified => "status",
    };
    let colon = if status.message.is_empty() { "" } else { ": " };
    format!("{state}{colon}{}", escape(&status.message))
}

/// Says of the nodes that did not answer that what is shown lacks them: below a table, and where whole messages are written
/// on stderr, as they are none of these.
pub(crate) fn write_missing(out: &mut dyn io::Write, look: &Look, missing: &[NodeStatus]) -> io::Result<()> {
    for line in missing_lines(missing) {
        if look.is_whole() {
            // Where stderr cannot be written to, there is nobody to tell.
            _ = writeln!(io::stderr().lock(), "observer: {line}");
        } else {
            writeln!(out, "{}", look.painter.paint(Paint::Warning, line))?;
        }
    }
    Ok(())
}

fn missing_lines(missing: &[NodeStatus]) -> Vec<String> {
    let line = |status: &NodeStatus| {
        let (name, why) = (escape(&status.node_name), escape(&status.message));
        format!("{name} did not answer: {why}; what is shown lacks it")
    };
    let mut lines: Vec<String> = missing.iter().take(NAMED).map(line).collect();
    match missing.len().saturating_sub(NAMED) {
        0 => {}
        1 => lines.push("and 1 more node did not answer".to_owned()),
        more => lines.push(format!("and {more} more nodes did not answer")),
    }
    lines
}
