//! The nodes that one client's stream asks, each under a number of its own.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use observer_proto::v1::{NodeState, NodeStatus};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use super::super::call::{Asker, FELL, missing};
use super::super::chosen::Chosen;
use super::super::merge::NodeNumber;
use super::super::node::Node;
use super::super::nodes::{Known, Nodes};
use super::part::Of;

/// The nodes that are asked, and those that there are.
pub(super) struct Asked {
    known: watch::Receiver<Known>,
    nodes: HashMap<NodeNumber, Arc<Node>>,
    numbers: NodeNumber,
    parts: JoinSet<()>,
    /// Whose part each of them is.
    tasks: HashMap<Id, NodeNumber>,
    who: Who,
}

/// In whose name they are asked, and how.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) asker: Asker,
    pub(super) chosen: Chosen,
    /// How long a daemon may take to open a stream.
    pub(super) patience: Duration,
    /// The stream has no end.
    pub(super) follow: bool,
}

/// What changes with the nodes.
pub(super) enum Happens {
    /// Others are found.
    Found,
    /// A node's part ended in the midst, of which that is to be said.
    Fell(NodeNumber, NodeStatus),
}

/// The relay stops.
pub(super) struct Stopping;

impl Asked {
    /// None of these is asked yet.
    pub(super) fn new(nodes: &Nodes, who: Who) -> Self {
        Self {
            known: nodes.follow(),
            nodes: HashMap::new(),
            numbers: 0,
            parts: JoinSet::new(),
            tasks: HashMap::new(),
            who,
        }
    }

    /// Says who answers.
    pub(super) fn greeting(&self) -> Vec<NodeStatus> {
        let known = self.known.borrow();
        let count = known.nodes.len();
        let status =
            |state: NodeState, message| NodeStatus { state: state.into(), message, ..Default::default() };
        let words = format!("a relay over {count} {}", if count == 1 { "node" } else { "nodes" });
        let mut greeting = vec![status(NodeState::Connected, words)];
        if count == 0 {
            greeting.push(status(NodeState::Unavailable, known.nobody()));
        }
        greeting
    }

    /// Waits for what changes with the nodes.
    pub(super) async fn happens(&mut self) -> Result<Happens, Stopping> {
        loop {
            tokio::select! {
                changed = self.known.changed() => {
                    return changed.map(|()| Happens::Found).map_err(|_stopping| Stopping);
                }
                Some(ended) = self.parts.join_next_with_id() => {
                    if let Some(fell) = self.fell(&ended) {
                        return Ok(fell);
                    }
                }
            }
        }
    }

    /// A part that ended as none should.
    fn fell(&mut self, ended: &Result<(Id, ()), JoinError>) -> Option<Happens> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let number = self.tasks.remove(&id)?;
        let node = self.nodes.get(&number).filter(|_| ended.is_err())?;
        Some(Happens::Fell(number, missing(&node.name(), FELL.to_owned())))
    }

    /// Those that are found and not asked yet, with their new numbers. Who is not found any more is forgotten.
    pub(super) fn join(&mut self) -> Vec<(NodeNumber, Of)> {
        let known = self.known.borrow_and_update().clone();
        let found: HashSet<_> = known.nodes.iter().map(Arc::as_ptr).collect();
        self.nodes.retain(|_, node| found.contains(&Arc::as_ptr(node)));
        let asked: HashSet<_> = self.nodes.values().map(Arc::as_ptr).collect();
        let new = known.nodes.iter().filter(|node| !asked.contains(&Arc::as_ptr(node)));
        let new: Vec<_> = new.cloned().zip(self.numbers + 1..).map(|(node, number)| (number, node)).collect();
        self.numbers += new.len();
        self.nodes.extend(new.iter().cloned());
        new.into_iter().map(|(number, node)| (number, self.of(node))).collect()
    }

    fn of(&self, node: Arc<Node>) -> Of {
        let Who { asker, chosen, patience, follow } = &self.who;
        let (asker, chosen, told) = (asker.clone(), chosen.clone(), String::new());
        Of { node, asker, chosen, patience: *patience, follow: *follow, told }
    }

    /// In whose name they are asked.
    pub(super) const fn asker(&self) -> &Asker {
        &self.who.asker
    }

    /// Lets a node's part begin.
    pub(super) fn begin(&mut self, number: NodeNumber, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.insert(self.parts.spawn(part).id(), number);
    }

    /// One that is asked.
    pub(super) fn get(&self, number: NodeNumber) -> Option<&Arc<Node>> {
        self.nodes.get(&number)
    }

    /// It is not asked any more.
    pub(super) fn leave(&mut self, number: NodeNumber) {
        self.nodes.remove(&number);
    }

    /// Nobody is asked any more.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
