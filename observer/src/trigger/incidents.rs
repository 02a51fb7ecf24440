//! The incidents that are open: what fires joins one that is about the same, or opens another one.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::fired::{Fired, TriggerKind};
use super::incident::{Incident, Subject, subjects};
use crate::event::{BootTime, Now, WallTime, Workload};

/// Incidents that triggers may have open at a time. More at once are one trouble of the node, which these tell of.
const MOST_OPEN: usize = 32;
/// Incidents that clients may have open at a time.
const MOST_BY_HAND: usize = 16;
/// An incident is closed after so long, though it may go on: what lasts is told once, and not kept for ever.
const LONGEST_NS: u64 = 900 * 1_000_000_000;
/// One that goes on is told anew so often.
const TOLD_NS: u64 = 10_000_000_000;
/// Subjects that are remembered for what they opened incidents for.
const REMEMBERED: usize = 4_096;

/// Times of incidents, in nanoseconds.
#[allow(clippy::struct_field_names, reason = "the unit belongs to each of them")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// So long before it is opened an incident's window begins.
    pub(crate) before_ns: u64,
    /// So long after something was last added to it its window ends, and it is closed.
    pub(crate) after_ns: u64,
    /// For so long the same trigger opens no other incident about the same.
    pub(crate) cool_down_ns: u64,
}

/// Why a client may not open one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// So many are open.
    pub(crate) open: usize,
}

/// The incidents that are open.
#[derive(Debug)]
pub(crate) struct Incidents {
    bounds: Bounds,
    open: Vec<Incident>,
    /// When which trigger fired last about what.
    fired: HashMap<(TriggerKind, Subject), BootTime>,
    /// The last id.
    last: (String, u32),
    /// What fired and found no room.
    refused: u64,
}

impl Incidents {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, open: Vec::new(), fired: HashMap::new(), last: (String::new(), 0), refused: 0 }
    }

    /// Ids of before, of which none is given again.
    pub(crate) fn know<'i>(&mut self, ids: impl Iterator<Item = &'i str>) {
        let parts = |id: &str| {
            id.rsplit_once('-').map(|(second, number)| (second.to_owned(), number.parse().unwrap_or(0)))
        };
        self.last = ids.filter_map(parts).chain([std::mem::take(&mut self.last)]).max().unwrap_or_default();
    }

    /// Adds what fired. Gives the incident where there is something to tell, and whether it was opened by this.
    pub(crate) fn fired(&mut self, fired: Fired, now: Now) -> Option<(&Incident, bool)> {
        let about = subjects(&fired);
        let calm = self.is_calm(&fired, &about, now.boot);
        if let Some(at) = self.open.iter().position(|incident| incident.is_about(&about)) {
            let incident = self.open.get_mut(at)?;
            let is_new = incident.add(fired, now, &self.bounds);
            let due = now.boot.since_ns(incident.told) >= TOLD_NS;
            if is_new || due {
                incident.told = now.boot;
                return Some((incident, false));
            }
            return None;
        }
        if !calm {
            return None;
        }
        if self.open.iter().filter(|incident| !incident.is_by_hand()).count() >= MOST_OPEN {
            self.refused += 1;
            return None;
        }
        let id = self.next_id(now.wall);
        self.open.push(Incident::new(id, fired, now, &self.bounds));
        self.open.last().map(|incident| (incident, true))
    }

    /// Opens one for a client.
    pub(crate) fn open_by_hand(
        &mut self,
        workloads: &[Arc<Workload>],
        words: (String, String),
        now: Now,
    ) -> Result<Incident, Refused> {
        let open = self.open.iter().filter(|incident| incident.is_by_hand()).count();
        if open >= MOST_BY_HAND {
            return Err(Refused { open });
        }
        let id = self.next_id(now.wall);
        let incident = Incident::by_hand(id, workloads, words, now, &self.bounds);
        self.open.push(incident.clone());
        Ok(incident)
    }

    /// Closes one for a client; `None` where none is open with that id.
    pub(crate) fn close(&mut self, id: &str, client: String, note: String, now: Now) -> Option<Incident> {
        let at = self.open.iter().position(|incident| incident.id == id)?;
        let mut incident = self.open.remove(at);
        incident.closed = Some(now.wall);
        incident.window_end = incident.window_end.min(now.wall).max(incident.opened);
        incident.client = client;
        if !note.is_empty() {
            incident.note = note;
        }
        Some(incident)
    }

    /// Those that are over by now.
    pub(crate) fn advance(&mut self, now: Now) -> Vec<Incident> {
        let Bounds { after_ns, cool_down_ns, .. } = self.bounds;
        let is_over = |incident: &Incident| {
            now.boot.since_ns(incident.last) >= after_ns
                || now.boot.since_ns(incident.opened_boot) >= LONGEST_NS.max(after_ns)
        };
        if self.fired.len() >= REMEMBERED {
            self.fired.retain(|_, last| now.boot.since_ns(*last) < cool_down_ns);
        }
        let mut closed = Vec::new();
        self.open.retain(|incident| {
            let over = is_over(incident);
            if over {
                let mut incident = incident.clone();
                incident.closed = Some(now.wall);
                closed.push(incident);
            }
            !over
        });
        closed
    }

    /// Those that are open.
    pub(crate) fn open(&self) -> &[Incident] {
        &self.open
    }

    /// What fired since the last call and found no room.
    pub(crate) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// The trigger has not fired about this for so long that it may open an incident. It has now.
    fn is_calm(&mut self, fired: &Fired, about: &[Subject], now: BootTime) -> bool {
        let Some(first) = about.first() else { return true };
        let key = (fired.kind, first.clone());
        let room = self.fired.len() < 2 * REMEMBERED || self.fired.contains_key(&key);
        let last = if room { self.fired.insert(key, now) } else { None };
        last.is_none_or(|last| now.since_ns(last) >= self.bounds.cool_down_ns)
    }

    /// An id by the time, which no other one has: `20261128-112027-1`.
    fn next_id(&mut self, now: WallTime) -> String {
        let second = date_and_time(now);
        // A clock that was set back gives no second again that it has given before.
        self.last = match std::mem::take(&mut self.last) {
            (last, number) if last >= second => (last, number + 1),
            _ => (second, 1),
        };
        format!("{}-{}", self.last.0, self.last.1)
    }
}

/// `20261128-112027`, in UTC.
fn date_and_time(WallTime(ns): WallTime) -> String {
    let seconds = i64::try_from(ns / 1_000_000_000).unwrap_or(0);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y%m%d-%H%M%S").to_string()
}
