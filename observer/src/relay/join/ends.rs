//! Which edges are the two ends of one.

use std::sync::Arc;

use foldhash::{HashSet, HashSetExt as _};
use observer_proto::v1;

use super::Addresses;
use super::who::{Directory, Number, Said};

/// Which summaries belong together, by their places.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// An edge that asks, and the other end of it.
    pub(super) pairs: Vec<(usize, usize)>,
    /// An edge that asks, and all that are between the same pods on the same port, where nobody can tell which is whose.
    pub(super) beside: Vec<(usize, Vec<usize>)>,
}

/// One side of an edge, by whom and which port both sides know it by. Ends that may belong together follow one another,
/// those that ask first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    client: Number,
    server: Number,
    port: u32,
    asked: bool,
    at: u32,
}

impl End {
    const fn between(&self) -> (Number, Number, u32) {
        (self.client, self.server, self.port)
    }
}

impl Plan {
    /// Of all nodes' summaries.
    pub(super) fn of(told: &[(Arc<str>, v1::Summary)], addresses: &Addresses) -> Self {
        let who = Directory::of(told, addresses);
        let mut plan = Self::default();
        let ends = told.iter().enumerate();
        let ends = ends.filter_map(|(at, (node, summary))| end(&who, node, summary, at as u32)).collect();
        let left = plan.between_pods(&who, ends);
        plan.of_machines(&who, told, left);
        plan
    }

    /// Joins what is between two pods: each of them has addresses of its own, so there is nobody else whose it could be.
    /// What is left is of one side alone, or of a machine.
    fn between_pods(&mut self, who: &Directory<'_>, mut ends: Vec<End>) -> Vec<End> {
        ends.sort_unstable();
        let mut left = Vec::new();
        for same in ends.chunk_by(|one, other| one.between() == other.between()) {
            let (asking, asked) = halves(same);
            let machine = who.is_machine(same[0].client) || who.is_machine(same[0].server);
            match (asking, asked) {
                ([], _) | (_, []) => left.extend_from_slice(same),
                _ if machine => left.extend_from_slice(same),
                ([client], [server]) => self.pairs.push((client.at as usize, server.at as usize)),
                // Through a Service and past it, of two containers of a pod, or of one that was started again.
                (asking, asked) => {
                    let asked: Vec<_> = asked.iter().map(|end| end.at as usize).collect();
                    self.beside.extend(asking.iter().map(|end| (end.at as usize, asked.clone())));
                }
            }
        }
        left
    }

    /// Joins what is of a machine, or of a pod on its network. Other pods of that node may ask in the machine's name, so
    /// that there must be none that asks the same server and was not found there by itself.
    fn of_machines(&mut self, who: &Directory<'_>, told: &[(Arc<str>, v1::Summary)], left: Vec<End>) {
        let mut ends = left;
        let mut hidden = HashSet::new();
        for end in &mut ends {
            if end.asked {
                end.server = who.spot(end.server);
            } else {
                end.client = who.spot(end.client);
                if !who.is_machine(end.client) {
                    hidden.insert((who.node_of(end.client), end.server, end.port));
                }
            }
        }
        ends.sort_unstable();
        for same in ends.chunk_by(|one, other| one.between() == other.between()) {
            let ([client], [server]) = halves(same) else { continue };
            let machine = who.is_machine(client.client);
            if !machine && !who.is_machine(client.server) {
                continue;
            }
            let [client_at, server_at] = [client.at as usize, server.at as usize];
            let doubtful = machine && hidden.contains(&(client.client, client.server, client.port));
            if !doubtful && [client_at, server_at].iter().all(|at| is_established(&told[*at].1)) {
                self.pairs.push((client_at, server_at));
            }
        }
    }
}

/// Those that ask, and those that are asked.
fn halves(same: &[End]) -> (&[End], &[End]) {
    same.split_at(same.partition_point(|end| !end.asked))
}

/// The end that a summary is of, if it may be of an edge that crosses nodes and was not joined yet.
fn end(who: &Directory<'_>, node: &str, summary: &v1::Summary, at: u32) -> Option<End> {
    let edge = summary.edge.as_ref().filter(|_| summary.far_end.is_none())?;
    let (said, port) = if let Some(backend) = &edge.backend {
        let v1::Endpoint { address, port, workload, node_name, .. } = backend;
        (Said { kind: backend.kind(), workload: workload.as_ref(), address, node_name }, *port)
    } else {
        let v1::Edge { address, port, workload, node_name, .. } = edge;
        (Said { kind: edge.kind(), workload: workload.as_ref(), address, node_name }, *port)
    };
    let other = who.other(node, said)?;
    let owner = who.owner(node, summary.workload.as_ref()?)?;
    let (client, server) = if edge.outgoing { (owner, other) } else { (other, owner) };
    Some(End { client, server, port, asked: !edge.outgoing, at })
}

/// Connections were made on that edge: all that fails elsewhere is told by one side alone.
fn is_established(summary: &v1::Summary) -> bool {
    summary.tcp.as_ref().is_some_and(|tcp| tcp.opened + tcp.closed + tcp.live > 0)
}
