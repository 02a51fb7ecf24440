//! All nodes that are found, each with its connection.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::Settings;
use super::find::FoundNodes;
use super::node::{Node, Shared};
use crate::status::IdentitySource;

/// So many connect at a time: a handshake of TLS takes a processor for a while, a millisecond or two. A node that cannot be
/// reached keeps its place for as long as a daemon may take: with few places, many such nodes would hold up the others.
const CONNECTING: usize = 128;

/// The nodes that there are.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    known: watch::Receiver<Known>,
}

/// Those that there are now.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// By address.
    pub(super) nodes: Arc<Vec<Arc<Node>>>,
    /// Where they were found.
    pub(super) sources: Arc<Vec<IdentitySource>>,
}

impl Known {
    /// Why there is none, in words.
    pub(super) fn nobody(&self) -> String {
        let sources = self.sources.iter().map(|IdentitySource { name, endpoint, message, .. }| {
            let space = if endpoint.is_empty() { "" } else { " " };
            format!("{name}{space}{endpoint}: {message}")
        });
        let sources: Vec<_> = sources.collect();
        format!(
            "no node is found: {}",
            if sources.is_empty() { "nowhere is looked yet".to_owned() } else { sources.join("; ") }
        )
    }
}

impl Nodes {
    /// Connects to each that is found.
    pub(super) fn start(
        found: watch::Receiver<Arc<FoundNodes>>,
        settings: &Arc<Settings>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (sender, known) = watch::channel(Known::default());
        tasks.spawn(follow(found, Arc::clone(settings), sender));
        Self { known }
    }

    /// Those that there are now.
    pub(super) fn now(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Those that there are, now and later.
    pub(super) fn follow(&self) -> watch::Receiver<Known> {
        self.known.clone()
    }
}

async fn follow(
    mut found: watch::Receiver<Arc<FoundNodes>>,
    settings: Arc<Settings>,
    sender: watch::Sender<Known>,
) {
    let shared = Shared::new(CONNECTING);
    let mut tasks = JoinSet::new();
    let mut kept: HashMap<String, (Arc<Node>, AbortHandle)> = HashMap::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let newest = Arc::clone(&found.borrow_and_update());
        kept.retain(|key, (node, task)| {
            // Another name in its certificate, say, is another daemon.
            let stays = newest.nodes.get(key).is_some_and(|found| node.is_found_as(found));
            if !stays {
                task.abort();
                node.leave();
            }
            stays
        });
        for (key, one) in &newest.nodes {
            if !kept.contains_key(key) {
                let node = Arc::new(Node::new(one.clone()));
                let task = tasks.spawn(Arc::clone(&node).keep(Arc::clone(&settings), Arc::clone(&shared)));
                kept.insert(key.clone(), (node, task));
            }
        }
        let nodes = newest.nodes.keys().filter_map(|key| kept.get(key)).map(|(node, _)| Arc::clone(node));
        let sources = Arc::new(newest.sources.clone());
        sender.send_replace(Known { nodes: Arc::new(nodes.collect()), sources });
        if found.changed().await.is_err() {
            return;
        }
    }
}
