//! What each client uses, so that none takes what is for all.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};

use super::identity::Name;

/// Lines of the audit about one client in a second; what goes beyond is counted in the next one.
const LINES_A_SECOND: u32 = 50;
/// Clients that are remembered; beyond, those go that use nothing.
const REMEMBERED: usize = 1_024;
/// After so long without a call nothing is remembered of a client that a new one would not have.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2);

/// Connections of one client at a time, root and those by loopback excepted: an eighth of a listener's places.
const CONNECTIONS: usize = 64;
/// Streams of all clients but root together: the rest of the 1,000 that there are is root's.
const STREAMS_OF_OTHERS: usize = 900;

/// What one client may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientLimits {
    /// Streams at a time.
    pub(crate) streams: usize,
    /// Calls in a second.
    pub(crate) calls_a_second: u32,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self { streams: 256, calls_a_second: 500 }
    }
}

/// All clients that there are.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    limits: ClientLimits,
    known: Mutex<HashMap<Name, Usage>>,
}

/// What one client uses.
#[derive(Debug)]
struct Usage {
    connections: usize,
    streams: usize,
    calls: Bucket,
    lines: Bucket,
    /// Lines of the audit that were not written.
    unwritten: u64,
}

/// A client's place among the streams that it may have, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    clients: Arc<Clients>,
    name: Name,
}

/// A client's connection, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Presence {
    clients: Arc<Clients>,
    name: Name,
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached(pub(super) usize);

impl Clients {
    pub(crate) fn new(limits: ClientLimits) -> Arc<Self> {
        Arc::new(Self { limits, known: Mutex::new(HashMap::new()) })
    }

    /// Counts a connection, of which some may have any number.
    pub(super) fn enter(self: &Arc<Self>, name: &Name, any_number: bool) -> Option<Presence> {
        let room = self.change(name, |usage, _now| {
            let room = any_number || usage.connections < CONNECTIONS;
            usage.connections += usize::from(room);
            room
        });
        room.then(|| Presence { clients: Arc::clone(self), name: name.clone() })
    }

    /// Counts a call.
    pub(super) fn call(&self, name: &Name) -> Result<(), Reached> {
        let most = self.limits.calls_a_second;
        let admitted = self.change(name, |usage, now| usage.calls.take(most, now));
        if admitted { Ok(()) } else { Err(Reached(most as usize)) }
    }

    /// Whether a line of the audit is to be written; if so, how many before it were not.
    pub(super) fn line(&self, name: &Name) -> Option<u64> {
        self.change(name, |usage, now| {
            if usage.lines.take(LINES_A_SECOND, now) {
                return Some(std::mem::take(&mut usage.unwritten));
            }
            usage.unwritten += 1;
            None
        })
    }

    /// Takes a place among the client's streams.
    pub(super) fn seat(self: &Arc<Self>, name: &Name, is_root: bool) -> Result<Seat, Reached> {
        let most = self.limits.streams;
        if !is_root && self.streams_of_others() >= STREAMS_OF_OTHERS {
            return Err(Reached(STREAMS_OF_OTHERS));
        }
        let found = self.change(name, |usage, _now| {
            let room = usage.streams < most;
            usage.streams += usize::from(room);
            room
        });
        if found { Ok(Seat { clients: Arc::clone(self), name: name.clone() }) } else { Err(Reached(most)) }
    }

    /// Writes down that somebody was not let in of whom nothing is known.
    pub(in crate::serve) fn turned_away(&self, why: &io::Error) {
        if let Some(unwritten) = self.line(&Name::unknown()) {
            let before = if unwritten > 0 { format!(" unwritten={unwritten}") } else { String::new() };
            // Some of its words may be the client's.
            log::info!(target: "audit", "client=unknown turned away why={:?}{before}", why.to_string());
        }
    }

    fn streams_of_others(&self) -> usize {
        let (known, root) = (self.lock(), Name::root());
        known.iter().filter(|(of, _)| **of != root).map(|(_, usage)| usage.streams).sum()
    }

    #[allow(clippy::disallowed_methods, reason = "calls are counted by the time in which they come")]
    fn change<T>(&self, name: &Name, change: impl FnOnce(&mut Usage, Instant) -> T) -> T {
        let now = Instant::now();
        let mut known = self.lock();
        if known.len() >= REMEMBERED && !known.contains_key(name) {
            known.retain(|_, usage| usage.is_known_by_something(now));
        }
        let limits = self.limits;
        let usage = known.entry(name.clone()).or_insert_with(|| Usage {
            connections: 0,
            streams: 0,
            calls: Bucket::full(limits.calls_a_second, now),
            lines: Bucket::full(LINES_A_SECOND, now),
            unwritten: 0,
        });
        change(usage, now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Usage>> {
        // Nothing panics while it is locked; if something did, what is in there is whole all the same.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(usage) = self.clients.lock().get_mut(&self.name) {
            usage.streams = usage.streams.saturating_sub(1);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(usage) = self.clients.lock().get_mut(&self.name) {
            usage.connections = usage.connections.saturating_sub(1);
        }
    }
}

impl Usage {
    /// It uses something, or has used it lately. Somebody whom a relay asks for has streams and no connection.
    fn is_known_by_something(&self, now: Instant) -> bool {
        self.connections > 0 || self.streams > 0 || !self.calls.is_full_after(FORGOTTEN_AFTER, now)
    }
}

/// A token bucket: a second's worth at most, filled evenly.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn full(rate: u32, now: Instant) -> Self {
        Self { tokens: rate.into(), filled: now }
    }

    fn take(&mut self, rate: u32, now: Instant) -> bool {
        let rate = f64::from(rate);
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = passed.mul_add(rate, self.tokens).min(rate);
        self.filled = now;
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }

    fn is_full_after(&self, pause: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.filled) >= pause
    }
}

#[cfg(test)]
mod tests {
    use super::super::Identity;
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "there is no other way to an Instant")]
    fn who_has_a_stream_by_a_relay_is_not_forgotten() {
        let clients = Clients::new(ClientLimits { streams: 2, calls_a_second: 3 });
        let relay = Identity::Certificate(vec!["dns:relay".to_owned()]).name();
        let named = |name: &str| relay.asking_for(name);
        let (follows, went) = (named("follows"), named("went"));
        let _seat = clients.seat(&follows, false).unwrap();
        drop(clients.seat(&went, false).unwrap());
        // Long ago, by what their calls tell.
        let before = Instant::now().checked_sub(2 * FORGOTTEN_AFTER).unwrap();
        for usage in clients.lock().values_mut() {
            usage.calls.filled = before;
        }
        for other in 0..REMEMBERED {
            clients.call(&named(&format!("other-{other}"))).unwrap();
        }
        assert!(!clients.lock().contains_key(&went), "who uses nothing makes room");
        assert_eq!(clients.lock().get(&follows).unwrap().streams, 1);
        let _second = clients.seat(&follows, false).unwrap();
        assert_eq!(clients.seat(&follows, false).unwrap_err(), Reached(2));
    }
}
