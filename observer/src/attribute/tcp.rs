//! Records of connections: both ends get their owners.

use std::sync::Arc;

use super::translations::Phase;
use super::{Attributor, Moment, Output, reset};
use crate::decode::{Body, Known, Socket, Task};
use crate::event::{
    Connection, ConnectionId, Counters, Detail, Listener, Now, PeerKind, Process, Queue, ResetDirection,
    RetransmitPhase, Stalls, Tcp, TcpAccept, TcpClose, TcpConnect, TcpConnectFailure, TcpConnectPending,
    TcpReset, TcpRetransmit, TcpState, Workload,
};

/// `EPIPE`: what the kernel calls a reset that comes after the other side's FIN.
const EPIPE: u32 = 32;
/// `ECONNRESET`.
const ECONNRESET: u32 = 104;

/// So long an attempt waits before that is told. The first SYN is sent again after a second, by a timer that may
/// be some milliseconds early.
const PENDING_NS: u64 = 950_000_000;
/// Attempts that wait at once and were told of.
pub(super) const MAX_PENDING: usize = 16_384;
/// Ports that were listened on at the start, in all network namespaces.
pub(super) const MAX_LISTENING: usize = 65_536;

impl Attributor {
    /// A record of a connection.
    pub(super) fn connection(&mut self, body: Body, at: Moment, out: &mut Output) {
        match body {
            Body::Established { socket, task, start, rtt_ns } => {
                self.pending.remove(&socket.cookie);
                let mut tcp = self.tcp(&socket, at);
                self.name(&mut tcp, Moment { time: start, ..at }, false);
                self.translate(&mut tcp, &socket, task.as_ref(), at, Phase::Open, out);
                let detail = if tcp.outgoing {
                    let handshake_latency_ns = at.time.since_ns(start);
                    Detail::TcpConnect(TcpConnect { tcp, handshake_latency_ns })
                } else {
                    Detail::TcpAccept(TcpAccept { tcp, handshake_latency_ns: rtt_ns })
                };
                self.emit_task(task.as_ref(), at, detail, out);
            }
            Body::Ended { socket, task, start, established, counters, errno } => {
                self.pending.remove(&socket.cookie);
                let duration_ns = start.map(|start| at.time.since_ns(start));
                // By now another pod may have the address of the one that it was connected to.
                let made = Moment { time: start.unwrap_or(at.time), ..at };
                let mut tcp = self.tcp(&socket, made);
                let phase = if established { Phase::Ended } else { Phase::Failed };
                self.name(&mut tcp, made, true);
                self.translate(&mut tcp, &socket, task.as_ref(), made, phase, out);
                let detail = if established {
                    let errno = if errno == EPIPE { ECONNRESET } else { errno };
                    Detail::TcpClose(TcpClose { tcp, duration_ns, counters, errno })
                } else {
                    let syn_retransmits = counters.retransmitted_segments as u32;
                    let sent = counters.sent_segments > 0;
                    let failure = TcpConnectFailure { tcp, errno, sent, duration_ns, syn_retransmits };
                    Detail::TcpConnectFailure(failure)
                };
                self.emit_task(task.as_ref(), at, detail, out);
            }
            Body::Retransmit { socket, task, phase, cause, timeouts, backoff, segments, start } => {
                let state = socket.state.unwrap_or(TcpState(0));
                let mut tcp = self.tcp(&socket, at);
                self.name(&mut tcp, Moment { time: start.unwrap_or(at.time), ..at }, false);
                self.translate(&mut tcp, &socket, task.as_ref(), at, Phase::Underway, out);
                let waited_ns = start.map_or(0, |start| at.time.since_ns(start));
                if phase == RetransmitPhase::Syn && waited_ns >= PENDING_NS && self.is_pending(socket.cookie)
                {
                    let (tcp, syn_retransmits) = (tcp.clone(), timeouts);
                    let pending = TcpConnectPending { tcp, waited_ns, syn_retransmits };
                    self.emit_task(task.as_ref(), at, Detail::TcpConnectPending(pending), out);
                }
                let detail = Detail::TcpRetransmit(TcpRetransmit {
                    tcp,
                    phase,
                    cause,
                    timeouts,
                    backoff,
                    segments,
                    state,
                });
                self.emit_task(task.as_ref(), at, detail, out);
            }
            Body::Reset { socket, task, direction, reason, situation } => {
                let reason = reason.and_then(|number| self.reset_reasons.get(&number).cloned());
                let cause = (direction == ResetDirection::Sent)
                    .then(|| reset::cause(reason.as_deref(), socket.state.is_some(), situation));
                let mut tcp = self.tcp(&socket, at);
                self.name(&mut tcp, at, false);
                if at.cgroup_id != 0 {
                    self.translate(&mut tcp, &socket, task.as_ref(), at, Phase::Underway, out);
                }
                let detail =
                    Detail::TcpReset(TcpReset { tcp, direction, state: socket.state, reason, cause });
                if at.cgroup_id == 0 {
                    // No socket, no process: at most the address says whose it was.
                    let owner = self.addresses.own_pod(socket.local.ip(), at.time);
                    let event = Self::event(owner, None, at, detail);
                    self.send(event, out);
                } else {
                    self.emit_task(task.as_ref(), at, detail, out);
                }
            }
            Body::Exec(_)
            | Body::Exit { .. }
            | Body::Oom { .. }
            | Body::Signal { .. }
            | Body::Answer(_)
            | Body::Answered(_)
            | Body::Dropped(_)
            | Body::Signalled(_)
            | Body::OpenFailed { .. }
            | Body::Listening { .. }
            | Body::CgroupMade { .. }
            | Body::CgroupRemoved => {}
        }
    }

