//! Events as tests need them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{
    BootTime, ConnectionId, Counters, Detail, Ending, Event, Memo, Peer, PeerKind, ProcessExit, Tcp,
    TcpAccept, TcpClose, TcpConnect, WallTime, Workload, WorkloadId, WorkloadKind,
};

/// The offset of the wall clock in these examples.
pub(crate) const WALL_NS: u64 = 1_700_000_000_000_000_000;

/// A container `app` of a pod.
pub(crate) fn pod(id: u64, namespace: &str, name: &str) -> Arc<Workload> {
    Arc::new(Workload {
        id: WorkloadId(id),
        kind: WorkloadKind::Pod,
        namespace: namespace.into(),
        pod: name.into(),
        pod_uid: format!("uid-{id}"),
        container: "app".into(),
        container_id: format!("{id:064x}"),
        unit: String::new(),
        labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
        image: "registry/app:1".into(),
        restart_count: Some(0),
        cgroup_id: id,
        sandbox: false,
        owner: None,
        told: Memo::default(),
    })
}

/// The machine itself.
pub(crate) fn host(id: u64) -> Arc<Workload> {
    let mut workload = Workload::clone(&pod(id, "", ""));
    workload.kind = WorkloadKind::Host;
    workload.container = String::new();
    workload.container_id = String::new();
    Arc::new(workload)
}

/// A connection to `remote` from 10.0.0.1:40000, or to 10.0.0.1:80 from `remote`.
pub(crate) fn tcp(id: u64, outgoing: bool, remote: &str, peer: Option<&Arc<Workload>>) -> Tcp {
    let local = if outgoing { "10.0.0.1:40000" } else { "10.0.0.1:80" };
    Tcp {
        id: ConnectionId(id),
        local: local.parse::<SocketAddr>().unwrap(),
        remote: remote.parse::<SocketAddr>().unwrap(),
        outgoing,
        peer: Peer {
            kind: if peer.is_some() { PeerKind::Pod } else { PeerKind::Outside },
            workload: peer.cloned(),
            place: None,
            dns_name: None,
        },
        netns: 1,
        backend: None,
    }
}

/// An event of a workload.
pub(crate) fn event(workload: &Arc<Workload>, boot_ns: u64, detail: Detail) -> Event {
    Event {
        sequence: boot_ns,
        boot_time: BootTime(boot_ns),
        time: WallTime(WALL_NS + boot_ns),
        workload: Some(Arc::clone(workload)),
        process: None,
        detail,
    }
}

/// Established, asked for, in 1 ms.
pub(crate) fn connect(tcp: &Tcp) -> Detail {
    Detail::TcpConnect(TcpConnect { tcp: tcp.clone(), handshake_latency_ns: 1_000_000 })
}

/// Established, accepted.
pub(crate) fn accept(tcp: &Tcp) -> Detail {
    Detail::TcpAccept(TcpAccept { tcp: tcp.clone(), handshake_latency_ns: None })
}

/// Ended in order with these counters.
pub(crate) fn close(tcp: &Tcp, counters: Counters) -> Detail {
    Detail::TcpClose(TcpClose { tcp: tcp.clone(), duration_ns: Some(5), counters, errno: 0 })
}

/// Counters of `n` of everything.
pub(crate) fn counters(n: u64, retransmitted_segments: u64) -> Counters {
    Counters {
        sent_bytes: 100 * n,
        received_bytes: 200 * n,
        sent_segments: 3 * n,
        received_segments: 4 * n,
        retransmitted_segments,
        rtt_ns: Some(50_000),
        min_rtt_ns: Some(40_000),
        rtt_variation_ns: Some(1_000),
        ..Counters::default()
    }
}

/// A process that ended so, at once.
pub(crate) const fn exited(ending: Ending) -> ProcessExit {
    ProcessExit {
        ending,
        oom_killed: false,
        run_time_ns: 1,
        cpu_time_ns: Some(1),
        peak_memory_bytes: 4096,
        first: false,
    }
}
