//! Windows as they are recorded, to be merged, judged and filtered again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;

use observer_proto::v1;

use super::figures::{processes, stalled, tcp};
use super::wall_time;
use crate::event::{
    Backend, BootTime, Edge, EdgeBackend, EdgeSummary, ListenerSummary, Live, LiveEdge, LiveWorkload, Peer,
    PeerKind, Place, Window, Workload, WorkloadId, WorkloadSummary,
};
use crate::filter;

/// A window. Both of its clocks are the wall clock, and whoever is in it has the same number in windows of other runs of the
/// daemon, so that these can be merged as well.
pub(crate) fn window(told: &v1::RecordedWindow) -> Window {
    let v1::RecordedWindow {
        start,
        length_ns,
        lost_events,
        workloads: _,
        places: _,
        figures,
        edges,
        listeners,
        live_workloads,
        live_edges,
    } = told;
    let names = Names::of(told);
    let mut window = Window {
        start: BootTime(start.as_ref().map_or(0, |start| wall_time(start).0)),
        length_ns: *length_ns,
        lost_events: *lost_events,
        ..Window::default()
    };
    for one in figures {
        let Some(workload) = names.workload(one.workload) else { continue };
        let summary = WorkloadSummary {
            workload: Arc::clone(workload),
            tcp: one.tcp.as_ref().map(tcp).unwrap_or_default(),
            processes: one.processes.as_ref().map(processes).unwrap_or_default(),
        };
        window.workloads.insert(workload.id, summary);
    }
    for one in edges {
        let Some((edge, workload, peer, backend)) = names.edge(one) else { continue };
        let tcp = one.tcp.as_ref().map(tcp).unwrap_or_default();
        window.edges.insert(edge, EdgeSummary { workload, peer, backend, tcp });
    }
    for one in listeners {
        let v1::RecordedListener { workload, port, most_waiting, limit, dropped, overflowed } = one;
        let Some(workload) = names.workload(*workload) else { continue };
        let summary = ListenerSummary {
            workload: Arc::clone(workload),
            most_waiting: *most_waiting,
            limit: *limit,
            dropped: *dropped,
            overflowed: *overflowed,
        };
        window.listeners.insert((workload.id, *port as u16), summary);
    }
    let live_of = |live: &Option<v1::RecordedLive>| {
        let live = live.unwrap_or_default();
        (live.live, live.stalled.as_ref().map(stalled).unwrap_or_default())
    };
    let workloads = live_workloads.iter().filter_map(|one| {
        let (live, stalled) = live_of(&one.live);
        Some(LiveWorkload { workload: Arc::clone(names.workload(one.workload)?), live, stalled })
    });
    let edges = live_edges.iter().filter_map(|one| {
        let (live, stalled) = live_of(&one.live);
        let (edge, workload, peer, backend) = names.edge(one)?;
        Some(LiveEdge { edge, workload, peer, backend, live, stalled })
    });
    window.live = Arc::new(Live { workloads: workloads.collect(), edges: edges.collect() });
    window
}

/// What a window names by numbers.
struct Names {
    workloads: Vec<Arc<Workload>>,
    places: Vec<Arc<Place>>,
    /// By the number that it has within its run.
    lasting: HashMap<u64, WorkloadId>,
}

impl Names {
    fn of(told: &v1::RecordedWindow) -> Self {
        let mut lasting = HashMap::new();
        let workloads = told.workloads.iter().map(|one| {
            let told = one.workload.clone().unwrap_or_default();
            let id = *lasting.entry(one.id).or_insert_with(|| lasting_workload(&told));
            Arc::new(Workload { id, ..filter::told_workload(&told) })
        });
        let workloads = workloads.collect();
        let places = told.places.iter().map(|one| {
            let v1::RecordedPlace { id, service, node_name } = one;
            let id = *lasting.entry(*id).or_insert_with(|| hashed((1_u8, service, node_name)));
            Arc::new(Place { id, service: service.clone(), node_name: node_name.clone() })
        });
        let places = places.collect();
        Self { workloads, places, lasting }
    }

    fn workload(&self, number: u32) -> Option<&Arc<Workload>> {
        self.workloads.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    fn peer(&self, told: Option<&v1::RecordedPeer>) -> Peer {
        let Some(told) = told else { return Peer::of(PeerKind::Unknown) };
        let v1::RecordedPeer { kind: _, far, workload, place, dns_name } = told;
        let place = usize::try_from(*place).ok().and_then(|place| self.places.get(place.checked_sub(1)?));
        Peer {
            kind: peer_kind(told.kind(), *far),
            workload: self.workload(*workload).cloned(),
            place: place.cloned(),
            dns_name: (!dns_name.is_empty()).then(|| dns_name.as_str().into()),
        }
    }

    /// An edge with its two sides and who answers.
    fn edge(&self, told: &v1::RecordedEdge) -> Option<(Edge, Arc<Workload>, Peer, Option<Arc<Backend>>)> {
        let v1::RecordedEdge { workload, outgoing, end, backend_end, peer, backend, tcp: _, live: _ } = told;
        let workload = Arc::clone(self.workload(*workload)?);
        let end = end.clone().unwrap_or_default();
        let edge = Edge {
            workload: workload.id,
            kind: peer_kind(end.kind(), end.far),
            peer: end.id.map(|id| self.lasting(id)),
            address: end.address.parse().ok(),
            interface: end.interface,
            port: end.port as u16,
            outgoing: *outgoing,
            backend: backend_end.as_ref().map(|end| EdgeBackend {
                kind: peer_kind(end.kind(), end.far),
                peer: end.id.map(|id| self.lasting(id)),
                address: end.address.parse().ok(),
                port: end.port as u16,
            }),
        };
        let backend = backend.as_ref().and_then(|backend| {
            let address = backend.address.parse().ok()?;
            Some(Arc::new(Backend { address, peer: self.peer(backend.peer.as_ref()) }))
        });
        Some((edge, workload, self.peer(peer.as_ref()), backend))
    }

    /// The number that it has in all runs; one that is named nowhere keeps its own.
    fn lasting(&self, id: u64) -> WorkloadId {
        self.lasting.get(&id).copied().unwrap_or(WorkloadId(id))
    }
}

/// What tells a workload from all others, at any time.
fn lasting_workload(told: &v1::Workload) -> WorkloadId {
    let v1::Workload { kind, name, namespace, pod_uid, container_id, cgroup_id, .. } = told;
    let cgroup = if container_id.is_empty() && pod_uid.is_empty() { *cgroup_id } else { 0 };
    hashed((0_u8, kind, (name, namespace), pod_uid, container_id, cgroup))
}

fn hashed(of: impl std::hash::Hash) -> WorkloadId {
    // With the same keys each time.
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    WorkloadId(hasher.finish())
}

const fn peer_kind(told: v1::PeerKind, far: bool) -> PeerKind {
    match told {
        v1::PeerKind::Pod if far => PeerKind::FarPod,
        v1::PeerKind::Pod => PeerKind::Pod,
        v1::PeerKind::Service => PeerKind::Service,
        v1::PeerKind::Node => PeerKind::Node,
        v1::PeerKind::Host => PeerKind::Host,
        v1::PeerKind::Loopback => PeerKind::Loopback,
        v1::PeerKind::Outside => PeerKind::Outside,
        v1::PeerKind::Many => PeerKind::Many,
        v1::PeerKind::Unspecified => PeerKind::Unknown,
    }
}
