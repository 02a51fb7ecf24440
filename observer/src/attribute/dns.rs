//! Names that workloads looked up, for the outside addresses that they connect to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashMap;

use super::{Attributor, Moment};
use crate::decode::Answer;
use crate::event::{BootTime, ConnectionId, PeerKind, Tcp, WorkloadId};

/// Answers that are known at once, an answer being one workload's name for one address.
const MAX_ANSWERS: usize = 32_768;
/// Those of one workload: one that looks up the whole world shall not push out what the others have asked for.
const MAX_ANSWERS_OF_ONE: usize = 4_096;
/// Live connections that have a name.
const MAX_CONNECTIONS: usize = 65_536;
/// So long a name is kept beyond the time for which it may be used: processes cache names by rules of their own, and
/// connect some time after they asked. 10 minutes.
const GRACE_NS: u64 = 10 * 60 * 1_000_000_000;
/// What may be used for longer is kept as if it might be used for a day.
const MAX_TTL_S: u32 = 24 * 60 * 60;

/// So often they are looked through for those that are too old: 10 s.
const EXPIRE_NS: u64 = 10 * 1_000_000_000;

/// What is known of names.
#[derive(Default)]
pub(super) struct Names {
    answers: HashMap<(WorkloadId, IpAddr), Entry>,
    /// The answers of each workload, in the order of their making; and of all of them.
    by_workload: BTreeMap<(WorkloadId, u64), IpAddr>,
    by_age: BTreeMap<u64, WorkloadId>,
    counts: HashMap<WorkloadId, usize>,
    /// The name that a connection was made by, to its end: by then the answer may be gone.
    connections: HashMap<ConnectionId, (u64, Arc<str>)>,
    connections_by_age: BTreeMap<u64, ConnectionId>,
    next: u64,
    overflow: u64,
    expired: BootTime,
    figures: NameFigures,
}

/// What has been seen of answers so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameFigures {
    /// Datagrams from the port of name servers.
    pub(crate) answers: u64,
    /// Of these, those that are no answer in the form of DNS.
    pub(crate) not_understood: u64,
}

/// A workload's names for an address.
struct Entry {
    /// Its place among the others.
    age: u64,
    latest: Lookup,
    /// The one before, under another name: what connected before the latest goes by it.
    before: Option<Lookup>,
}

/// A name, and from when to when it is good for connections.
#[derive(Clone)]
pub(super) struct Lookup {
    pub(super) name: Arc<str>,
    pub(super) from: BootTime,
    pub(super) until: BootTime,
}

impl Lookup {
    fn at(&self, time: BootTime) -> Option<&Arc<str>> {
        (self.from <= time && time < self.until).then_some(&self.name)
    }
}

impl Names {
    /// A workload was told that a name has an address.
    pub(super) fn learn(&mut self, workload: WorkloadId, address: IpAddr, lookup: Lookup) {
        let before = match self.remove((workload, address)) {
            Some(Entry { latest, before, .. }) if latest.name == lookup.name => {
                // The same again: it is known since the first time.
                let lookup = Lookup { from: latest.from, ..lookup };
                return self.insert(workload, address, lookup, before);
            }
            Some(entry) => Some(entry.latest),
            None => None,
        };
        if self.counts.get(&workload).is_some_and(|count| *count >= MAX_ANSWERS_OF_ONE) {
            let oldest = self.by_workload.range((workload, 0)..=(workload, u64::MAX)).next();
            if let Some((_, &oldest)) = oldest {
                self.remove((workload, oldest));
                self.overflow += 1;
            }
        } else if self.answers.len() >= MAX_ANSWERS
            && let Some((&age, &owner)) = self.by_age.first_key_value()
            && let Some(&oldest) = self.by_workload.get(&(owner, age))
        {
            self.remove((owner, oldest));
            self.overflow += 1;
        }
        self.insert(workload, address, lookup, before);
    }

    fn insert(&mut self, workload: WorkloadId, address: IpAddr, latest: Lookup, before: Option<Lookup>) {
        let age = self.next;
        self.next += 1;
        self.answers.insert((workload, address), Entry { age, latest, before });
        self.by_workload.insert((workload, age), address);
        self.by_age.insert(age, workload);
        *self.counts.entry(workload).or_default() += 1;
    }

