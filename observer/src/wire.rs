//! From the domain to the proto. Every value is taken apart in full, so that a new field cannot be
//! forgotten here.

pub(crate) mod back;
mod compared;
mod container;
mod deeper;
mod diagnosis;
mod event;
mod incident;
mod live;
mod process;
mod published;
mod recorded;
mod session;
mod status;
mod summary;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};

use observer_proto::v1::{Process as WholeProcess, Workload as WholeWorkload};
use observer_proto::{Encoded, served as v1};
use prost_types::Timestamp;

pub(crate) use self::compared::{compared_side, comparison};
pub(crate) use self::diagnosis::diagnosis;
pub(crate) use self::event::event;
pub(crate) use self::incident::incident;
pub(crate) use self::live::{connection, listener};
pub(crate) use self::published::Published;
pub(crate) use self::recorded::recorded_window;
pub(crate) use self::session::{debug_end, debug_session, debug_statistics, end_words};
pub(crate) use self::status::{status, workload_status};
pub(crate) use self::summary::{Summarized, explained, order, summaries, window_end};
use crate::event::{
    Backend, BootTime, ConnectionId, Counters, FoldNotice, Loss, LossSource, Now, Owner, Peer, PeerKind,
    Place, Process, ProcessKey, Tcp, WallTime, Workload, WorkloadKind, interface,
};

/// A time of the wall clock.
pub(crate) fn timestamp(WallTime(ns): WallTime) -> Timestamp {
    Timestamp { seconds: (ns / 1_000_000_000) as i64, nanos: (ns % 1_000_000_000) as i32 }
}

