//! The table of live connections.

use std::cmp::Reverse;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::figures::{Place, renew};
use super::tcp::grown;
use crate::event::{Connection, ConnectionId, Counters, Sample, Workload};

/// A live connection and where its figures go.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) connection: Connection,
    pub(super) place: Place,
    /// It was found among the live sockets, and its event may still come.
    pub(super) found: bool,
}

/// Live connections by their sockets; bounded.
#[derive(Debug)]
pub(super) struct Connections {
    entries: HashMap<ConnectionId, Entry>,
    capacity: usize,
}

impl Connections {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity }
    }

    /// Adds a connection that is not there yet; `false` where there is no room.
    pub(super) fn insert(&mut self, connection: Connection, place: Place, found: bool) -> bool {
        let room = self.entries.len() < self.capacity;
        if room {
            self.entries.insert(connection.tcp.id, Entry { connection, place, found });
        }
        room
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Entry> {
        self.entries.remove(&id)
    }

    pub(super) fn has(&self, id: ConnectionId) -> bool {
        self.entries.contains_key(&id)
    }

    pub(super) fn place(&self, id: ConnectionId) -> Option<Place> {
        self.entries.get(&id).map(|entry| entry.place)
    }

    /// Takes a new reading and gives the place and the reading before. Counters never go back, so one that
    /// is behind (of segments that were counted before the socket told them) leaves the one that is ahead.
    pub(super) fn read(
        &mut self,
        Sample { id, state, half_closed, counters, flow }: Sample,
    ) -> Option<(Place, Counters)> {
        let Entry { connection, place, .. } = self.entries.get_mut(&id)?;
        let before = connection.counters;
        connection.state = state;
        connection.half_closed = half_closed;
        connection.flow = Some(flow);
        let ahead = grown(counters.retransmitted_segments, before.retransmitted_segments) > 0;
        let retransmitted_segments =
            if ahead { before.retransmitted_segments } else { counters.retransmitted_segments };
        connection.counters = Counters { retransmitted_segments, ..counters };
        Some((*place, before))
    }

    /// Takes a newer description of a workload over, on either side.
    pub(super) fn renew(&mut self, workload: &Arc<Workload>) {
        for Entry { connection, .. } in self.entries.values_mut() {
            if connection.workload.id == workload.id {
                connection.workload = Arc::clone(workload);
            }
            renew(&mut connection.tcp.peer, workload);
        }
    }

    /// Those that match, the worst first, `limit` at most, and how many match.
    pub(super) fn list(&self, matches: impl Fn(&Connection) -> bool, limit: usize) -> (Vec<Connection>, u64) {
        let connections = self.entries.values().map(|entry| &entry.connection);
        let mut found: Vec<_> = connections.filter(|connection| matches(connection)).collect();
        let total = found.len() as u64;
        found.sort_unstable_by_key(|Connection { tcp, counters, .. }| {
            (Reverse(counters.retransmitted_segments), Reverse(counters.rtt_ns), tcp.id)
        });
        (found.into_iter().take(limit).cloned().collect(), total)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Connection> {
        self.entries.values().map(|entry| &entry.connection)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
