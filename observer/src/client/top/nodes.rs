//! Which nodes a view is of, where a relay answers for several, and which are missing in it.

use std::collections::{BTreeMap, BTreeSet};

use observer_proto::v1::{NodeState, NodeStatus};

use super::super::escape::escape;
use super::super::nodes::Nodes;
use super::super::summary::Finished;
use super::Top;

impl Top {
    /// Takes in how a node is that a relay asks; gives words for what is of the moment.
    pub(super) fn node(&mut self, status: &NodeStatus) -> Option<String> {
        let NodeStatus { node_name: node, message, .. } = status;
        match status.state() {
            _ if node.is_empty() => None,
            NodeState::Unavailable => {
                self.missing.insert(node.clone(), message.clone());
                None
            }
            NodeState::Gone | NodeState::Connected => {
                self.missing.remove(node);
                Nodes::default().line(status).map(|(_, words)| words)
            }
            // It is told of the window that lacks it.
            NodeState::Behind | NodeState::Unspecified | NodeState::Stopping | NodeState::Following => None,
        }
    }
}

/// Nodes that did not answer, and why.
pub(super) fn named(missing: Vec<NodeStatus>) -> BTreeMap<String, String> {
    missing.into_iter().map(|one| (one.node_name, one.message)).collect()
}

/// Whose window is shown: the node, or how many of those that there are.
pub(super) fn place(top: &Top, finished: &Finished) -> String {
    let nodes = finished.end.nodes;
    if nodes == 0 {
        return finished.place();
    }
    let lacks = lacking(top, finished).len();
    if lacks == 0 { finished.place() } else { format!("{nodes} of {} nodes", nodes as usize + lacks) }
}

/// The nodes that a window lacks, in words; `None` where it lacks none.
pub(super) fn missing(top: &Top) -> Option<String> {
    let mut all = top.missing.iter().map(|(node, why)| (node.as_str(), "unavailable", why.as_str()));
    let behind = top.finished.get().map_or(&[][..], |finished| &finished.window.behind);
    let behind = behind.iter().filter(|status| !top.missing.contains_key(&status.node_name));
    let mut behind = behind.map(|status| (status.node_name.as_str(), "behind", status.message.as_str()));
    let (node, state, why) = all.next().or_else(|| behind.next())?;
    let more = match all.count() + behind.count() {
        0 => String::new(),
        1 => " (and 1 more node is missing)".to_owned(),
        more => format!(" (and {more} more nodes are missing)"),
    };
    Some(format!("[{}]: {state}: {}{more}", escape(node), escape(why)))
}

/// The nodes that a window lacks: one that went away lately may have told its part of it.
fn lacking<'a>(top: &'a Top, finished: &'a Finished) -> BTreeSet<&'a str> {
    let window = &finished.window;
    let summaries = window.workloads.iter().chain(&window.edges);
    let told: BTreeSet<&str> = summaries.map(|summary| summary.node_name.as_str()).collect();
    let behind = window.behind.iter().map(|status| status.node_name.as_str());
    let missing = top.missing.keys().map(String::as_str).chain(behind);
    missing.filter(|node| !told.contains(node)).collect()
}
