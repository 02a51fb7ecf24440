//! What is known of an incident's time, in order, as one client may see it: from the recording, else from memory.

use std::collections::VecDeque;

use observer_proto::v1;
use prost::Message as _;
use prost_types::Timestamp;
use tonic::Status;

use super::super::Service;
use super::super::asked::wall_time;
use crate::event::{Event, WallTime};
use crate::filter::{self, Cache, Filters, Scope, Seen};
use crate::record::{CLOCKS, Chunk, Kind, Newest, OfTime, Place, Reader, Recorded, RecordedWindows, Store};
use crate::serve::{Past, Request};
use crate::story::{Told, ToldWindow};
use crate::wire;

/// Events are in order but for what waits for names: so much later none of a time comes any more.
const OUT_OF_ORDER_NS: u64 = 30_000_000_000;

/// What a story is made of.
pub(super) type Material =
    (Box<dyn Iterator<Item = Told> + Send>, Box<dyn Iterator<Item = ToldWindow> + Send>);

impl Service {
    /// The recording may have let go of what it kept for an incident.
    pub(super) fn note_what_is_gone(&self, incident: &mut v1::Incident) {
        let store = self.recorded.as_ref().and_then(Reader::store);
        let stored = store.and_then(|store| store.incident_alone(&incident.id).ok().flatten());
        if let Some(stored) = stored
            && incident.incomplete.is_empty()
        {
            incident.incomplete = stored.incomplete;
        }
    }

    /// The events and windows of an incident's time.
    pub(super) async fn material(&self, scope: &Scope, incident: &v1::Incident) -> Result<Material, Status> {
        let of = |time: &Option<Timestamp>| {
            time.as_ref().map_or(Ok(WallTime::default()), |time| wall_time("window", *time))
        };
        let (since, until) = (of(&incident.window_start)?, of(&incident.window_end)?);
        let past = match &self.replayed {
            None => self.ask(|reply| Request::Past { since, until, reply }).await?,
            // A recording that is replayed has no memory beside it.
            Some(_) => Past::default(),
        };
        let Past { events, complete_since, windows, now } = past;
        let seen = scope.clone();
        let first = windows.first().map_or(until, |window| now.wall_of(window.start));
        let newest = windows
            .into_iter()
            .map(move |window| (now.wall_of(window.start), seen.window(&window).into_owned()));
        let recorded = self.recorded_past(scope, [since, until], first).await;
        let (told, windows, after, reached) = match recorded {
            Some((told, windows, Newest { number, time })) => (Some(told), Some(windows), number, time),
            None => (None, None, 0, WallTime(0)),
        };
        // Where nothing is recorded, or not for a while, memory has what is newer, as far as it reaches back.
        let from = since.max(reached);
        let lacks = self.recorded.as_ref().is_none_or(|reader| !reader.records());
        let gap =
            (lacks && self.replayed.is_none() && complete_since > from && until > from).then(|| Told::Gap {
                since: Some(wire::timestamp(from)),
                until: Some(wire::timestamp(complete_since.min(until))),
                words: "the daemon's memory does not reach back so far".to_owned(),
            });
        let start = wire::timestamp(self.settings.start_time);
        let (scope, node) = (scope.clone(), self.settings.node_name.clone());
        let newer = events.into_iter().filter(move |event| event.sequence > after).filter_map(move |event| {
            let event = scope.event(&event)?;
            Some(Told::Event(start, Box::new(self::told(&event, &node))))
        });
        let told = told.into_iter().flatten().chain(gap).chain(newer);
        Ok((Box::new(told), Box::new(windows.into_iter().flatten().chain(newest))))
    }

    /// What is recorded of a time, windows up to another one; and how far it was recorded then.
    async fn recorded_past(
        &self,
        scope: &Scope,
        range: [WallTime; 2],
        first: WallTime,
    ) -> Option<(Recording, Windows, Newest)> {
        let reader = self.recorded.as_ref()?;
        reader.commit().await;
        let store = reader.store()?;
        let (scope, own) = (scope.clone(), reader.start());
        let is_replay = self.replayed.is_some();
        let read = move || {
            let newest = store.newest(own).unwrap_or_default();
            let most = if is_replay { u64::MAX } else { newest.number };
            let windows = Windows::new(store.clone(), scope.clone(), [range[0], first]);
            let filters = Filters::default().within(scope);
            (Recording::new(store, filters, range, (own, most)), windows, newest)
        };
        Some(reader.turn(read).await)
    }
}

/// Windows that are recorded of a time, read block by block: those that end by its end.
struct Windows {
    store: Store,
    scope: Scope,
    until: WallTime,
    recorded: RecordedWindows,
    ready: VecDeque<ToldWindow>,
}

impl Windows {
    fn new(store: Store, scope: Scope, range: [WallTime; 2]) -> Self {
        let recorded = RecordedWindows::of(range);
        Self { store, scope, until: range[1], recorded, ready: VecDeque::new() }
    }
}

impl Iterator for Windows {
    type Item = ToldWindow;

