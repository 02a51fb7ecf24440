//! The figures of the open window: one slot for each workload and edge, reused from window to window.

mod finish;
mod names;
mod place;
mod standing;

use std::mem::replace;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

pub(super) use self::place::{Place, renew, renew_backend};
use super::slots::Slots;
use crate::event::{
    Backend, Edge, ListenerSummary, Live, Peer, ProcessSummary, Stalled, TcpSummary, Workload, WorkloadId,
};
use crate::room::Room;

/// What a workload did since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Connections alive now.
    pub(crate) live: u64,
    /// Programs executed.
    pub(crate) execs: u64,
    /// Connections established, asked for or accepted.
    pub(crate) opened: u64,
}

#[derive(Debug)]
struct WorkloadSlot {
    workload: Arc<Workload>,
    totals: Totals,
    stalled: Stalled,
    touched: bool,
    gone: bool,
    tcp: TcpSummary,
    processes: ProcessSummary,
    /// Its edges that are in the table.
    edges: u32,
}

#[derive(Debug)]
struct EdgeSlot {
    workload: u32,
    peer: Peer,
    backend: Option<Arc<Backend>>,
    live: u64,
    stalled: Stalled,
    touched: bool,
    tcp: TcpSummary,
}

/// What found no room, since it was last asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NoRoom {
    pub(super) workloads: u64,
    pub(super) edges: u64,
    /// Connections that are counted without their backend.
    pub(super) backends: u64,
}

/// The slots. Only those that something happened to are visited when a window ends, so a workload or
/// edge that is idle costs nothing, live connections or not.
#[derive(Debug)]
pub(super) struct Figures {
    workloads: Slots<WorkloadId, WorkloadSlot>,
    edges: Slots<Edge, EdgeSlot>,
    touched_workloads: Vec<u32>,
    touched_edges: Vec<u32>,
    /// Listeners with a queue, or that dropped something.
    listeners: HashMap<(WorkloadId, u16), ListenerSummary>,
    /// As of the last window's end; made anew only where a count of live connections changed.
    live: Arc<Live>,
    live_changed: bool,
    /// Idle workloads have made room in this window already.
    swept: bool,
    /// What found no room in the open window.
    missing: u64,
    pub(super) no_room: NoRoom,
}

impl Figures {
    pub(super) fn new(max_workloads: usize, max_edges: usize) -> Self {
        Self {
            workloads: Slots::new(max_workloads),
            edges: Slots::new(max_edges),
            touched_workloads: Vec::new(),
            touched_edges: Vec::new(),
            listeners: HashMap::new(),
            live: Arc::default(),
            live_changed: false,
            swept: false,
            missing: 0,
            no_room: NoRoom::default(),
        }
    }

    /// Has the tables grow no further than memory allows.
    pub(super) fn share(&mut self, room: &Room) {
        self.workloads.share(room);
        self.edges.share(room);
    }

    /// Changes the figures of a connection's workload and edge.
    pub(super) fn tcp(&mut self, place: Place, change: impl Fn(&mut TcpSummary)) {
        if let Some(slot) = self.touch_workload(place.workload) {
            change(&mut slot.tcp);
        }
        if let Some(slot) = self.touch_edge(place.edge) {
            change(&mut slot.tcp);
        }
    }

    /// Changes the figures of a workload's processes.
    pub(super) fn processes(&mut self, workload: &Arc<Workload>, change: impl Fn(&mut ProcessSummary)) {
        let at = self.workload(workload);
        if let Some(slot) = at.and_then(|at| self.workloads.get_mut(at)) {
            let before = slot.processes.execs;
            change(&mut slot.processes);
            slot.totals.execs += slot.processes.execs - before;
        }
    }

    /// A connection was established.
    pub(super) fn opened(&mut self, place: Place) {
        self.tcp(place, |tcp| tcp.opened += 1);
        self.opened_in_all(place, 1);
    }

