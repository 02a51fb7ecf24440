//! Windows as they are recorded.

use foldhash::HashMap;
use observer_proto::{Encoded, served as v1};
use prost::Message as _;

use super::summary::{process_summary, stalled, tcp_summary};
use super::{boot_timestamp, peer_kind, workload};
use crate::event::{
    Backend, Edge, EdgeBackend, EdgeSummary, ListenerSummary, LiveEdge, LiveWorkload, Now, Peer, PeerKind,
    Place, Stalled, Window, Workload, WorkloadSummary,
};

/// A window with all that is in it, encoded.
pub(crate) fn recorded_window(window: &Window, now: Now) -> Vec<u8> {
    let Window { start, length_ns, lost_events, workloads, edges, listeners, live } = window;
    let mut names = Names::default();
    let figures = workloads.values().map(|summary| names.figures(summary)).collect();
    let edges = edges.iter().map(|(edge, summary)| names.edge(edge, summary)).collect();
    let listeners = listeners.iter().map(|((_, port), summary)| names.listener(*port, summary)).collect();
    let live_workloads = live.workloads.iter().map(|one| names.live_workload(one)).collect();
    let live_edges = live.edges.iter().map(|one| names.live_edge(one)).collect();
    let told = v1::RecordedWindow {
        start: Some(boot_timestamp(*start, now)),
        length_ns: *length_ns,
        lost_events: *lost_events,
        workloads: names.workloads,
        places: names.places,
        figures,
        edges,
        listeners,
        live_workloads,
        live_edges,
    };
    told.encode_to_vec()
}

/// The workloads and places of a window, each told once.
#[derive(Default)]
struct Names {
    workloads: Vec<v1::RecordedWorkload>,
    workload_numbers: HashMap<(u64, Encoded), u32>,
    places: Vec<v1::RecordedPlace>,
    place_numbers: HashMap<u64, u32>,
}

impl Names {
    fn workload(&mut self, of: &Workload) -> u32 {
        let (id, told) = (of.id.0, workload(of));
        let next = self.workloads.len() as u32 + 1;
        let number = *self.workload_numbers.entry((id, told.clone())).or_insert(next);
        if number == next {
            self.workloads.push(v1::RecordedWorkload { id, workload: Some(told) });
        }
        number
    }

    fn place(&mut self, place: &Place) -> u32 {
        let Place { id, service, node_name } = place;
        let next = self.places.len() as u32 + 1;
        let number = *self.place_numbers.entry(id.0).or_insert(next);
        if number == next {
            let (service, node_name) = (service.clone(), node_name.clone());
            self.places.push(v1::RecordedPlace { id: id.0, service, node_name });
        }
        number
    }

    fn peer(&mut self, peer: &Peer) -> v1::RecordedPeer {
        let Peer { kind, workload, place, dns_name } = peer;
        v1::RecordedPeer {
            kind: peer_kind(*kind).into(),
            far: *kind == PeerKind::FarPod,
            workload: workload.as_deref().map_or(0, |workload| self.workload(workload)),
            place: place.as_deref().map_or(0, |place| self.place(place)),
            dns_name: dns_name.as_deref().unwrap_or_default().to_owned(),
        }
    }

    fn backend(&mut self, backend: &Backend) -> v1::RecordedBackend {
        let Backend { address, peer } = backend;
        v1::RecordedBackend { address: address.to_string(), peer: Some(self.peer(peer)) }
    }

    fn figures(&mut self, summary: &WorkloadSummary) -> v1::RecordedFigures {
        let WorkloadSummary { workload, tcp, processes } = summary;
        v1::RecordedFigures {
            workload: self.workload(workload),
            tcp: Some(tcp_summary(tcp)),
            processes: Some(process_summary(processes)),
            live: None,
        }
    }

    fn edge(&mut self, edge: &Edge, summary: &EdgeSummary) -> v1::RecordedEdge {
        let EdgeSummary { workload, peer, backend, tcp } = summary;
        let tcp = Some(tcp_summary(tcp));
        v1::RecordedEdge { tcp, ..self.of_edge(edge, workload, peer, backend.as_deref()) }
    }

    fn of_edge(
        &mut self,
        edge: &Edge,
        workload: &Workload,
        peer: &Peer,
        answering: Option<&Backend>,
    ) -> v1::RecordedEdge {
        let Edge { workload: _, kind, peer: id, address, interface, port, outgoing, backend } = edge;
        let end = v1::RecordedEnd {
            kind: peer_kind(*kind).into(),
            far: *kind == PeerKind::FarPod,
            id: id.map(|id| id.0),
            address: address.map(|ip| ip.to_string()).unwrap_or_default(),
            interface: *interface,
            port: (*port).into(),
        };
        let backend_end = backend.as_ref().map(|EdgeBackend { kind, peer, address, port }| v1::RecordedEnd {
            kind: peer_kind(*kind).into(),
            far: *kind == PeerKind::FarPod,
            id: peer.map(|id| id.0),
            address: address.map(|ip| ip.to_string()).unwrap_or_default(),
            interface: 0,
            port: (*port).into(),
        });
        v1::RecordedEdge {
            workload: self.workload(workload),
            outgoing: *outgoing,
            end: Some(end),
            backend_end,
            peer: Some(self.peer(peer)),
            backend: answering.map(|backend| self.backend(backend)),
            tcp: None,
            live: None,
        }
    }

    fn listener(&mut self, port: u16, summary: &ListenerSummary) -> v1::RecordedListener {
        let ListenerSummary { workload, most_waiting, limit, dropped, overflowed } = summary;
        v1::RecordedListener {
            workload: self.workload(workload),
            port: port.into(),
            most_waiting: *most_waiting,
            limit: *limit,
            dropped: *dropped,
            overflowed: *overflowed,
        }
    }

    fn live_workload(&mut self, one: &LiveWorkload) -> v1::RecordedFigures {
        let LiveWorkload { workload, live, stalled } = one;
        let live = Some(of_live(*live, stalled));
        v1::RecordedFigures { workload: self.workload(workload), live, ..v1::RecordedFigures::default() }
    }

    fn live_edge(&mut self, one: &LiveEdge) -> v1::RecordedEdge {
        let LiveEdge { edge, workload, peer, backend, live, stalled } = one;
        let live = Some(of_live(*live, stalled));
        v1::RecordedEdge { live, ..self.of_edge(edge, workload, peer, backend.as_deref()) }
    }
}

const fn of_live(live: u64, still: &Stalled) -> v1::RecordedLive {
    v1::RecordedLive { live, stalled: Some(stalled(still)) }
}
