//! The newest events, bounded in bytes, and how they are read page by page.

mod bounds;

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use itertools::Itertools as _;

use super::{Ask, Found, Reach, Span};
use crate::event::{Event, WallTime, Workload, WorkloadId};
use crate::room::Room;
use crate::serve::Filters;

/// At most so many events are looked at for a page: the event loop has other things to do.
const LOOKED_AT: usize = 16_384;

/// The newest events: as many as there is room for, and of each workload at least its share of the room. So one that does
/// a lot does not push out what the others did.
#[derive(Debug)]
pub(in crate::serve) struct Events {
    by_owner: HashMap<Option<WorkloadId>, Owned>,
    stored: usize,
    bytes: usize,
    capacity: usize,
    /// So many bytes are known to the room.
    taken: usize,
    room: Room,
    /// Who had the most when that was looked at last.
    largest: Option<WorkloadId>,
    /// The highest number that came.
    newest: u64,
    /// All that came after this is there.
    complete_since: WallTime,
}

/// One workload's, in the order of their numbers; never empty.
#[derive(Debug, Default)]
struct Owned {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

/// Some events, and where to go on.
#[derive(Debug)]
pub(in crate::serve) struct Page {
    pub(in crate::serve) events: Vec<Arc<Event>>,
    /// `None` at the end.
    pub(in crate::serve) rest: Option<Span>,
    /// So many, before filters, made room since the page before.
    pub(in crate::serve) lost: u64,
}

impl Events {
    /// With room for so many bytes; nothing that happened before `started` came.
    pub(in crate::serve) fn new(capacity: usize, started: WallTime) -> Self {
        Self {
            by_owner: HashMap::new(),
            stored: 0,
            bytes: 0,
            capacity,
            taken: 0,
            room: Room::default(),
            largest: None,
            newest: 0,
            complete_since: started,
        }
    }

    /// Has it grow no further than memory allows, and give way where that is short.
    pub(in crate::serve) fn share(&mut self, room: &Room) {
        self.room = room.clone();
    }

    pub(in crate::serve) fn push(&mut self, event: &Arc<Event>) {
        self.newest = self.newest.max(event.sequence);
        let bytes = event.bytes();
        if bytes > self.capacity {
            self.complete_since = self.complete_since.max(event.time);
            return;
        }
        let owner = owner(event);
        let most = self.most(bytes);
        while self.bytes + bytes > most {
            self.make_room(owner, most);
        }
        let owned = self.by_owner.entry(owner).or_default();
        owned.events.push_back(Arc::clone(event));
        owned.bytes += bytes;
        self.bytes += bytes;
        self.stored += 1;
    }

    /// Puts an event in the place of the one with its number, if that is still kept.
    pub(in crate::serve) fn amend(&mut self, event: Arc<Event>) {
        let Some(owned) = self.by_owner.get_mut(&owner(&event)) else { return };
        // They come in the order of their numbers.
        if let Ok(place) = owned.events.binary_search_by_key(&event.sequence, |event| event.sequence) {
            let [before, after] = [owned.events[place].bytes(), event.bytes()];
            owned.bytes = owned.bytes - before + after;
            self.bytes = self.bytes - before + after;
            owned.events[place] = event;
        }
    }

    /// Gives that workload's events its names.
    pub(in crate::serve) fn complete(&mut self, workload: &Arc<Workload>) {
        let Some(owned) = self.by_owner.get_mut(&Some(workload.id)) else { return };
        for event in &mut owned.events {
            *event = Arc::new(Event { workload: Some(Arc::clone(workload)), ..(**event).clone() });
        }
    }

