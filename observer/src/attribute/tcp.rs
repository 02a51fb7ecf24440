//! Records of connections: both ends get their owners.

use super::{Attributor, Moment, Output};
use crate::decode::{Body, Socket};
use crate::event::{
    ConnectionId, Detail, PeerKind, Tcp, TcpAccept, TcpClose, TcpConnect, TcpConnectFailure, TcpReset,
    TcpRetransmit, TcpState,
};

/// `EPIPE`: what the kernel calls a reset that comes after the other side's FIN.
const EPIPE: u32 = 32;
/// `ECONNRESET`.
const ECONNRESET: u32 = 104;

impl Attributor {
    /// A record of a connection.
    pub(super) fn connection(&mut self, body: Body, at: Moment, out: &mut Output) {
        match body {
            Body::Established { socket, task, start, rtt_ns } => {
                let tcp = self.tcp(&socket, at);
                let detail = if tcp.outgoing {
                    let handshake_latency_ns = at.time.since_ns(start);
                    Detail::TcpConnect(TcpConnect { tcp, handshake_latency_ns })
                } else {
                    Detail::TcpAccept(TcpAccept { tcp, handshake_latency_ns: rtt_ns })
                };
                self.emit_task(task.as_ref(), at, detail, out);
            }
            Body::Ended { socket, task, start, established, counters, errno } => {
                let (tcp, duration_ns) = (self.tcp(&socket, at), at.time.since_ns(start));
                let detail = if established {
                    let errno = if errno == EPIPE { ECONNRESET } else { errno };
                    Detail::TcpClose(TcpClose { tcp, duration_ns, counters, errno })
                } else {
                    let syn_retransmits = counters.retransmitted_segments as u32;
                    Detail::TcpConnectFailure(TcpConnectFailure { tcp, errno, duration_ns, syn_retransmits })
                };
                self.emit_task(task.as_ref(), at, detail, out);
            }
            Body::Retransmit { socket, task, phase, segments } => {
                let state = socket.state.unwrap_or(TcpState(0));
                let tcp = self.tcp(&socket, at);
                let detail = Detail::TcpRetransmit(TcpRetransmit { tcp, phase, segments, state });
                self.emit_task(task.as_ref(), at, detail, out);
            }
            Body::Reset { socket, task, direction, reason } => {
                let reason = reason.and_then(|number| self.reset_reasons.get(&number).cloned());
                let tcp = self.tcp(&socket, at);
                let detail = Detail::TcpReset(TcpReset { tcp, direction, state: socket.state, reason });
                if at.cgroup_id == 0 {
                    // No socket, no process: at most the address says whose it was.
                    let owner = self.addresses.peer(socket.remote.ip(), socket.local.ip(), at.time).workload;
                    let event = Self::event(owner, None, at, detail);
                    self.send(event, out);
                } else {
                    self.emit_task(task.as_ref(), at, detail, out);
                }
            }
            Body::Exec { .. }
            | Body::Exit { .. }
            | Body::Oom { .. }
            | Body::CgroupMade { .. }
            | Body::CgroupRemoved => {}
        }
    }

    fn tcp(&self, socket: &Socket, at: Moment) -> Tcp {
        let mut peer = self.addresses.peer(socket.local.ip(), socket.remote.ip(), at.time);
        if peer.kind == PeerKind::Loopback {
            // Loopback stays in the network namespace: in a pod's, the other side is that pod.
            peer.workload = self.identities.pod_of_cgroup(at.cgroup_id);
        }
        // A socket older than the daemon has no side yet: listeners have the lower ports.
        let outgoing = socket.outgoing.unwrap_or_else(|| socket.local.port() > socket.remote.port());
        let Socket { cookie, local, remote, netns, .. } = *socket;
        Tcp { id: ConnectionId(cookie), local, remote, outgoing, peer, netns }
    }
}