    /// So many connections more were established since the daemon started.
    pub(super) fn opened_in_all(&mut self, place: Place, count: u64) {
        if let Some(slot) = place.workload.and_then(|at| self.workloads.get_mut(at)) {
            slot.totals.opened += count;
        }
    }

    /// A connection came into the table (`true`) or left it.
    pub(super) fn live(&mut self, place: Place, there: bool) {
        let step = |count: &mut u64| *count = if there { *count + 1 } else { count.saturating_sub(1) };
        if let Some(slot) = self.touch_workload(place.workload) {
            step(&mut slot.totals.live);
        }
        if let Some(slot) = self.touch_edge(place.edge) {
            step(&mut slot.live);
        }
        self.live_changed = true;
    }

    /// More became known of a workload; `true` where it has live connections.
    pub(super) fn renew(&mut self, workload: &Arc<Workload>) -> bool {
        self.live_changed = true;
        for slot in self.edges.values_mut() {
            renew(&mut slot.peer, workload);
            renew_backend(&mut slot.backend, workload);
        }
        let Some(slot) = self.workloads.find(&workload.id).and_then(|at| self.workloads.get_mut(at)) else {
            return false;
        };
        slot.workload = Arc::clone(workload);
        slot.totals.live > 0
    }

    /// The workload is no more: its slot goes as soon as nothing of it is live.
    pub(super) fn forget(&mut self, id: WorkloadId) {
        let Some(at) = self.workloads.find(&id) else { return };
        let Some(slot) = self.workloads.get_mut(at) else { return };
        slot.gone = true;
        if !slot.touched && slot.totals.live == 0 {
            self.workloads.remove(at);
        }
    }

    /// What a workload did since the daemon started.
    pub(super) fn totals(&self, id: WorkloadId) -> Totals {
        self.workloads
            .find(&id)
            .and_then(|at| self.workloads.get(at))
            .map_or_else(Totals::default, |slot| slot.totals)
    }

    /// Entries and capacity of the tables of workloads and of edges.
    pub(super) fn sizes(&self) -> [(usize, usize); 2] {
        [(self.workloads.len(), self.workloads.capacity()), (self.edges.len(), self.edges.capacity())]
    }

    /// Finds or makes a workload's slot, which something happens to. Where there is no room, those that
    /// are idle give way with their totals.
    fn workload(&mut self, workload: &Arc<Workload>) -> Option<u32> {
        if let Some(at) = self.workloads.find(&workload.id) {
            if let Some(slot) = self.workloads.get_mut(at)
                && !Arc::ptr_eq(&slot.workload, workload)
            {
                slot.workload = Arc::clone(workload);
            }
            self.touch_workload(Some(at));
            return Some(at);
        }
        if self.workloads.is_full() && !replace(&mut self.swept, true) {
            self.workloads.retain(|slot| slot.touched || slot.totals.live > 0);
        }
        let slot = WorkloadSlot {
            workload: Arc::clone(workload),
            totals: Totals::default(),
            stalled: Stalled::default(),
            touched: false,
            gone: false,
            tcp: TcpSummary::default(),
            processes: ProcessSummary::default(),
            edges: 0,
        };
        let at = self.workloads.insert(workload.id, slot);
        if at.is_none() {
            self.no_room.workloads += 1;
            self.missing += 1;
        }
        self.touch_workload(at);
        at
    }

    fn touch_workload(&mut self, at: Option<u32>) -> Option<&mut WorkloadSlot> {
        let at = at?;
        let slot = self.workloads.get_mut(at)?;
        if !slot.touched {
            slot.touched = true;
            self.touched_workloads.push(at);
        }
        Some(slot)
    }

    fn touch_edge(&mut self, at: Option<u32>) -> Option<&mut EdgeSlot> {
        let at = at?;
        let slot = self.edges.get_mut(at)?;
        if !slot.touched {
            slot.touched = true;
            self.touched_edges.push(at);
        }
        Some(slot)
    }
}