    fn next(&mut self) -> Option<ToldWindow> {
        while self.ready.is_empty() {
            // Without figures a story is shorter; why they cannot be read, and what is missing, says the recording of events.
            for one in self.recorded.next(&self.store).ok().flatten()? {
                if let OfTime::Window(window) = one
                    && CLOCKS.wall_of(window.end()) <= self.until
                {
                    let start = CLOCKS.wall_of(window.start);
                    self.ready.push_back((start, self.scope.window(&window).into_owned()));
                }
            }
        }
        self.ready.pop_front()
    }
}

/// An event as it is told.
fn told(event: &Event, node: &str) -> v1::Event {
    v1::Event::decode(wire::event(event, node).encode_to_vec().as_slice()).unwrap_or_default()
}

/// What is recorded of a time, read block by block.
struct Recording {
    store: Store,
    filters: Filters,
    cache: Cache,
    range: [WallTime; 2],
    /// `None` at the end.
    place: Option<Place>,
    ready: VecDeque<Told>,
    /// The daemon's own run, and the last of its events that is read here: what follows is in memory.
    own: WallTime,
    most: u64,
}

impl Recording {
    fn new(store: Store, filters: Filters, range: [WallTime; 2], (own, most): (WallTime, u64)) -> Self {
        let (mut place, mut ready) = (None, VecDeque::new());
        match store.at(Kind::Events, range[0]) {
            Ok(begin) => place = Some(begin),
            Err(error) => ready.push_back(unreadable(range[0], &error.to_string())),
        }
        Self { store, filters, cache: Cache::default(), range, place, ready, own, most }
    }

    /// Takes the next block in; `None` at the end.
    fn read(&mut self) -> Option<()> {
        let place = self.place.take()?;
        match self.store.forward(place) {
            Ok(Some(chunk)) => {
                self.place = Some(chunk.after).filter(|_| self.take(&chunk));
                Some(())
            }
            Ok(None) => None,
            Err(error) => {
                self.ready.push_back(unreadable(self.range[0], &error.to_string()));
                Some(())
            }
        }
    }

    /// Takes what is of the time; false once all that follows is later.
    fn take(&mut self, chunk: &Chunk) -> bool {
        let [since, until] = self.range;
        let start = wire::timestamp(chunk.run.start());
        let own = chunk.run.start() == self.own;
        for item in &chunk.items {
            match item {
                Recorded::Event { sequence, payload: _, event } => {
                    if own && *sequence > self.most {
                        continue;
                    }
                    let Some(event) = self.seen(event) else { continue };
                    let Some(time) = event.time.and_then(|time| wall_time("time", time).ok()) else {
                        continue;
                    };
                    if time >= since && time <= until {
                        self.ready.push_back(Told::Event(start, Box::new(event)));
                    }
                }
                Recorded::Gap(gap) => self.ready.extend(self.gap(gap)),
            }
        }
        // What is hidden ends it as well: a client that sees nothing makes nobody read all that is recorded.
        let mut events = chunk.items.iter().filter(|item| matches!(item, Recorded::Event { .. })).peekable();
        events.peek().is_none() || !events.all(|event| self.is_later(event))
    }

    /// It is later than all of the time.
    fn is_later(&self, item: &Recorded) -> bool {
        let Recorded::Event { event, .. } = item else { return false };
        filter::time(event).0 > self.range[1].0.saturating_add(OUT_OF_ORDER_NS)
    }

    fn seen(&mut self, encoded: &[u8]) -> Option<v1::Event> {
        match self.filters.encoded_event(encoded, &mut self.cache)? {
            Seen::Whole => v1::Event::decode(encoded).ok(),
            Seen::Part(event) => Some(*event),
        }
    }

    /// A gap, as far as it is of the time.
    fn gap(&self, gap: &v1::Gap) -> Option<Told> {
        let of = |time: &Option<Timestamp>| time.as_ref().and_then(|time| wall_time("gap", *time).ok());
        let [since, until] = self.range;
        let begin = of(&gap.since).map_or(since, |begin| begin.max(since));
        let end = of(&gap.until).map_or(begin, |end| end.min(until));
        (begin <= end && begin <= until).then(|| Told::Gap {
            since: Some(wire::timestamp(begin)),
            until: Some(wire::timestamp(end)),
            words: words(gap),
        })
    }
}

impl Iterator for Recording {
    type Item = Told;

    fn next(&mut self) -> Option<Told> {
        while self.ready.is_empty() {
            self.read()?;
        }
        self.ready.pop_front()
    }
}

fn unreadable(at: WallTime, error: &str) -> Told {
    let since = Some(wire::timestamp(at));
    Told::Gap { since, until: None, words: format!("it cannot be read ({error})") }
}

/// Why something is missing.
fn words(gap: &v1::Gap) -> String {
    let reason = match gap.reason() {
        v1::GapReason::NotRunning => "the daemon did not run",
        v1::GapReason::Killed => "the daemon was killed or crashed, and did not run",
        v1::GapReason::Paused => "recording was paused",
        v1::GapReason::Behind => "there was more than could be recorded",
        v1::GapReason::MadeRoom => "it had to make room for what came later",
        v1::GapReason::Unspecified => "nobody knows why",
    };
    if gap.message.is_empty() { reason.to_owned() } else { format!("{reason} ({})", gap.message) }
}
