//! Both ends of connections, found by their addresses and ports.

use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet};
use observer_proto::v1;

use super::address::crossing_end;
use super::peer::{fill_end, may_be};

/// The live connections of all nodes, each once: of one whose ends are on two nodes the client's end is told, with the
/// server's as its `peer`. They come in the order that they are given in.
///
/// Ends belong together if no other ends have the same addresses and ports, and what either node says of the other end does not
/// speak against it. (When they started does not count: the nodes' clocks may differ.) All others stay as they are, so
/// that what is hidden behind source NAT stays two connections.
pub(crate) fn connections(told: Vec<(Arc<str>, v1::Connection)>) -> Vec<v1::Connection> {
    let pairs = pairs(&told);
    let named = |(node, connection): (Arc<str>, v1::Connection)| {
        Some(v1::Connection { node_name: node.as_ref().to_owned(), ..connection })
    };
    let mut all: Vec<_> = told.into_iter().map(named).collect();
    for (client, server) in pairs {
        let server = all[server].take();
        if let Some((client, server)) = all[client].as_mut().zip(server) {
            join(client, server);
        }
    }
    all.into_iter().flatten().collect()
}

/// The client's end of a connection takes in what the server's end says.
fn join(client: &mut v1::Connection, server: v1::Connection) {
    if let Some(tcp) = &mut client.tcp
        && let Some(asked) = tcp.backend.as_mut().or(tcp.destination.as_mut())
    {
        fill_end(asked, server.workload.as_ref(), &server.node_name);
    }
    let v1::Connection {
        tcp,
        workload,
        process,
        state,
        start_time: _,
        handshake_latency_ns,
        counters: _,
        adopted: _,
        flow,
        half_closed_time: _,
        peer: _,
        node_name,
    } = server;
    let connection_id = tcp.map(|tcp| tcp.connection_id).unwrap_or_default();
    client.peer =
        Some(v1::PeerEnd { connection_id, process, state, handshake_latency_ns, flow, node_name, workload });
}

/// The ends that were found of the same two addresses and ports.
#[derive(Default)]
struct Found {
    client: Option<usize>,
    server: Option<usize>,
    /// There is more than one of a kind, or one whose other end is known to be another.
    ambiguous: bool,
}

impl Found {
    fn add(&mut self, at: usize, connection: &v1::Connection, outgoing: bool) {
        let end = if outgoing { &mut self.client } else { &mut self.server };
        self.ambiguous |= connection.peer.is_some() || end.replace(at).is_some();
    }
}

/// Which ends belong together, by their places: the client's, the server's.
fn pairs(told: &[(Arc<str>, v1::Connection)]) -> Vec<(usize, usize)> {
    let mut found: HashMap<(SocketAddr, SocketAddr), Found> = HashMap::with_capacity(told.len());
    for (at, (_, connection)) in told.iter().enumerate() {
        if let Some((ends, outgoing)) = ends(connection) {
            found.entry(ends).or_default().add(at, connection, outgoing);
        }
    }
    let nodes: HashSet<&str> = told.iter().map(|(node, _)| &**node).collect();
    let whole = found.into_values().filter(|found| !found.ambiguous);
    let pairs = whole.filter_map(|found| found.client.zip(found.server));
    pairs.filter(|(client, server)| is_one(&told[*client], &told[*server], &nodes)).collect()
}

/// The addresses and ports of the packets as the server's side has them, and whether this is the client's end.
fn ends(connection: &v1::Connection) -> Option<((SocketAddr, SocketAddr), bool)> {
    let tcp = connection.tcp.as_ref()?;
    let source = tcp.source.as_ref()?;
    let answering = tcp.backend.as_ref().filter(|_| tcp.outgoing).or(tcp.destination.as_ref())?;
    let source = crossing_end(&source.address, source.port)?;
    let answering = crossing_end(&answering.address, answering.port)?;
    Some(((source, answering), tcp.outgoing))
}

/// What the nodes say of the other end does not speak against these being the two ends of one connection.
fn is_one(
    (client_node, client): &(Arc<str>, v1::Connection),
    (server_node, server): &(Arc<str>, v1::Connection),
    nodes: &HashSet<&str>,
) -> bool {
    let (Some(asks), Some(asked)) = (&client.tcp, &server.tcp) else { return false };
    let answering = asks.backend.as_ref().or(asks.destination.as_ref());
    let agrees = |said: Option<&v1::Endpoint>, of: &v1::Connection, node: &str| {
        said.is_none_or(|said| {
            let elsewhere = said.node_name != node && nodes.contains(said.node_name.as_str());
            !elsewhere && may_be(said.workload.as_ref(), of.workload.as_ref())
        })
    };
    client_node != server_node
        && agrees(answering, server, server_node)
        && agrees(asked.source.as_ref(), client, client_node)
}
