//! Windows as they were recorded, rebuilt: to be merged, filtered, judged and told as those of the moment are.

mod figures;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use foldhash::HashMap;
use observer_proto::v1;

pub(crate) use self::figures::tcp;
use self::figures::{processes, stalled};
use crate::event::{
    Backend, BootTime, Edge, EdgeBackend, EdgeSummary, ListenerSummary, Live, LiveEdge, LiveWorkload, Now,
    Peer, PeerKind, Place, Window, Workload, WorkloadId, WorkloadKind, WorkloadSummary,
};
use crate::filter::told_workload;
use crate::wire::wall_time;

/// Numbers that were not those of the first run are given from here on.
const OTHERS: u64 = 1 << 48;

/// By which clocks rebuilt windows are told: they know the wall clock alone, and are dated by it.
pub(crate) const CLOCKS: Now = Now { boot: BootTime(0), wall: crate::event::WallTime(0) };

/// Who is who over several windows, also of several runs, each of which counts anew.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    /// By run and by the number that it has there.
    known: HashMap<(u32, u64), WorkloadId>,
    /// By what it is.
    workloads: HashMap<Named, WorkloadId>,
    /// By service and node.
    places: HashMap<(String, String), WorkloadId>,
    /// The run whose numbers stay.
    first: Option<u32>,
    given: u64,
}

/// What tells a workload from others over runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Named {
    kind: WorkloadKind,
    cgroup_id: u64,
    pod_uid: String,
    container_id: String,
    name: String,
}

impl Identities {
    /// Rebuilds a window of a run.
    pub(crate) fn window(&mut self, run: u32, told: &v1::RecordedWindow) -> Window {
        let v1::RecordedWindow {
            start,
            length_ns,
            lost_events,
            workloads,
            places,
            figures,
            edges,
            listeners,
            live_workloads,
            live_edges,
        } = told;
        self.first.get_or_insert(run);
        let workloads = workloads.iter().map(|one| self.workload(run, one)).collect();
        let places = places.iter().map(|one| self.place(run, one)).collect();
        let mut names = Names { workloads, places, run, identities: self };
        let mut window = Window {
            start: BootTime(start.as_ref().map_or(0, |start| wall_time(start).0)),
            length_ns: *length_ns,
            lost_events: *lost_events,
            ..Window::default()
        };
        for one in figures {
            let Some(workload) = names.of(one.workload) else { continue };
            let (tcp, processes) = (tcp(one.tcp.as_ref()), processes(one.processes.as_ref()));
            window.workloads.insert(workload.id, WorkloadSummary { workload, tcp, processes });
        }
        for one in edges {
            let Some((edge, workload, peer, backend)) = names.edge(one) else { continue };
            let tcp = tcp(one.tcp.as_ref());
            window.edges.insert(edge, EdgeSummary { workload, peer, backend, tcp });
        }
        for one in listeners {
            let Some(workload) = names.of(one.workload) else { continue };
            let v1::RecordedListener { workload: _, port, most_waiting, limit, dropped, overflowed } = *one;
            let at = (workload.id, port as u16);
            window
                .listeners
                .insert(at, ListenerSummary { workload, most_waiting, limit, dropped, overflowed });
        }
        let alive = |live: &Option<v1::RecordedLive>| {
            let live = live.unwrap_or_default();
            (live.live, stalled(live.stalled.as_ref()))
        };
        let mut live = Live::default();
        for one in live_workloads {
            let Some(workload) = names.of(one.workload) else { continue };
            let (count, stalled) = alive(&one.live);
            live.workloads.push(LiveWorkload { workload, live: count, stalled });
        }
        for one in live_edges {
            let Some((edge, workload, peer, backend)) = names.edge(one) else { continue };
            let (count, stalled) = alive(&one.live);
            live.edges.push(LiveEdge { edge, workload, peer, backend, live: count, stalled });
        }
        window.live = Arc::new(live);
        window
    }

