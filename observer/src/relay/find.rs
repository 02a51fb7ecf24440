//! Finds the daemons: those that are named, those behind a name in DNS, those behind a Service of Kubernetes.
//!
//! Each source is asked again and again by a task of its own. One that fails keeps what it found last, and says so: without
//! DNS, or without the Kubernetes API, the daemons are still there.

mod board;
mod dns;
mod merge;
mod parse;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use self::board::Board;
pub(crate) use self::parse::{DnsName, Port, ServiceName, parse_node};
use crate::client::Server;
use crate::inventory::kubernetes::ApiAccess;
use crate::status::IdentitySource;

/// Daemons that are asked, at most; how many are beyond is told.
const MOST_NODES: usize = 5_000;

/// Where daemons are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// These are there.
    pub(crate) nodes: Vec<Server>,
    /// At each address that one of these names has.
    pub(crate) dns: Vec<DnsName>,
    /// Behind a Service, and how to ask the API for it.
    pub(crate) service: Option<(ApiAccess, ServiceName)>,
}

/// A daemon that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it is asked: for TLS an address of IP, except where a name was given in a list.
    pub(crate) server: Server,
    /// The node that it is on, where Kubernetes says so.
    pub(crate) node_name: Option<String>,
    /// The name that its certificate must have, where that is not the host.
    pub(crate) tls_name: Option<String>,
}

/// What was found, and how each source is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundNodes {
    /// By the address's text.
    pub(crate) nodes: BTreeMap<String, Found>,
    /// In the order of the settings: `list`, `dns` for each name, `kubernetes`.
    pub(crate) sources: Vec<IdentitySource>,
}

impl Found {
    /// One that is asked by TLS at an address.
    fn secured(address: IpAddr, port: u16, node_name: Option<String>, tls_name: String) -> (String, Self) {
        let server = Server::Secured { host: address.to_string(), port };
        (server.to_string(), Self { server, node_name, tls_name: Some(tls_name) })
    }
}

/// Starts to look for them. What is listed is told at once.
pub(crate) fn start(settings: Settings, tasks: &mut JoinSet<()>) -> watch::Receiver<Arc<FoundNodes>> {
    let Settings { nodes, dns, service } = settings;
    let mut board = Board::default();
    let listed: BTreeMap<_, _> = nodes.into_iter().map(named).collect();
    if !listed.is_empty() {
        let place = board.add("list", "settings".to_owned());
        board.found(place, listed);
    }
    let names: Vec<_> = dns.into_iter().map(|name| (board.add("dns", name.to_string()), name)).collect();
    let service = service.map(|(api, name)| (board.add("kubernetes", name.to_string()), api, name));
    let (board, receiver) = board.share();
    for (place, name) in names {
        tasks.spawn(dns::keep(name, board.place(place), dns::look_up));
    }
    if let Some((place, api, name)) = service {
        tasks.spawn(service::keep(api, name, board.place(place)));
    }
    // It has to be there for as long as somebody listens, even where nothing will ever change.
    tasks.spawn(async move { board.closed().await });
    receiver
}

fn named(server: Server) -> (String, Found) {
    (server.to_string(), Found { server, node_name: None, tls_name: None })
}
