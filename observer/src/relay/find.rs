//! Finds the daemons.
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::Server;
use crate::status::IdentitySource;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) nodes: Vec<Server>,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) server: Server,
    pub(crate) node_name: Option<String>,
    pub(crate) tls_name: Option<String>,
}
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundNodes {
    pub(crate) nodes: BTreeMap<String, Found>,
    pub(crate) sources: Vec<IdentitySource>,
}
pub(crate) fn start(settings: Settings, tasks: &mut JoinSet<()>) -> watch::Receiver<Arc<FoundNodes>> {
    let nodes = settings.nodes.into_iter();
    let nodes =
        nodes.map(|server| (server.to_string(), Found { server, node_name: None, tls_name: None })).collect();
    let (sender, receiver) = watch::channel(Arc::new(FoundNodes { nodes, sources: Vec::new() }));
    tasks.spawn(async move { sender.closed().await });
    receiver
}