    /// What of the memory is to be read for an ask, and how much of that is not there any more.
    pub(in crate::serve) fn find(&self, ask: &Ask, filters: &Filters) -> Found {
        let Ask { after, since, until, first, last, another_run, resumed } = *ask;
        let after = if another_run { 0 } else { after };
        let mut span = Span { after, since, until, left: first.unwrap_or(usize::MAX), gone: 0 };
        let mut begin = since.map_or(after, |since| after.max(self.before(since)));
        // The time before this run, and what is not in memory any more, may be recorded.
        let mut suffices =
            !another_run && (resumed.is_some() || since.is_some_and(|since| since > self.complete_since));
        if let Some(last) = last {
            suffices = last == 0;
            let passing = self.newest_first().filter(|event| span.has(event) && filters.event(event));
            // Where there are fewer, all are wanted.
            if let Some(oldest) = passing.take(last).nth(last.saturating_sub(1)) {
                span.after = oldest.sequence - 1;
                begin = span.after;
                suffices = true;
            }
            if last == 0 {
                span.left = 0;
            }
        }
        span.gone = self.missing_after(span.after);
        let complete = since.is_some_and(|since| since > self.complete_since) || span.left == 0;
        let missing = if complete { 0 } else { self.missing_after(begin) };
        let reach =
            Reach { complete_since: self.complete_since, oldest: self.oldest(), missing, another_run };
        // Where it keeps nothing, as in a replay, only the recording knows.
        let knows = self.capacity > 0 || span.left == 0;
        Found { span, reach, suffices: suffices && missing == 0 && knows }
    }

    /// The next events of a span that pass, in the order of their numbers, `most` at most.
    pub(in crate::serve) fn page(&self, span: Span, filters: &Filters, most: usize) -> Page {
        let (mut events, mut rest) = (Vec::new(), span);
        // Since then, numbers grew by what came, and all of that was there at first.
        let lost = self.missing_after(span.after).saturating_sub(span.gone);
        let most = most.min(span.left);
        let lists = self.by_owner.values().map(|Owned { events, .. }| {
            let start = events.partition_point(|event| event.sequence <= span.after);
            events.range(start..)
        });
        let mut ordered = lists.kmerge_by(|a, b| a.sequence < b.sequence).take(LOOKED_AT);
        let mut looked_at = 0;
        while events.len() < most {
            let Some(event) = ordered.next() else { break };
            looked_at += 1;
            rest.after = event.sequence;
            if span.has(event) && filters.event(event) {
                events.push(Arc::clone(event));
            }
        }
        rest.left -= events.len();
        let ends = rest.left == 0 || (events.len() < most && looked_at < LOOKED_AT);
        let rest = (!ends).then(|| Span { gone: self.missing_after(rest.after), ..rest });
        Page { events, rest, lost }
    }

    /// The highest number that came.
    pub(in crate::serve) const fn newest(&self) -> u64 {
        self.newest
    }

    pub(in crate::serve) fn len(&self) -> usize {
        self.stored
    }

    /// Bytes that are in use, and how many there are.
    pub(in crate::serve) fn size(&self) -> [usize; 2] {
        [self.bytes, self.capacity]
    }

    pub(in crate::serve) fn oldest(&self) -> Option<WallTime> {
        let oldest = self.by_owner.values().filter_map(|owned| owned.events.front());
        oldest.min_by_key(|event| event.sequence).map(|event| event.time)
    }

    fn newest_first(&self) -> impl Iterator<Item = &Arc<Event>> {
        let lists = self.by_owner.values().map(|owned| owned.events.iter().rev());
        lists.kmerge_by(|a, b| a.sequence > b.sequence)
    }

    /// The highest number of an event that is there and happened before that time; 0 without one.
    fn before(&self, time: WallTime) -> u64 {
        let last = |owned: &Owned| {
            // Their times are nearly in the order of their numbers: what counts is roughly where.
            let place = owned.events.partition_point(|event| event.time < time);
            owned.events.get(place.checked_sub(1)?).map(|event| event.sequence)
        };
        self.by_owner.values().filter_map(last).max().unwrap_or(0)
    }

    /// How many events with higher numbers came and are not there any more.
    fn missing_after(&self, after: u64) -> u64 {
        let count = |owned: &Owned| {
            owned.events.len() - owned.events.partition_point(|event| event.sequence <= after)
        };
        let there: usize = self.by_owner.values().map(count).sum();
        self.newest.saturating_sub(after).saturating_sub(there as u64)
    }
}

impl Span {
    fn has(&self, event: &Event) -> bool {
        event.sequence > self.after
            && self.since.is_none_or(|since| event.time >= since)
            && self.until.is_none_or(|until| event.time <= until)
    }
}

fn owner(event: &Event) -> Option<WorkloadId> {
    event.workload.as_ref().map(|workload| workload.id)
}
