//! Who has an address now, and who had it before: for events that are told late.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::{Holder, Key};
use crate::event::BootTime;

/// How long a former holder is remembered: 15 minutes.
const KEPT_NS: u64 = 15 * 60 * 1_000_000_000;
/// How many former holders are remembered.
const MOST_FORMER: usize = 16_384;

/// What is known of when somebody got an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// Not before: it was not there yet.
    pub(super) not_before: Option<BootTime>,
    /// Since then, to the second.
    pub(super) since: Option<BootTime>,
    /// When that was heard.
    pub(super) now: BootTime,
}

/// Somebody had an address for a while.
struct Former {
    holder: Arc<Holder>,
    from: BootTime,
    until: BootTime,
}

/// The addresses.
pub(super) struct Tenures {
    current: HashMap<Key, (Arc<Holder>, BootTime)>,
    /// Others that claim the same and have not given it up: an end may be in two lists at once.
    beside: HashMap<Key, Vec<Arc<Holder>>>,
    /// How many those are.
    besides: usize,
    former: HashMap<Key, Vec<Former>>,
    /// When each former one was given up, oldest first.
    given_up: VecDeque<(BootTime, Key)>,
    /// Addresses with their ports that there may be.
    capacity: usize,
    overflow: u64,
}

impl Tenures {
    /// Most objects have one or two addresses, some services have many ports.
    pub(super) fn new(objects: usize) -> Self {
        Self {
            current: HashMap::new(),
            beside: HashMap::new(),
            besides: 0,
            former: HashMap::new(),
            given_up: VecDeque::new(),
            capacity: objects.saturating_mul(2),
            overflow: 0,
        }
    }

    /// Somebody has an address.
    pub(super) fn claim(&mut self, key: Key, holder: &Arc<Holder>, claim: Claim) {
        let Claim { not_before, since, now } = claim;
        let Some((current, from)) = self.current.get_mut(&key) else {
            if self.current.len() >= self.capacity {
                self.overflow += 1;
                return;
            }
            let last = self.former.get(&key).and_then(|former| former.iter().map(|one| one.until).max());
            let from = match last {
                // Nobody else is known to have had it: then it was its own as long as it may have been.
                None => not_before.unwrap_or(now),
                Some(until) => since.unwrap_or(until).min(until).max(not_before.unwrap_or(BootTime(0))),
            };
            self.current.insert(key, (Arc::clone(holder), from));
            return;
        };
        if Arc::ptr_eq(current, holder) {
            return;
        }
        if self.besides < self.capacity {
            let other = if since.is_some_and(|since| since < *from) { holder } else { &*current };
            self.beside.entry(key).or_default().push(Arc::clone(other));
            self.besides += 1;
        } else {
            self.overflow += 1;
        }
        match since {
            // An older one is told again: it had the address before.
            Some(since) if since < *from => {
                let former = Former { holder: Arc::clone(holder), from: since, until: *from };
                self.give_up(key, former, now);
            }
            since => {
                let since = since.unwrap_or(now);
                let holder = std::mem::replace(current, Arc::clone(holder));
                let from = std::mem::replace(from, since);
                self.give_up(key, Former { holder, from, until: since }, now);
            }
        }
    }

    /// Somebody has an address no longer.
    pub(super) fn release(&mut self, key: Key, holder: &Arc<Holder>, now: BootTime) {
        self.take_from_beside(key, holder);
        let held = self.current.get(&key).filter(|(current, _)| Arc::ptr_eq(current, holder));
        let Some(&(_, from)) = held else { return };
        self.current.remove(&key);
        if let Some(next) = self.beside.get(&key).and_then(|beside| beside.last().cloned()) {
            self.take_from_beside(key, &next);
            self.current.insert(key, (next, now));
        }
        self.give_up(key, Former { holder: Arc::clone(holder), from, until: now }, now);
    }

    fn take_from_beside(&mut self, key: Key, holder: &Arc<Holder>) {
        let Some(beside) = self.beside.get_mut(&key) else { return };
        let before = beside.len();
        beside.retain(|other| !Arc::ptr_eq(other, holder));
        self.besides -= before - beside.len();
        if beside.is_empty() {
            self.beside.remove(&key);
        }
    }

    /// Whose an address was at that moment.
    pub(super) fn holder(&self, key: Key, time: BootTime) -> Option<&Arc<Holder>> {
        if let Some((holder, from)) = self.current.get(&key)
            && *from <= time
        {
            return Some(holder);
        }
        let had = |former: &&Former| former.from <= time && time < former.until;
        self.former.get(&key)?.iter().rev().find(had).map(|former| &former.holder)
    }

    /// Forgets who had an address long ago.
    pub(super) fn expire(&mut self, now: BootTime) {
        while let Some((time, _)) = self.given_up.front()
            && now.since_ns(*time) >= KEPT_NS
        {
            self.forget_oldest();
        }
    }

    /// Gives back what the tables do not need.
    pub(super) fn shrink(&mut self) {
        self.current.shrink_to_fit();
    }

    /// What found no room since the last call.
    pub(super) fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }

    fn give_up(&mut self, key: Key, former: Former, now: BootTime) {
        self.former.entry(key).or_default().push(former);
        self.given_up.push_back((now, key));
        if self.given_up.len() > MOST_FORMER {
            self.forget_oldest();
        }
    }

    /// Of one address, the oldest is the first.
    fn forget_oldest(&mut self) {
        let Some((_, key)) = self.given_up.pop_front() else { return };
        let Some(former) = self.former.get_mut(&key) else { return };
        if former.len() <= 1 {
            self.former.remove(&key);
        } else {
            former.remove(0);
        }
    }
}

#[cfg(test)]
impl Tenures {
    /// How many former holders are remembered.
    pub(super) fn former_count(&self) -> usize {
        self.former.values().map(Vec::len).sum()
    }
}