    /// That connection waits for an answer, and nobody was told yet.
    fn is_pending(&mut self, cookie: u64) -> bool {
        self.pending.len() < MAX_PENDING && self.pending.insert(cookie)
    }

    /// The sockets that listen: what was connected to their ports before the daemon came was asked for.
    pub(crate) fn listeners<'a>(&mut self, listeners: impl Iterator<Item = &'a Known>) {
        let room = MAX_LISTENING.saturating_sub(self.listening.len());
        self.listening
            .extend(listeners.map(|known| (known.socket.netns, known.socket.local.port())).take(room));
    }

    /// Which side a socket is that is older than the daemon: its port is, or was, listened on.
    fn is_listeners(&self, socket: &Socket) -> bool {
        let (local, remote) = (socket.local.port(), socket.remote.port());
        self.listening.contains(&(socket.netns, local))
            || (local < remote && !self.listening.contains(&(socket.netns, remote)))
    }

    /// Whose a live socket is.
    fn holder(&mut self, cgroup_id: u64, task: Option<&Task>) -> (Arc<Workload>, Option<Arc<Process>>) {
        let process = task.map(|task| self.processes.of(task));
        (Arc::clone(&self.identities.get(self.identities.owner_of(cgroup_id)).workload), process)
    }

    /// A live socket that no record told of, as a connection; its counters are to come.
    pub(crate) fn known(&mut self, known: Known, now: Now, out: &mut Output) -> Connection {
        let Known { cgroup_id, socket, task, since, adopted, half_closed, listens: _, dropped: _ } = known;
        let at = Moment { time: since, now, cgroup_id };
        let (workload, process) = self.holder(cgroup_id, task.as_ref());
        let mut tcp = self.tcp(&socket, at);
        self.name(&mut tcp, at, false);
        self.translate(&mut tcp, &socket, task.as_ref(), at, Phase::Open, out);
        Connection {
            tcp,
            workload,
            process,
            start: since,
            adopted,
            handshake_latency_ns: None,
            state: socket.state.unwrap_or(TcpState(0)),
            counters: Counters::default(),
            flow: None,
            half_closed,
            stalls: Stalls::default(),
            peer_end: None,
        }
    }

    /// A listener that nobody has told of; its queue is to come.
    pub(crate) fn listener(&mut self, known: Known) -> Listener {
        let Known { cgroup_id, socket, task, since, adopted, half_closed: _, listens: _, dropped } = known;
        let (workload, process) = self.holder(cgroup_id, task.as_ref());
        Listener {
            id: ConnectionId(socket.cookie),
            workload,
            process,
            local: socket.local,
            netns: socket.netns,
            start: since,
            adopted,
            queue: Queue { dropped, ..Queue::default() },
            most_waiting: 0,
            dropped: 0,
            overflowed: Some(0),
            oldest_waiting: None,
        }
    }

    pub(super) fn tcp(&self, socket: &Socket, at: Moment) -> Tcp {
        let outgoing = socket.outgoing.unwrap_or_else(|| !self.is_listeners(socket));
        let mut peer = self.addresses.peer(socket.local.ip(), socket.remote, outgoing, at.time);
        let stays = peer.kind == PeerKind::Loopback || socket.local.ip() == socket.remote.ip();
        if stays && peer.workload.is_none() && socket.netns != self.settings.host_namespaces.net {
            // It does not leave the network namespace: in a pod's own, the other side is that pod.
            peer.workload = self.identities.pod_of_cgroup(at.cgroup_id);
            if peer.workload.is_some() && peer.kind == PeerKind::Host {
                peer.kind = PeerKind::Pod;
            }
        }
        let Socket { cookie, local, remote, netns, .. } = *socket;
        Tcp { id: ConnectionId(cookie), local, remote, outgoing, peer, netns, backend: None }
    }
}
