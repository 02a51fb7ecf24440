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

    /// Joins what is of a machine, or of a pod on its network. Others may ask in the machine's name, by source NAT: pods of that
    /// node, and whoever comes in by a NodePort. So no pod of it may ask the same server without being found there by itself,
    /// nor somebody of whom nobody knows who it is; and the server has no more connections than this side knows of. (That holds
    /// whatever of this side a client's filters have left out: each edge counts all of its own.)
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
        let asking_anybody: HashSet<Number> =
            told.iter().filter_map(|(node, summary)| asks_anybody(who, node, summary)).collect();
        ends.sort_unstable();
        for same in ends.chunk_by(|one, other| one.between() == other.between()) {
            let ([client], [server]) = halves(same) else { continue };
            let machine = who.is_machine(client.client);
            if !machine && !who.is_machine(client.server) {
                continue;
            }
            let [client_at, server_at] = [client.at as usize, server.at as usize];
            let (near, far) = (&told[client_at].1, &told[server_at].1);
            let doubtful = hidden.contains(&(client.client, client.server, client.port))
                || asking_anybody.contains(&client.client)
                || !explains(near, far);
            if !(machine && doubtful) && connections(near) > 0 && connections(far) > 0 {
                self.pairs.push((client_at, server_at));
            }
        }
    }
}

/// The node of a pod that asks somebody of whom nobody knows who it is: who answers for a Service, or several that are counted
/// together. It may be anybody, on any port.
fn asks_anybody(who: &Directory<'_>, node: &str, summary: &v1::Summary) -> Option<Number> {
    let edge = summary.edge.as_ref().filter(|edge| edge.outgoing)?;
    let anybody = match edge.kind() {
        v1::PeerKind::Service => edge.backend.is_none(),
        v1::PeerKind::Many => true,
        v1::PeerKind::Pod
        | v1::PeerKind::Host
        | v1::PeerKind::Loopback
        | v1::PeerKind::Node
        | v1::PeerKind::Outside
        | v1::PeerKind::Unspecified => false,
    };
    let owner = who.owner(node, summary.workload.as_ref()?).filter(|_| anybody)?;
    (!who.is_machine(who.spot(owner))).then(|| who.node_of(owner))
}

/// All connections that the server has are among those that the client has, as far as their numbers tell: nobody else can
/// be among them. What was lost at the server may be somebody else's.
fn explains(client: &v1::Summary, server: &v1::Summary) -> bool {
    server.lost_events == 0 && connections(server) <= connections(client)
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

/// How many connections there were in the window. All that fails elsewhere is told by one side alone.
fn connections(summary: &v1::Summary) -> u64 {
    summary.tcp.as_ref().map_or(0, |tcp| tcp.opened.max(tcp.closed.saturating_add(tcp.live)))
}