/// A time of the wall clock that was told; the beginning of 1970 where it is older.
pub(crate) fn wall_time(time: &Timestamp) -> WallTime {
    let Timestamp { seconds, nanos } = time;
    let [seconds, nanos] = [*seconds, i64::from(*nanos)].map(|number| u64::try_from(number).unwrap_or(0));
    WallTime(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// A time of the boot clock, by a reading of both.
pub(crate) fn boot_timestamp(time: BootTime, now: Now) -> Timestamp {
    timestamp(now.wall_of(time))
}

/// What was lost.
pub(crate) fn lost(loss: &Loss, now: Now) -> v1::Lost {
    let Loss { source, kind, cpu, count, since, until } = loss;
    let source = match source {
        LossSource::Ring => v1::LossSource::Ring,
        LossSource::Decode => v1::LossSource::Decode,
        LossSource::Table => v1::LossSource::Table,
        LossSource::Subscriber => v1::LossSource::Subscriber,
        LossSource::KernelMap => v1::LossSource::KernelMap,
        LossSource::Probe => v1::LossSource::Probe,
        LossSource::Netns => v1::LossSource::Netns,
    };
    v1::Lost {
        source: source.into(),
        kind: (*kind).into(),
        cpu: *cpu,
        count: *count,
        since: Some(boot_timestamp(*since, now)),
        until: Some(boot_timestamp(*until, now)),
    }
}

/// What of a workload was only counted.
pub(crate) fn folded(notice: &FoldNotice, now: Now) -> v1::Folded {
    let FoldNotice { workload: owner, counts, budget, since, until } = notice;
    let count = |(kind, count): &(&str, u64)| v1::EventCount { r#type: (*kind).to_owned(), count: *count };
    v1::Folded {
        workload: owner.as_deref().map(workload),
        since: Some(boot_timestamp(*since, now)),
        until: Some(boot_timestamp(*until, now)),
        budget: *budget,
        events: counts.iter().map(count).collect(),
    }
}

/// A workload, encoded: it is told with each of its events, and does not change.
pub(crate) fn workload(workload: &Workload) -> Encoded {
    Encoded::from(workload.told.get_or_make(|| Encoded::of(&whole_workload(workload)).into()))
}

fn whole_workload(workload: &Workload) -> WholeWorkload {
    let name = workload.name().to_owned();
    let Workload {
        id: _,
        kind,
        namespace,
        pod,
        pod_uid,
        container,
        container_id,
        unit: _,
        labels,
        image,
        restart_count,
        cgroup_id,
        sandbox,
        owner,
        told: _,
    } = workload;
    let (owner_kind, owner_name) = match owner.as_deref() {
        Some(Owner { kind, name }) => (kind.clone(), name.clone()),
        None => Default::default(),
    };
    let kind = match kind {
        WorkloadKind::Pod => v1::WorkloadKind::Pod,
        WorkloadKind::Container => v1::WorkloadKind::Container,
        WorkloadKind::Unit => v1::WorkloadKind::Unit,
        WorkloadKind::Host => v1::WorkloadKind::Host,
    };
    WholeWorkload {
        kind: kind.into(),
        name,
        namespace: namespace.clone(),
        pod: pod.clone(),
        pod_uid: pod_uid.clone(),
        container: container.clone(),
        container_id: container_id.clone(),
        labels: labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        image: image.clone(),
        restart_count: *restart_count,
        cgroup_id: *cgroup_id,
        sandbox: *sandbox,
        owner_kind,
        owner_name,
    }
}

/// A process, encoded. Its start names it, so it is told as it was told first, whatever the wall clock does.
fn process(process: &Process, now: Now) -> Encoded {
    Encoded::from(process.told.get_or_make(|| Encoded::of(&whole_process(process, now)).into()))
}

fn whole_process(process: &Process, now: Now) -> WholeProcess {
    let Process { key: ProcessKey { pid, start }, parent_pid, uid, gid, comm, binary, told: _ } = process;
    WholeProcess {
        pid: *pid,
        start_time: Some(boot_timestamp(*start, now)),
        parent_pid: *parent_pid,
        uid: *uid,
        gid: *gid,
        comm: comm.clone(),
        binary: binary.to_string_lossy().into_owned(),
    }
}

fn peer_kind(kind: PeerKind) -> v1::PeerKind {
    match kind {
        PeerKind::Pod | PeerKind::FarPod => v1::PeerKind::Pod,
        PeerKind::Service => v1::PeerKind::Service,
        PeerKind::Node => v1::PeerKind::Node,
        PeerKind::Host => v1::PeerKind::Host,
        PeerKind::Loopback => v1::PeerKind::Loopback,
        PeerKind::Outside => v1::PeerKind::Outside,
        PeerKind::Many => v1::PeerKind::Many,
        PeerKind::Unknown => v1::PeerKind::Unspecified,
    }
}

/// The service and the node of a peer.
fn place(place: Option<&Place>) -> (String, String) {
    let Some(Place { id: _, service, node_name }) = place else { return Default::default() };
    (service.clone(), node_name.clone())
}

/// An address in its usual text form, with the index of its interface where there is one.
fn address(ip: IpAddr, interface: u32) -> String {
    match ip {
        IpAddr::V4(ip) if interface == 0 => octets(ip),
        IpAddr::V6(ip) if interface == 0 => ip.to_string(),
        IpAddr::V4(_) | IpAddr::V6(_) => format!("{ip}%{interface}"),
    }
}

/// As `Display` has it, which took 3 % of the daemon's time where all that it does is to tell events.
fn octets(ip: Ipv4Addr) -> String {
    let mut text = String::with_capacity(15);
    for (index, octet) in ip.octets().into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let first = digits.iter().position(|&digit| digit > 0).unwrap_or(2);
        text.extend(digits[first..].iter().map(|digit| char::from(b'0' + digit)));
    }
    text
}

/// A socket's name; empty where there was none.
fn connection_id(id: ConnectionId) -> String {
    if id.0 == 0 { String::new() } else { format!("{:x}", id.0) }
}

/// The two ends of a connection: the source is the one that asked.
fn tcp(owner: Option<&Workload>, tcp: &Tcp) -> v1::Tcp {
    let Tcp { id, local, remote, outgoing, peer, netns, backend } = tcp;
    let Peer { kind, workload: peer, place: at, dns_name } = peer;
    let (service, node_name) = place(at.as_deref());
    let this = v1::Endpoint {
        address: address(local.ip(), interface(*local)),
        port: local.port().into(),
        workload: owner.map(workload),
        kind: v1::PeerKind::Unspecified.into(),
        ..v1::Endpoint::default()
    };
    let other = v1::Endpoint {
        address: address(remote.ip(), interface(*remote)),
        port: remote.port().into(),
        workload: peer.as_deref().map(workload),
        kind: peer_kind(*kind).into(),
        service,
        node_name,
        dns_name: dns_name.as_deref().unwrap_or_default().to_owned(),
    };
    let (source, destination) = if *outgoing { (this, other) } else { (other, this) };
    v1::Tcp {
        connection_id: connection_id(*id),
        source: Some(source),
        destination: Some(destination),
        outgoing: *outgoing,
        netns: *netns,
        backend: backend.as_deref().map(answers),
    }
}

fn answers(backend: &Backend) -> v1::Endpoint {
    let Backend { address: to, peer: Peer { kind, workload: peer, place: at, dns_name } } = backend;
    let (service, node_name) = place(at.as_deref());
    v1::Endpoint {
        address: address(to.ip(), interface(*to)),
        port: to.port().into(),
        workload: peer.as_deref().map(workload),
        kind: peer_kind(*kind).into(),
        service,
        node_name,
        dns_name: dns_name.as_deref().unwrap_or_default().to_owned(),
    }
}

fn counters(counters: &Counters) -> v1::TcpCounters {
    let Counters {
        sent_bytes,
        received_bytes,
        sent_segments,
        received_segments,
        retransmitted_segments,
        rtt_ns,
        min_rtt_ns,
        rtt_variation_ns,
        delivered_segments,
        congested_segments,
        spurious_retransmits,
        reorderings,
        busy,
    } = counters;
    v1::TcpCounters {
        sent_bytes: *sent_bytes,
        received_bytes: *received_bytes,
        sent_segments: *sent_segments,
        received_segments: *received_segments,
        retransmitted_segments: u32::try_from(*retransmitted_segments).unwrap_or(u32::MAX),
        rtt_ns: *rtt_ns,
        min_rtt_ns: *min_rtt_ns,
        rtt_variation_ns: *rtt_variation_ns,
        delivered_segments: *delivered_segments,
        congested_segments: *congested_segments,
        spurious_retransmits: *spurious_retransmits,
        reorderings: *reorderings,
        busy_ns: busy.map(|busy| busy.total_ns),
        peer_window_limited_ns: busy.map(|busy| busy.peer_window_limited_ns),
        send_buffer_limited_ns: busy.map(|busy| busy.send_buffer_limited_ns),
    }
}
