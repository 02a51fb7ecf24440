//! The two ends of one connection, where both are on this node.

use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use crate::event::{Connection, PeerEnd};

/// Adds to each of the listed connections what is known of its other end.
pub(super) fn join<'a>(listed: &mut [Connection], all: impl Iterator<Item = &'a Connection>) {
    let mut wanted: HashMap<(SocketAddr, SocketAddr), Vec<&Connection>> = HashMap::new();
    for connection in &*listed {
        wanted.insert((connection.tcp.answering(), connection.tcp.local), Vec::new());
    }
    for connection in all {
        if let Some(found) = wanted.get_mut(&(connection.tcp.local, connection.tcp.answering())) {
            found.push(connection);
        }
    }
    let ends: Vec<_> = listed
        .iter()
        .map(|connection| {
            let found = wanted.get(&(connection.tcp.answering(), connection.tcp.local))?;
            let mut others = found.iter().filter(|other| is_other_end(connection, other));
            // Networks that know nothing of one another may use the same addresses.
            others.next().filter(|_| others.next().is_none()).map(|other| Box::new(end(other)))
        })
        .collect();
    for (connection, end) in listed.iter_mut().zip(ends) {
        connection.peer_end = end;
    }
}

fn is_other_end(connection: &Connection, other: &Connection) -> bool {
    let (tcp, of) = (&connection.tcp, &other.tcp);
    let within = !tcp.remote.ip().is_loopback() || tcp.netns == of.netns;
    tcp.id != of.id && tcp.outgoing != of.outgoing && within
}

fn end(connection: &Connection) -> PeerEnd {
    let Connection { tcp, workload, process, start, state, handshake_latency_ns, flow, stalls, .. } =
        connection;
    PeerEnd {
        id: tcp.id,
        workload: Arc::clone(workload),
        process: process.clone(),
        state: *state,
        start: *start,
        handshake_latency_ns: *handshake_latency_ns,
        flow: *flow,
        stalls: *stalls,
    }
}
