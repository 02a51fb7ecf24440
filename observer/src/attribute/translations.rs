//! Where connections really go: which of them to ask for, what was answered, and who waits for it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::{Attributor, Moment, Output};
use crate::decode::{Socket, Task};
use crate::event::{Backend, BootTime, ConnectionId, Detail, Event, PeerKind, Tcp, WorkloadId};
use crate::inventory::{Translated, TranslationQuery};

/// So long nobody asks again for a destination whose packets went where they were sent: 30 s.
const UNTRANSLATED_NS: u64 = 30 * 1_000_000_000;
/// Such destinations that are remembered.
const MAX_UNTRANSLATED: usize = 16_384;
/// Connections that wait for an answer or have one.
const MAX_CONNECTIONS: usize = 262_144;
/// What one takes.
const CONNECTION_BYTES: usize = 200;

/// What is known of where connections go.
pub(super) struct Translations {
    asks: bool,
    connections: HashMap<ConnectionId, State>,
    /// By network namespace and destination: until when it is not asked for again.
    untranslated: HashMap<(u32, SocketAddr), BootTime>,
    overflow: u64,
}

/// Where in its life a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is established.
    Open,
    /// It may be, or not yet.
    Underway,
    /// It has ended.
    Ended,
    /// It was never established.
    Failed,
}

enum State {
    /// Somebody was asked.
    Asked(Asked),
    /// It goes there.
    Known(Arc<Backend>),
}

struct Asked {
    workload: WorkloadId,
    netns: u32,
    local: IpAddr,
    remote: SocketAddr,
    /// When the connection was made: whose the backend's address was then.
    time: BootTime,
    /// It was established, so that the kernel tracks it if it tracks any. It forgets at once what is refused.
    open: bool,
    /// Nobody waits any more: the answer comes too late for the events so far.
    late: bool,
}

impl Translations {
    /// Nothing is known. Without `asks` that stays so.
    pub(super) fn new(asks: bool) -> Self {
        Self { asks, connections: HashMap::new(), untranslated: HashMap::new(), overflow: 0 }
    }

    /// The event tells of a connection that is being asked for.
    pub(super) fn awaits(&self, event: &Event) -> bool {
        event.tcp().is_some_and(|tcp| {
            tcp.backend.is_none()
                && matches!(self.connections.get(&tcp.id), Some(State::Asked(asked)) if !asked.late)
        })
    }

    /// Adds to an event that waited what has become known since it was made.
    pub(super) fn complete(&mut self, event: &mut Event) {
        let ends = matches!(event.detail, Detail::TcpClose(_) | Detail::TcpConnectFailure(_));
        let Some(tcp) = event.tcp_mut() else { return };
        if tcp.backend.is_none() {
            tcp.backend = self.known(tcp.id);
        }
        if ends {
            self.connections.remove(&tcp.id);
        }
    }

    /// Nobody waits for the answer for this event's connection any more.
    pub(super) fn give_up(&mut self, event: &Event) {
        let Some(tcp) = event.tcp() else { return };
        let Some(State::Asked(asked)) = self.connections.get_mut(&tcp.id) else { return };
        asked.late = true;
    }

    /// How many connections are known or asked for.
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// How many there may be.
    pub(super) const fn capacity() -> usize {
        MAX_CONNECTIONS
    }

    /// Destinations that are left alone, and how many there may be.
    pub(super) fn untranslated(&self) -> [usize; 2] {
        [self.untranslated.len(), MAX_UNTRANSLATED]
    }

    /// Connections that there was no room for since the last call.
    pub(super) fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }

    /// Forgets destinations that may be asked for again.
    pub(super) fn expire(&mut self, now: BootTime) {
        self.untranslated.retain(|_, until| *until > now);
    }

    fn known(&self, id: ConnectionId) -> Option<Arc<Backend>> {
        match self.connections.get(&id) {
            Some(State::Known(backend)) => Some(Arc::clone(backend)),
            Some(State::Asked(_)) | None => None,
        }
    }

    /// The connection has ended, and its last event is on its way. If that waits, it takes along what becomes known.
    fn end(&mut self, id: ConnectionId) {
        let waits = matches!(self.connections.get(&id), Some(State::Asked(asked)) if !asked.late);
        if !waits {
            self.connections.remove(&id);
        }
    }
}

impl Attributor {
    /// Where a connection goes, as far as that is known; else somebody is asked, where that may tell more.
    pub(super) fn translate(
        &mut self,
        tcp: &mut Tcp,
        socket: &Socket,
        task: Option<&Task>,
        at: Moment,
        phase: Phase,
        out: &mut Output,
    ) {
        // What a port of this node leads to is a pod with an address of its own.
        let by_port = tcp.peer.kind == PeerKind::Pod && self.addresses.is_host(tcp.remote.ip());
        if !tcp.outgoing || tcp.id.0 == 0 || !(by_port || tcp.peer.kind.may_be_translated()) {
            return;
        }
        tcp.backend = self.translations.known(tcp.id);
        self.ask_for(tcp, socket, task, at, phase, out);
        if matches!(phase, Phase::Ended | Phase::Failed) {
            self.translations.end(tcp.id);
        }
    }

    fn ask_for(
        &mut self,
        tcp: &Tcp,
        socket: &Socket,
        task: Option<&Task>,
        at: Moment,
        phase: Phase,
        out: &mut Output,
    ) {
        let Translations { asks, connections, untranslated, overflow } = &mut self.translations;
        let Socket { netns, local, remote, .. } = *socket;
        let spared = untranslated.get(&(netns, remote)).is_some_and(|until| *until > at.now.boot);
        if !*asks || spared || connections.contains_key(&tcp.id) {
            return;
        }
        if connections.len() >= MAX_CONNECTIONS || !self.room.take(CONNECTION_BYTES) {
            *overflow += 1;
            return;
        }
        let workload = self.identities.owner_of(at.cgroup_id);
        let (time, local_ip) = (at.time, local.ip());
        let asked =
            Asked { workload, netns, local: local_ip, remote, time, open: phase == Phase::Open, late: false };
        connections.insert(tcp.id, State::Asked(asked));
        let pid = task.map(|task| task.key.pid);
        let failed = phase == Phase::Failed;
        out.translations.push(TranslationQuery { id: tcp.id, netns, pid, local, remote, failed });
    }

    /// An answer has come, maybe late.
    pub(super) fn translated(
        &mut self,
        id: ConnectionId,
        answer: Translated,
        now: BootTime,
        out: &mut Output,
    ) {
        let Some(State::Asked(asked)) = self.translations.connections.remove(&id) else { return };
        let Asked { workload, netns, local, remote, time, open, late: _ } = asked;
        match answer {
            Translated::To(address) => {
                let peer = self.addresses.peer(local, address, true, time);
                let backend = Arc::new(Backend { address, peer });
                self.translations.connections.insert(id, State::Known(Arc::clone(&backend)));
                out.translated.push((id, backend));
            }
            Translated::No => {
                let untranslated = &mut self.translations.untranslated;
                if open && untranslated.len() < MAX_UNTRANSLATED {
                    untranslated.insert((netns, remote), BootTime(now.0 + UNTRANSLATED_NS));
                }
            }
            Translated::Unknown => {}
        }
        self.release_ready(workload, out);
    }
}
