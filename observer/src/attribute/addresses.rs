//! Whose an address was at a moment.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::event::{BootTime, Peer, PeerKind, Workload};

/// How long a pod that is gone keeps its address for events that are told late: 15 minutes.
const KEPT_NS: u64 = 15 * 60 * 1_000_000_000;

/// A pod had an address for a while.
struct Lease {
    pod: Arc<Workload>,
    sandbox_id: String,
    from: BootTime,
    until: Option<BootTime>,
}

/// The addresses of this node and its pods.
#[derive(Default)]
pub(super) struct Addresses {
    host: HashSet<IpAddr>,
    leases: HashMap<IpAddr, Vec<Lease>>,
}

impl Addresses {
    /// This node's own addresses, all of them.
    pub(super) fn set_host(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.host = addresses.into_iter().collect();
    }

    /// A pod has an address since `from`. Whoever had it before had it until then.
    pub(super) fn lease(&mut self, address: IpAddr, sandbox_id: &str, pod: &Arc<Workload>, from: BootTime) {
        let leases = self.leases.entry(address).or_default();
        if let Some(known) = leases.iter_mut().find(|lease| lease.sandbox_id == sandbox_id) {
            known.pod = Arc::clone(pod);
            return;
        }
        for former in leases.iter_mut().filter(|lease| lease.until.is_none()) {
            former.until = Some(from);
        }
        leases.push(Lease { pod: Arc::clone(pod), sandbox_id: sandbox_id.to_owned(), from, until: None });
    }

    /// A pod's sandbox is gone: its addresses are no longer its own.
    pub(super) fn release(&mut self, sandbox_id: &str, at: BootTime) {
        for lease in self.leases.values_mut().flatten() {
            if lease.sandbox_id == sandbox_id && lease.until.is_none() {
                lease.until = Some(at);
            }
        }
    }

    /// Forgets leases that ended long ago.
    pub(super) fn expire(&mut self, now: BootTime) {
        self.leases.retain(|_, leases| {
            leases.retain(|lease| lease.until.is_none_or(|until| now.since_ns(until) < KEPT_NS));
            !leases.is_empty()
        });
    }

    /// How many leases there are.
    pub(super) fn len(&self) -> usize {
        self.leases.values().map(Vec::len).sum()
    }

    /// Whose `remote` was at `time`, seen from `local`.
    pub(super) fn peer(&self, local: IpAddr, remote: IpAddr, time: BootTime) -> Peer {
        if remote.is_loopback() {
            return Peer { kind: PeerKind::Loopback, workload: None };
        }
        let holder = self.leases.get(&remote).and_then(|leases| {
            leases
                .iter()
                .rev()
                .find(|lease| lease.from <= time && lease.until.is_none_or(|until| time < until))
        });
        if let Some(lease) = holder {
            return Peer { kind: PeerKind::Pod, workload: Some(Arc::clone(&lease.pod)) };
        }
        let kind = if local == remote {
            PeerKind::Host
        } else if matches!(remote, IpAddr::V6(remote) if remote.is_unicast_link_local()) {
            PeerKind::Unknown
        } else if self.host.contains(&remote) {
            PeerKind::Host
        } else {
            PeerKind::Outside
        };
        Peer { kind, workload: None }
    }
}
