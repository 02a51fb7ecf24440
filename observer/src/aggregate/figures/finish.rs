//! The end of a window: what was touched becomes a summary, what is idle gives its room back.

use std::mem::take;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::Figures;
use crate::event::{
    BootTime, EdgeSummary, Live, LiveEdge, LiveWorkload, TcpSummary, Window, WorkloadSummary,
};

impl Figures {
    /// Ends the window and begins another. What found no room counts as lost in it.
    pub(in crate::aggregate) fn finish(
        &mut self,
        start: BootTime,
        length_ns: u64,
        lost_events: u64,
    ) -> Window {
        self.swept = false;
        let lost_events = lost_events + take(&mut self.missing);
        if take(&mut self.live_changed) {
            self.live = Arc::new(self.collect_live());
        }
        let mut edges = HashMap::with_capacity(self.touched_edges.len());
        for at in self.touched_edges.drain(..) {
            let Some((key, slot)) = self.edges.entry_mut(at) else { continue };
            let Some(owner) = self.workloads.get(slot.workload) else { continue };
            slot.touched = false;
            let tcp = TcpSummary { live: slot.live, stalled: slot.stalled, ..take(&mut slot.tcp) };
            let (workload, peer) = (Arc::clone(&owner.workload), slot.peer.clone());
            edges.insert(key.clone(), EdgeSummary { workload, peer, backend: slot.backend.clone(), tcp });
            if slot.live == 0 {
                let owner = slot.workload;
                self.edges.remove(at);
                if let Some(owner) = self.workloads.get_mut(owner) {
                    owner.edges = owner.edges.saturating_sub(1);
                }
            }
        }
        let mut workloads = HashMap::with_capacity(self.touched_workloads.len());
        for at in self.touched_workloads.drain(..) {
            let Some((id, slot)) = self.workloads.entry_mut(at) else { continue };
            slot.touched = false;
            let tcp = TcpSummary { live: slot.totals.live, stalled: slot.stalled, ..take(&mut slot.tcp) };
            let (workload, processes) = (Arc::clone(&slot.workload), take(&mut slot.processes));
            workloads.insert(*id, WorkloadSummary { workload, tcp, processes });
            if slot.gone && slot.totals.live == 0 {
                self.workloads.remove(at);
            }
        }
        let (listeners, live) = (take(&mut self.listeners), Arc::clone(&self.live));
        Window { start, length_ns, lost_events, workloads, edges, listeners, live }
    }

    fn collect_live(&self) -> Live {
        let workloads = self.workloads.values().filter(|slot| slot.totals.live > 0);
        let edges = self.edges.entries().filter(|(_, slot)| slot.live > 0);
        Live {
            workloads: workloads
                .map(|slot| LiveWorkload {
                    workload: Arc::clone(&slot.workload),
                    live: slot.totals.live,
                    stalled: slot.stalled,
                })
                .collect(),
            edges: edges
                .filter_map(|(edge, slot)| {
                    let owner = self.workloads.get(slot.workload)?;
                    Some(LiveEdge {
                        edge: edge.clone(),
                        workload: Arc::clone(&owner.workload),
                        peer: slot.peer.clone(),
                        backend: slot.backend.clone(),
                        live: slot.live,
                        stalled: slot.stalled,
                    })
                })
                .collect(),
        }
    }
}
