//! What was told of live connections, listeners and workloads, as the domain has it again: from a snapshot, say.
//!
//! Both clocks are one here: the boot clock's times are the wall clock's. What is not told is left empty; what is made of it
//! and told again is the same.

mod entry;
mod socket;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use observer_proto::v1;
use prost_types::Timestamp;

pub(crate) use self::entry::workload_entry;
pub(crate) use self::socket::{connection, listener};
use crate::event::{
    Backend, BootTime, ConnectionId, Memo, Peer, PeerKind, Place, Process, ProcessKey, Tcp, Workload,
    WorkloadId,
};
use crate::filter;
pub(crate) use crate::wire::wall_time;

fn boot_time(time: Option<&Timestamp>) -> BootTime {
    BootTime(time.map_or(0, |time| wall_time(time).0))
}

fn workload(told: Option<&v1::Workload>) -> Arc<Workload> {
    told.map_or_else(
        || Arc::new(filter::told_workload(&v1::Workload::default())),
        |told| Arc::new(filter::told_workload(told)),
    )
}

fn process(told: Option<&v1::Process>) -> Option<Arc<Process>> {
    let v1::Process { pid, start_time, parent_pid, uid, gid, comm, binary } = told?;
    Some(Arc::new(Process {
        key: ProcessKey { pid: *pid, start: boot_time(start_time.as_ref()) },
        parent_pid: *parent_pid,
        uid: *uid,
        gid: *gid,
        comm: comm.clone(),
        binary: binary.into(),
        told: Memo::default(),
    }))
}

fn tcp(told: &v1::Tcp) -> Tcp {
    let v1::Tcp { connection_id, source, destination, outgoing, netns, backend } = told;
    let (source, destination) = (source.clone().unwrap_or_default(), destination.clone().unwrap_or_default());
    let (local, remote) = if *outgoing { (source, destination) } else { (destination, source) };
    Tcp {
        id: socket_id(connection_id),
        local: address(&local.address, local.port),
        remote: address(&remote.address, remote.port),
        outgoing: *outgoing,
        peer: peer(&remote),
        netns: *netns,
        backend: backend.as_ref().map(|backend| {
            Arc::new(Backend { address: address(&backend.address, backend.port), peer: peer(backend) })
        }),
    }
}

fn socket_id(told: &str) -> ConnectionId {
    ConnectionId(u64::from_str_radix(told, 16).unwrap_or(0))
}

fn peer(end: &v1::Endpoint) -> Peer {
    let v1::Endpoint { address: _, port: _, workload: of, kind: _, service, node_name, dns_name } = end;
    let kind = match end.kind() {
        v1::PeerKind::Pod if node_name.is_empty() => PeerKind::Pod,
        v1::PeerKind::Pod => PeerKind::FarPod,
        v1::PeerKind::Service => PeerKind::Service,
        v1::PeerKind::Node => PeerKind::Node,
        v1::PeerKind::Host => PeerKind::Host,
        v1::PeerKind::Loopback => PeerKind::Loopback,
        v1::PeerKind::Outside => PeerKind::Outside,
        v1::PeerKind::Many => PeerKind::Many,
        v1::PeerKind::Unspecified => PeerKind::Unknown,
    };
    let known = !service.is_empty() || !node_name.is_empty();
    let place = Place { id: WorkloadId(0), service: service.clone(), node_name: node_name.clone() };
    Peer {
        kind,
        workload: of.as_ref().map(|of| workload(Some(of))),
        place: known.then(|| Arc::new(place)),
        dns_name: (!dns_name.is_empty()).then(|| dns_name.as_str().into()),
    }
}

/// An address with the index of an interface behind it, where it has one.
fn address(text: &str, port: u32) -> SocketAddr {
    let port = u16::try_from(port).unwrap_or(0);
    let (ip, interface) = text.split_once('%').unwrap_or((text, ""));
    match ip.parse().unwrap_or(IpAddr::from([0; 4])) {
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, interface.parse().unwrap_or(0)).into(),
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, port),
    }
}