    fn remove(&mut self, key: (WorkloadId, IpAddr)) -> Option<Entry> {
        let entry = self.answers.remove(&key)?;
        self.by_workload.remove(&(key.0, entry.age));
        self.by_age.remove(&entry.age);
        if let Some(count) = self.counts.get_mut(&key.0) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key.0);
            }
        }
        Some(entry)
    }

    /// The name that a workload had for an address at a moment.
    pub(super) fn at(&self, workload: WorkloadId, address: IpAddr, time: BootTime) -> Option<Arc<str>> {
        let Entry { latest, before, .. } = self.answers.get(&(workload, address.to_canonical()))?;
        latest.at(time).or_else(|| before.as_ref()?.at(time)).cloned()
    }

    /// Forgets answers that are too old, from time to time.
    pub(super) fn expire(&mut self, now: BootTime) {
        if now.since_ns(self.expired) < EXPIRE_NS {
            return;
        }
        self.expired = now;
        let over: Vec<_> =
            self.answers.iter().filter(|(_, entry)| entry.latest.until <= now).map(|(&key, _)| key).collect();
        for key in over {
            self.remove(key);
        }
    }

    /// Keeps the name of a connection. One that has been there for the longest time goes where there is no room, as
    /// its end may have been lost.
    fn keep(&mut self, id: ConnectionId, name: &Arc<str>) {
        if self.connections.len() >= MAX_CONNECTIONS
            && let Some((_, oldest)) = self.connections_by_age.pop_first()
        {
            self.connections.remove(&oldest);
            self.overflow += 1;
        }
        self.connections.insert(id, (self.next, Arc::clone(name)));
        self.connections_by_age.insert(self.next, id);
        self.next += 1;
    }

    /// The answers and the connections that are known, and how many of each there may be.
    pub(super) fn sizes(&self) -> [(usize, usize); 2] {
        [(self.answers.len(), MAX_ANSWERS), (self.connections.len(), MAX_CONNECTIONS)]
    }

    /// Names that were forgotten for others since the last call.
    pub(super) fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }
}

impl Attributor {
    /// A name server answered a workload.
    pub(super) fn answered(&mut self, answer: Option<&Answer>, at: Moment) {
        self.names.figures.answers += 1;
        let Some(Answer { name, addresses }) = answer else {
            self.names.figures.not_understood += 1;
            return;
        };
        let workload = self.identities.owner_of(at.cgroup_id);
        let name: Arc<str> = name.as_str().into();
        for (address, ttl) in addresses {
            let good_ns = u64::from((*ttl).min(MAX_TTL_S)) * 1_000_000_000 + GRACE_NS;
            let until = BootTime(at.time.0.saturating_add(good_ns));
            let lookup = Lookup { name: Arc::clone(&name), from: at.time, until };
            self.names.learn(workload, address.to_canonical(), lookup);
        }
    }

    /// The name by which a connection to an outside address was made: the last one for this address that its workload
    /// was told before `at`. It stays with the connection to its end.
    pub(super) fn name(&mut self, tcp: &mut Tcp, at: Moment, ended: bool) {
        if at.cgroup_id == 0 || !tcp.outgoing || tcp.peer.kind != PeerKind::Outside {
            return;
        }
        let kept = self.names.connections.get(&tcp.id).cloned();
        let (kept, name) = match kept {
            Some((age, name)) => (Some(age), Some(name)),
            None => (None, self.names.at(self.identities.owner_of(at.cgroup_id), tcp.remote.ip(), at.time)),
        };
        match (kept, &name) {
            (Some(age), _) if ended => {
                self.names.connections.remove(&tcp.id);
                self.names.connections_by_age.remove(&age);
            }
            (None, Some(name)) if !ended && tcp.id.0 != 0 => self.names.keep(tcp.id, name),
            _ => {}
        }
        tcp.peer.dns_name = name;
    }

    /// What has been seen of names, and the answers that are known.
    pub(crate) fn names(&self) -> (NameFigures, usize) {
        (self.names.figures, self.names.answers.len())
    }
}
