//! Retransmits of handshakes that were counted as they happened and that a counter will tell again.

use std::net::SocketAddr;

use foldhash::{HashMap, HashMapExt as _};

use crate::event::{BootTime, ConnectionId, Tcp};

/// Longer than the longest gap between two retransmits (TCP_RTO_MAX is 120 s).
const KEPT_NS: u64 = 130_000_000_000;
/// How long what an untracked connection owes is kept.
const OWED_NS: u64 = 24 * 3_600_000_000_000;

/// Names a handshake that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The asking side, and an established connection that the table of connections had no room for.
    Socket(ConnectionId),
    /// The listening side: its request has no socket yet.
    Request { local: SocketAddr, remote: SocketAddr, netns: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    segments: u64,
    expires: BootTime,
}

/// Bounded; what finds no room is not counted and is reported by the caller.
#[derive(Debug)]
pub(super) struct Handshakes {
    counted: HashMap<Key, Counted>,
    capacity: usize,
}

impl Handshakes {
    pub(super) fn new(capacity: usize) -> Self {
        Self { counted: HashMap::new(), capacity }
    }

    /// Notes segments of a handshake that were counted now; `false` where there is no room to note them.
    pub(super) fn note(&mut self, tcp: &Tcp, segments: u64, now: BootTime) -> bool {
        self.insert(key(tcp), segments, BootTime(now.0.saturating_add(KEPT_NS)))
    }

    /// Notes what was counted for a connection that is established and has no room in its table.
    pub(super) fn note_owed(&mut self, id: ConnectionId, segments: u64, now: BootTime) -> bool {
        self.insert(Key::Socket(id), segments, BootTime(now.0.saturating_add(OWED_NS)))
    }

    /// What was counted for this handshake, which is over.
    pub(super) fn take(&mut self, tcp: &Tcp) -> u64 {
        self.remove(key(tcp))
    }

    /// What was counted for an established connection that has no room in its table.
    pub(super) fn take_owed(&mut self, id: ConnectionId) -> u64 {
        self.remove(Key::Socket(id))
    }

    /// Forgets the handshakes that ended without a word.
    pub(super) fn expire(&mut self, now: BootTime) {
        self.counted.retain(|_, counted| counted.expires > now);
    }

    pub(super) fn len(&self) -> usize {
        self.counted.len()
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    fn insert(&mut self, key: Key, segments: u64, expires: BootTime) -> bool {
        if let Some(counted) = self.counted.get_mut(&key) {
            counted.segments += segments;
            counted.expires = expires;
            return true;
        }
        let room = self.counted.len() < self.capacity;
        if room {
            self.counted.insert(key, Counted { segments, expires });
        }
        room
    }

    fn remove(&mut self, key: Key) -> u64 {
        if self.counted.is_empty() {
            return 0;
        }
        self.counted.remove(&key).map_or(0, |counted| counted.segments)
    }
}

const fn key(tcp: &Tcp) -> Key {
    if tcp.outgoing {
        Key::Socket(tcp.id)
    } else {
        Key::Request { local: tcp.local, remote: tcp.remote, netns: tcp.netns }
    }
}