    fn workload(&mut self, run: u32, told: &v1::RecordedWorkload) -> Arc<Workload> {
        let of = told.workload.as_ref().map(told_workload);
        let of = of.unwrap_or_else(|| Workload::unknown(WorkloadId(0), WorkloadKind::Unit, 0));
        let named = Named {
            kind: of.kind,
            cgroup_id: of.cgroup_id,
            pod_uid: of.pod_uid.clone(),
            container_id: of.container_id.clone(),
            name: of.name().to_owned(),
        };
        let same = self.workloads.get(&named).copied();
        let id = self.id(run, told.id, same);
        self.workloads.insert(named, id);
        Arc::new(Workload { id, ..of })
    }

    fn place(&mut self, run: u32, told: &v1::RecordedPlace) -> Arc<Place> {
        let v1::RecordedPlace { id, service, node_name } = told;
        let named = (service.clone(), node_name.clone());
        let same = self.places.get(&named).copied();
        let id = self.id(run, *id, same);
        self.places.insert(named, id);
        Arc::new(Place { id, service: service.clone(), node_name: node_name.clone() })
    }

    /// The number here of what has that one in its run, and is the same as something that is known.
    fn id(&mut self, run: u32, number: u64, same: Option<WorkloadId>) -> WorkloadId {
        let first = self.first == Some(run);
        let next = WorkloadId(OTHERS + self.given);
        let id = *self.known.entry((run, number)).or_insert_with(|| match same {
            Some(same) if !first => same,
            Some(_) | None if first => WorkloadId(number),
            Some(_) | None => next,
        });
        self.given += u64::from(id == next);
        id
    }
}

/// What a window names by numbers.
struct Names<'a> {
    workloads: Vec<Arc<Workload>>,
    places: Vec<Arc<Place>>,
    run: u32,
    identities: &'a mut Identities,
}

/// An edge with who is on it.
type Found = (Edge, Arc<Workload>, Peer, Option<Arc<Backend>>);

impl Names<'_> {
    fn of(&self, number: u32) -> Option<Arc<Workload>> {
        self.workloads.get((number as usize).checked_sub(1)?).cloned()
    }

    fn edge(&mut self, told: &v1::RecordedEdge) -> Option<Found> {
        let v1::RecordedEdge { workload, outgoing, end, backend_end, peer, backend, tcp: _, live: _ } = told;
        let workload = self.of(*workload)?;
        let end = end.as_ref()?;
        let edge = Edge {
            workload: workload.id,
            kind: kind(end.kind(), end.far),
            peer: self.id(end.id),
            address: end.address.parse().ok(),
            interface: end.interface,
            port: end.port as u16,
            outgoing: *outgoing,
            backend: backend_end.as_ref().map(|end| EdgeBackend {
                kind: kind(end.kind(), end.far),
                peer: self.id(end.id),
                address: end.address.parse().ok(),
                port: end.port as u16,
            }),
        };
        let peer = self.peer(peer.as_ref());
        let backend = backend.as_ref().and_then(|backend| {
            let address = backend.address.parse().ok()?;
            Some(Arc::new(Backend { address, peer: self.peer(backend.peer.as_ref()) }))
        });
        Some((edge, workload, peer, backend))
    }

    fn id(&mut self, number: Option<u64>) -> Option<WorkloadId> {
        Some(self.identities.id(self.run, number?, None))
    }

    fn peer(&self, told: Option<&v1::RecordedPeer>) -> Peer {
        let Some(told) = told else { return Peer::of(PeerKind::Unknown) };
        let v1::RecordedPeer { kind: _, far, workload, place, dns_name } = told;
        let place = (*place as usize).checked_sub(1).and_then(|place| self.places.get(place));
        Peer {
            kind: kind(told.kind(), *far),
            workload: self.of(*workload),
            place: place.cloned(),
            dns_name: Some(dns_name.as_str()).filter(|name| !name.is_empty()).map(Arc::from),
        }
    }
}

const fn kind(told: v1::PeerKind, far: bool) -> PeerKind {
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
