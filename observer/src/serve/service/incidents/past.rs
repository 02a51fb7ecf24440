//! What is known of an incident's time, in order, as one client may see it: from the recording, else from memory.

use std::collections::VecDeque;

use observer_proto::v1;
use prost::Message as _;
use prost_types::Timestamp;
use tonic::Status;

use super::super::Service;
use super::super::asked::wall_time;
use crate::event::{Event, WallTime};
use crate::filter::{Cache, Filters, Scope, Seen};
use crate::record::{self, CLOCKS, Chunk, Kind, Place, Reader, Recorded, Store, StoreError};
use crate::serve::{Past, Request};
use crate::story::{Told, ToldWindow};
use crate::wire;

/// Events are in order but for what waits for names: so much later none of a time comes any more.
const OUT_OF_ORDER_NS: u64 = 30_000_000_000;

/// What a story is made of.
pub(super) type Material = (Box<dyn Iterator<Item = Told> + Send>, Vec<ToldWindow>);

impl Service {
    /// The recording may have let go of what it kept for an incident.
    pub(super) fn note_what_is_gone(&self, incident: &mut v1::Incident) {
        let store = self.recorded.as_ref().and_then(Reader::store);
        let stored = store.and_then(|store| store.incident(&incident.id).ok().flatten());
        if let Some(stored) = stored.and_then(|stored| stored.incident)
            && incident.incomplete.is_empty()
        {
            incident.incomplete = stored.incomplete;
        }
    }

    /// The events and windows of an incident's time.
    pub(super) async fn past(&self, scope: &Scope, incident: &v1::Incident) -> Result<Material, Status> {
        let of = |time: &Option<Timestamp>| {
            time.as_ref().map_or(Ok(WallTime::default()), |time| wall_time("window", *time))
        };
        let (since, until) = (of(&incident.window_start)?, of(&incident.window_end)?);
        let past = match &self.replayed {
            None => Some(self.ask(|reply| Request::Past { since, until, reply }).await?),
            Some(_) => None,
        };
        let windows = past.iter().flat_map(|past| {
            past.windows
                .iter()
                .map(|window| (past.now.wall_of(window.start), scope.window(window).into_owned()))
        });
        let windows: Vec<ToldWindow> = windows.collect();
        if let Some(reader) = &self.recorded {
            reader.commit().await;
            if let Some(store) = reader.store() {
                let filters = Filters::default().within(scope.clone());
                let (of, scope) = (store.clone(), scope.clone());
                let recorded = reader.turn(move || recorded_windows(&of, &scope, [since, until])).await;
                let recorded = recorded.map_err(|error| super::super::replayed::unreadable(&error))?;
                // What is in no recorded window yet is in memory.
                let end = recorded
                    .last()
                    .map_or(WallTime(0), |(start, window)| WallTime(start.0 + window.length_ns));
                let newer = windows.into_iter().filter(|(start, _)| *start >= end);
                let windows = recorded.into_iter().chain(newer).collect();
                return Ok((Box::new(Recording::new(store, filters, [since, until])), windows));
            }
        }
        let Some(Past { events, complete_since, .. }) = past else {
            return Err(Status::unavailable("the recording cannot be read"));
        };
        let start = wire::timestamp(self.settings.start_time);
        let gap = (complete_since > since).then(|| Told::Gap {
            since: Some(wire::timestamp(since)),
            until: Some(wire::timestamp(complete_since.min(until))),
            words: "the daemon's memory does not reach back so far".to_owned(),
        });
        let (scope, node) = (scope.clone(), self.settings.node_name.clone());
        let told = events.into_iter().filter_map(move |event| {
            let event = scope.event(&event)?;
            Some(Told::Event(start, Box::new(told(&event, &node))))
        });
        Ok((Box::new(gap.into_iter().chain(told)), windows))
    }
}

/// The windows that are recorded of a time.
fn recorded_windows(
    store: &Store,
    scope: &Scope,
    range: [WallTime; 2],
) -> Result<Vec<ToldWindow>, StoreError> {
    let mut windows = Vec::new();
    record::for_each_window(store, range, |window| {
        windows.push((CLOCKS.wall_of(window.start), scope.window(&window).into_owned()));
        true
    })?;
    Ok(windows)
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
}

impl Recording {
    fn new(store: Store, filters: Filters, range: [WallTime; 2]) -> Self {
        let (mut place, mut ready) = (None, VecDeque::new());
        match store.at(Kind::Events, range[0]) {
            Ok(begin) => place = Some(begin),
            Err(error) => ready.push_back(unreadable(range[0], &error.to_string())),
        }
        Self { store, filters, cache: Cache::default(), range, place, ready }
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
        let mut goes_on = true;
        for item in &chunk.items {
            match item {
                Recorded::Event { sequence: _, payload: _, event } => {
                    let Some(event) = self.seen(event) else { continue };
                    let Some(time) = event.time.and_then(|time| wall_time("time", time).ok()) else {
                        continue;
                    };
                    goes_on &= time.0 <= until.0.saturating_add(OUT_OF_ORDER_NS);
                    if time >= since && time <= until {
                        self.ready.push_back(Told::Event(start, Box::new(event)));
                    }
                }
                Recorded::Gap(gap) => self.ready.extend(self.gap(gap)),
            }
        }
        goes_on
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
