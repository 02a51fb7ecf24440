//! The incidents that are open: what fires joins one that is about the same, or opens another one.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::fired::Fired;
use super::incident::{Incident, Opener, Sort, subjects};
use crate::event::{BootTime, Now, WallTime, Workload};

/// Incidents that triggers may have open at a time. More at once are one trouble of the node, which these tell of.
const MOST_OPEN: usize = 32;
/// Incidents that clients may have open at a time.
const MOST_BY_HAND: usize = 16;
/// Incidents that sessions may have open at a time: they outlive their sessions.
const MOST_WATCHED: usize = 16;
/// An incident is closed after so long, though it may go on: what lasts is told once, and not kept for ever.
const LONGEST_NS: u64 = 900 * 1_000_000_000;
/// One that goes on is told anew so often.
const TOLD_NS: u64 = 10_000_000_000;
/// That there is no room for more is told so often.
const REFUSED_NS: u64 = 60_000_000_000;
/// What fired is remembered in so many sorts.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// So many are open.
    #[error("{0} incidents are open that clients opened, as many as may be; close one, or wait a minute")]
    TooMany(usize),
    /// It would be about nobody.
    #[error("no container that is known matches; `observer workloads` lists them")]
    NothingMatches,
}

/// The incidents that are open.
#[derive(Debug)]
pub(crate) struct Incidents {
    bounds: Bounds,
    open: Vec<Incident>,
    /// When which trigger fired last about what.
    fired: HashMap<Sort, BootTime>,
    /// The last id.
    last: (String, u32),
    /// What fired and found no room, and when that was told last.
    refused: u64,
    refused_told: Option<BootTime>,
}

impl Incidents {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            open: Vec::new(),
            fired: HashMap::new(),
            last: (String::new(), 0),
            refused: 0,
            refused_told: None,
        }
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
        let sort = Sort::of(&fired, &about);
        if let Some(at) = self.open.iter().position(|incident| incident.is_about(&about)) {
            self.remember(sort, now.boot);
            let incident = self.open.get_mut(at)?;
            let is_new = incident.add(fired, now, &self.bounds);
            let due = now.boot.since_ns(incident.told) >= TOLD_NS;
            if is_new || due {
                incident.told = now.boot;
                return Some((incident, false));
            }
            return None;
        }
        let (opener, most) = match Opener::of(&fired) {
            // A session is somebody's wish, and kept each time.
            Opener::Session => (Opener::Session, MOST_WATCHED),
            _ if !self.is_calm(&sort, now.boot) => {
                self.remember(sort, now.boot);
                return None;
            }
            opener @ (Opener::Trigger | Opener::Client) => (opener, MOST_OPEN),
        };
        if self.open_of(opener) >= most {
            self.refused += 1;
            return None;
        }
        self.remember(sort, now.boot);
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
        let open = self.open_of(Opener::Client);
        if open >= MOST_BY_HAND {
            return Err(Refused::TooMany(open));
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
        (incident.closed_by, incident.closing_note) = (client, note);
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

    /// What fired and found no room since that was told last, once a minute at most.
    pub(crate) fn take_refused(&mut self, now: BootTime) -> u64 {
        if self.refused == 0 || self.refused_told.is_some_and(|told| now.since_ns(told) < REFUSED_NS) {
            return 0;
        }
        self.refused_told = Some(now);
        std::mem::take(&mut self.refused)
    }

    /// So many are open that were opened like that.
    fn open_of(&self, opener: Opener) -> usize {
        self.open.iter().filter(|incident| incident.opener() == opener).count()
    }

    /// The same has not fired for so long that it may open an incident.
    fn is_calm(&self, sort: &Sort, now: BootTime) -> bool {
        self.fired.get(sort).is_none_or(|last| now.since_ns(*last) >= self.bounds.cool_down_ns)
    }

    /// It has fired now, in an incident or while it cools down: what goes on opens no other one.
    fn remember(&mut self, sort: Sort, now: BootTime) {
        if self.fired.len() < 2 * REMEMBERED || self.fired.contains_key(&sort) {
            self.fired.insert(sort, now);
        }
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
