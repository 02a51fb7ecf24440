//! What was only counted gets its owner, and sockets the peer of their edge.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::{Attributor, Moment};
use crate::decode::{Socket, Sum, SumOf};
use crate::event::{Folded, FoldedFigures, Now, Peer, PeerKind, Tcp};

impl Attributor {
    /// Attributes what was added up until now. Its names are those of this moment: nobody waits for more, and what
    /// becomes known later is told with the workload's next figures.
    pub(crate) fn folded(&mut self, sum: Sum, now: Now) -> Folded {
        let Sum { cgroup_id, of, counts } = sum;
        let owner = Some(Arc::clone(&self.identities.get(self.identities.owner_of(cgroup_id)).workload));
        let (workload, figures) = match of {
            SumOf::Sockets { socket, many, figures } => {
                let workload = if cgroup_id == 0 {
                    // No socket: at most the address says whose it was.
                    self.addresses.own_pod(socket.local.ip(), now.boot)
                } else {
                    owner
                };
                let at = Moment { time: now.boot, now, cgroup_id };
                let tcp = if many { of_many(&socket) } else { self.of_edge(&socket, at) };
                (workload, FoldedFigures::Tcp(Box::new((tcp, *figures))))
            }
            SumOf::Processes(figures) => (owner, FoldedFigures::Processes(figures)),
            SumOf::Other => (owner, FoldedFigures::None),
        };
        Folded { workload, figures, counts }
    }

    fn of_edge(&mut self, socket: &Socket, at: Moment) -> Tcp {
        let mut tcp = self.tcp(socket, at);
        self.name(&mut tcp, at, false);
        tcp
    }
}

/// An edge that stands for many.
fn of_many(socket: &Socket) -> Tcp {
    let nobody = match socket.local.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    Tcp {
        id: crate::event::ConnectionId(0),
        local: socket.local,
        remote: SocketAddr::new(nobody, 0),
        outgoing: socket.outgoing.unwrap_or(true),
        peer: Peer::of(PeerKind::Many),
        netns: socket.netns,
        backend: None,
    }
}
