//! What is recorded, read for one stream: page by page, as fast as its client takes it, on a thread that may wait.

use observer_proto::{EventsPayload, Mask, served as v1};

use crate::event::WallTime;
use crate::filter::{Cache, Seen};
use crate::record::{Chunk, Kind, Place, Reader, Recorded, Store, StoreError};
use crate::serve::{Ask, Filters, Rest};
use crate::wire::timestamp;

/// So many blocks are looked at for a page, so that a client that has gone is noticed.
const BLOCKS_LOOKED_AT: usize = 32;

/// One who reads.
#[derive(Debug)]
pub(super) struct Recording {
    reader: Reader,
    filters: Filters,
    /// What is told of an event; `None`: all. It is one of a payload.
    mask: Option<Mask>,
    ask: Ask,
    /// `None` before the first page.
    place: Option<Place>,
    /// So many are still wanted.
    left: usize,
    /// The run whose numbers the client takes the next event's for.
    announced: WallTime,
    /// Events up to this number of the daemon's own run were read.
    own: u64,
    /// What is on disk was read up to its end once.
    reached_end: bool,
    cache: Cache,
}

/// What was read at once.
#[derive(Debug)]
pub(super) struct RecordedPage {
    pub(super) payloads: Vec<EventsPayload>,
    /// Nothing more is recorded; the rest is in memory.
    pub(super) ended: bool,
}

impl Recording {
    /// The one who reads what is asked for, where something of the past is, and something is recorded. `mask` is one of events.
    pub(super) async fn asked(
        reader: Option<&Reader>,
        filters: &Filters,
        mask: Option<&Mask>,
        ask: Option<Ask>,
    ) -> Option<Self> {
        let (reader, ask) = reader.cloned().zip(ask)?;
        reader.opened().await;
        Some(Self::new(reader, filters.clone(), mask.cloned().map(EventsPayload::mask), ask))
    }

    fn new(reader: Reader, filters: Filters, mask: Option<Mask>, ask: Ask) -> Self {
        let announced = reader.start();
        let left = ask.first.unwrap_or(usize::MAX);
        let cache = Cache::default();
        let (place, own, reached_end) = (None, 0, false);
        Self { reader, filters, mask, ask, place, left, announced, own, reached_end, cache }
    }

    /// What is to be read in memory.
    pub(super) fn rest(&self, id: u64) -> Rest {
        let Ask { since, until, .. } = self.ask;
        let after = if self.ask.another_run { self.own } else { self.own.max(self.ask.after) };
        Rest { id, after, since, until, left: self.left }
    }

    /// Reads the next page, on a thread that may wait.
    pub(super) async fn next(mut self) -> (Self, RecordedPage) {
        if self.place.is_none() || self.reached_end {
            // What is on its way there is there then; what follows is in memory.
            self.reader.commit().await;
        }
        let reader = self.reader.clone();
        reader
            .turn(move || {
                let page = self.page();
                (self, page)
            })
            .await
    }

    fn page(&mut self) -> RecordedPage {
        let mut payloads = Vec::new();
        let read = match self.reader.store() {
            Some(store) => self.read(&store, &mut payloads),
            None => Ok(true),
        };
        let ended = read.unwrap_or_else(|error| {
            log::error!("cannot read what is recorded: {error}");
            let message = format!("what is recorded cannot be read: {error}");
            payloads.push((&observer_proto::v1::Gap { message, ..Default::default() }).into());
            true
        });
        if ended && self.announced != self.reader.start() {
            self.announce(self.reader.start(), self.rest(0).after, &mut payloads);
        }
        RecordedPage { payloads, ended }
    }

    /// Tells whether that was the end.
    fn read(&mut self, store: &Store, payloads: &mut Vec<EventsPayload>) -> Result<bool, StoreError> {
        let mut place = match self.place {
            Some(place) => place,
            None => self.begin(store, payloads)?,
        };
        for _ in 0..BLOCKS_LOOKED_AT {
            if self.left == 0 {
                return Ok(true);
            }
            let Some(chunk) = store.forward(place)? else {
                // What came since it was written last is in memory, where nothing of it has made room yet.
                let ended = std::mem::replace(&mut self.reached_end, true);
                self.place = Some(place);
                return Ok(ended);
            };
            place = chunk.after;
            self.place = Some(place);
            self.take(&chunk, payloads);
            if !payloads.is_empty() {
                break;
            }
        }
        Ok(false)
    }

