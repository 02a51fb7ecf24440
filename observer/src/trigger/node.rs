//! A node as tests need it: triggers and their incidents, with time that passes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tuning::SECOND;
use super::*;
use crate::event::examples::{WALL_NS, event};
use crate::event::{
    BootTime, ContainerStop, Edge, EdgeSummary, Ending, Now, Origin, Peer, PeerKind, Process, ProcessKey,
    SignalSent, TcpSummary, WallTime, Workload,
};

pub(super) const BOUNDS: Bounds =
    Bounds { before_ns: 300 * SECOND, after_ns: 60 * SECOND, cool_down_ns: 600 * SECOND };

/// The triggers and their incidents, with time that passes.
pub(super) struct Node {
    pub(super) triggers: Triggers,
    pub(super) incidents: Incidents,
    pub(super) now: Now,
    window: Window,
    pub(super) closed: Vec<Incident>,
}

/// That second of the boot clock.
pub(super) const fn at(second: u64) -> Now {
    Now { boot: BootTime(second * SECOND), wall: WallTime(WALL_NS + second * SECOND) }
}

impl Node {
    pub(super) fn new() -> Self {
        Self {
            triggers: Triggers::new(Tuning::default()),
            incidents: Incidents::new(BOUNDS),
            now: at(10_000),
            window: Window::default(),
            closed: Vec::new(),
        }
    }

    /// Something happens now.
    pub(super) fn happens(&mut self, workload: &Arc<Workload>, process: Option<Process>, detail: Detail) {
        let mut event = event(workload, self.now.boot.0, detail);
        event.process = process.map(Arc::new);
        if let Some(fired) = self.triggers.event(&event) {
            self.incidents.fired(fired, self.now);
        }
    }

    /// What an edge does in this second.
    pub(super) fn edge(&mut self, client: &Arc<Workload>, server: &Arc<Workload>, tcp: &TcpSummary) {
        self.one_side(client, server, true, tcp);
    }

    /// The same as one of the sides sees it.
    pub(super) fn one_side(
        &mut self,
        own: &Arc<Workload>,
        far: &Arc<Workload>,
        outgoing: bool,
        tcp: &TcpSummary,
    ) {
        let edge = Edge {
            workload: own.id,
            kind: PeerKind::Pod,
            peer: Some(far.id),
            address: None,
            interface: 0,
            port: 8080,
            outgoing,
            backend: None,
        };
        let peer = Peer { workload: Some(Arc::clone(far)), ..Peer::of(PeerKind::Pod) };
        let (workload, tcp) = (Arc::clone(own), tcp.clone());
        self.window.edges.insert(edge, EdgeSummary { workload, peer, backend: None, tcp });
    }

    /// The same with somebody who is not on this node.
    pub(super) fn far_side(&mut self, own: &Arc<Workload>, kind: PeerKind, outgoing: bool, tcp: &TcpSummary) {
        let edge = Edge {
            workload: own.id,
            kind,
            peer: None,
            address: "192.0.2.1".parse().ok(),
            interface: 0,
            port: 8080,
            outgoing,
            backend: None,
        };
        let (workload, tcp, peer) = (Arc::clone(own), tcp.clone(), Peer::of(kind));
        self.window.edges.insert(edge, EdgeSummary { workload, peer, backend: None, tcp });
    }

    /// The edge that was done last, taken out again.
    pub(super) fn take_edge(&mut self) -> (Edge, EdgeSummary) {
        self.window.edges.drain().next().unwrap()
    }

    /// The second is over.
    pub(super) fn second(&mut self) {
        let mut window = std::mem::take(&mut self.window);
        (window.start, window.length_ns) = (self.now.boot, SECOND);
        self.now = Now { boot: BootTime(self.now.boot.0 + SECOND), wall: WallTime(self.now.wall.0 + SECOND) };
        for fired in self.triggers.window(&window) {
            self.incidents.fired(fired, self.now);
        }
        self.closed.extend(self.incidents.advance(self.now));
    }

    /// So many seconds, in each of which this happens.
    pub(super) fn seconds(&mut self, count: u64, mut each: impl FnMut(&mut Self, u64)) {
        for second in 0..count {
            each(self, second);
            self.second();
        }
    }

    /// The titles of the incidents that are open.
    pub(super) fn titles(&self) -> Vec<&str> {
        self.incidents.open().iter().map(|incident| incident.title.as_str()).collect()
    }

    /// All incidents that there were.
    pub(super) fn all(&self) -> Vec<String> {
        let open = self.incidents.open().iter().chain(&self.closed);
        open.map(|incident| incident.title.clone()).collect()
    }
}

/// So many connections, established and ended as they should.
pub(super) fn well(count: u64) -> TcpSummary {
    TcpSummary {
        opened: count,
        closed: count,
        sent_bytes: 1_000 * count,
        received_bytes: 1_000 * count,
        sent_segments: 6 * count,
        received_segments: 6 * count,
        ..TcpSummary::default()
    }
}

/// So many attempts that fail.
pub(super) fn failing(error: &'static str, count: u64) -> TcpSummary {
    TcpSummary { failed: count, failures: BTreeMap::from([(error, count)]), ..TcpSummary::default() }
}

pub(super) fn process(pid: u32, comm: &str) -> Process {
    Process {
        key: ProcessKey { pid, start: BootTime(1) },
        parent_pid: 1,
        uid: Some(0),
        gid: Some(0),
        comm: comm.to_owned(),
        binary: format!("/bin/{comm}").into(),
        told: crate::event::Memo::default(),
    }
}

pub(super) fn sent(signal: u8, origin: Origin, comm: &str, time: BootTime) -> SignalSent {
    SignalSent { signal, ignored: false, origin, sender: Arc::new(process(77, comm)), time }
}

pub(super) fn stop(ending: Ending, time: BootTime) -> ContainerStop {
    let run_time_ns = Some(12 * SECOND);
    ContainerStop { time, ending: Some(ending), run_time_ns, executed: true, ..ContainerStop::default() }
}