    /// Where to begin, and how far back all reaches.
    fn begin(&mut self, store: &Store, payloads: &mut Vec<EventsPayload>) -> Result<Place, StoreError> {
        let Ask { after, since, last, another_run, resumed, .. } = self.ask;
        let behind = resumed.map(|start| store.behind(start, after)).transpose()?.flatten();
        let place = match (behind, since) {
            (Some(place), _) => place,
            (None, Some(since)) => store.at(Kind::Events, since)?,
            (None, None) => match resumed {
                // Of a run that is not recorded nothing is there to go on with; what came after it is new.
                Some(start) => store.later_than(start)?,
                None => Place::default(),
            },
        };
        let place = match last {
            Some(last) => self.newest(store, place, last)?,
            None => place,
        };
        let figures = store.figures();
        let (oldest, complete_since) = (figures.oldest, figures.complete_since);
        let history = v1::History {
            complete_since: Some(timestamp(complete_since.unwrap_or(self.reader.start()))),
            oldest: oldest.map(timestamp),
            missing: 0,
            another_run: another_run && behind.is_none(),
        };
        payloads.push((&history).into());
        Ok(place)
    }

    /// The place behind which there are so many that pass.
    fn newest(&mut self, store: &Store, begin: Place, last: usize) -> Result<Place, StoreError> {
        let (mut to, mut found) = (Place::END, 0);
        while let Some(chunk) = store.backward(to)? {
            for one in chunk.items.iter().rev() {
                let Recorded::Event { sequence, event, .. } = one else { continue };
                if self.is_within(event) && self.filters.encoded_event(event, &mut self.cache).is_some() {
                    found += 1;
                }
                if found == last {
                    let place =
                        Place { run: chunk.run.number, after: sequence.saturating_sub(1), gaps: u32::MAX };
                    return Ok(place.max(begin));
                }
            }
            to = chunk.before;
            if to <= begin {
                break;
            }
        }
        Ok(begin)
    }

    fn take(&mut self, chunk: &Chunk, payloads: &mut Vec<EventsPayload>) {
        let run = chunk.run.start();
        let own = run == self.reader.start();
        let before = chunk.before.after;
        for one in &chunk.items {
            match one {
                Recorded::Gap(gap) if self.concerns(gap) => {
                    self.announced(run, before, payloads);
                    payloads.push(gap.into());
                }
                Recorded::Gap(_) => {}
                Recorded::Event { sequence, payload, event } => {
                    if own {
                        self.own = *sequence;
                    }
                    if self.left == 0 || !self.is_within(event) {
                        continue;
                    }
                    let Some(told) = self.filters.encoded_event(event, &mut self.cache) else { continue };
                    let told = match told {
                        Seen::Whole => EventsPayload::from(payload.clone()),
                        Seen::Part(part) => EventsPayload::from(&*part),
                    };
                    self.announced(run, before, payloads);
                    self.left -= 1;
                    payloads.push(match &self.mask {
                        Some(mask) => told.masked(mask),
                        None => told,
                    });
                }
            }
        }
    }

    fn announced(&mut self, run: WallTime, after: u64, payloads: &mut Vec<EventsPayload>) {
        if self.announced != run {
            self.announce(run, after, payloads);
        }
    }

    /// Says whose numbers follow.
    fn announce(&mut self, run: WallTime, after_sequence: u64, payloads: &mut Vec<EventsPayload>) {
        self.announced = run;
        let own = run == self.reader.start();
        let message =
            if own { "events of this run follow" } else { "recorded events of an earlier run follow" };
        payloads.push(
            (&v1::NodeStatus {
                state: v1::NodeState::Connected.into(),
                message: message.to_owned(),
                start_time: Some(timestamp(run)),
                after_sequence,
                recorded: true,
                node_name: String::new(),
            })
                .into(),
        );
    }

    fn is_within(&self, event: &[u8]) -> bool {
        let Ask { since, until, .. } = self.ask;
        if since.is_none() && until.is_none() {
            return true;
        }
        let time = crate::filter::time(event);
        since.is_none_or(|since| time >= since) && until.is_none_or(|until| time <= until)
    }

    /// The gap is in the time that was asked for.
    fn concerns(&self, gap: &observer_proto::v1::Gap) -> bool {
        let Ask { since, until, .. } = self.ask;
        let time = |time: &Option<prost_types::Timestamp>| time.as_ref().map(crate::wire::wall_time);
        let ended = time(&gap.until).zip(since).is_some_and(|(ended, since)| ended < since);
        let began = time(&gap.since).zip(until).is_some_and(|(began, until)| began > until);
        !ended && !began
    }
}
