//! A whole file: written from a store, and loaded into one in memory.

use std::io::{self, Read, Write};

use observer_proto::v1::{self, ExportHeader, StoredIncident};

use super::raw::{Taking, raws};
use super::{Error, Kind, MOST_RAW_BYTES, Reader, Writer};
use crate::event::WallTime;
use crate::record::{Block, Limits, Raw, Store, StoreError};
use crate::wire::wall_time;

/// The most runs of a file: of each the store has an entry that is looked up.
const MOST_RUNS: u64 = 10_000;
/// So many extras a file may have in any case, and beyond one for so many bytes of it: each takes more than that.
const MOST_EXTRAS: u64 = 1 << 16;
const EXTRA_BYTES: u64 = 4;

/// A recording that was loaded from a file.
#[derive(Debug)]
pub(crate) struct Recording {
    /// What it is of.
    pub(crate) header: ExportHeader,
    /// The incident that it is of, where it is of one.
    pub(crate) incident: Option<StoredIncident>,
    /// What was recorded, and the incident.
    pub(crate) store: Store,
}

impl Recording {
    /// The time that was exported.
    pub(crate) fn range(&self) -> [WallTime; 2] {
        let v1::ExportHeader { since, until, .. } = &self.header;
        let time = |time: &Option<_>, other| time.as_ref().map_or(WallTime(other), wall_time);
        [time(since, 0), time(until, u64::MAX)]
    }
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes what a store has of a time. `change` says what becomes of each part: some clients may not see all of it.
pub(crate) fn store<W: Write>(
    out: W,
    header: &ExportHeader,
    incident: Option<&StoredIncident>,
    (store, range): (&Store, [WallTime; 2]),
    mut change: impl FnMut(Raw) -> Result<Option<Raw>, WriteError>,
) -> Result<W, WriteError> {
    let mut writer = Writer::new(out, header)?;
    if let Some(incident) = incident {
        writer.message(Kind::Incident, incident)?;
    }
    let mut taking = Taking::new(writer);
    store.export(range, |raw| match change(raw)? {
        Some(raw) => Ok(taking.take(raw)?),
        None => Ok::<(), WriteError>(()),
    })?;
    taking.settle()?;
    Ok(taking.writer.finish()?)
}

/// Loads a file, all of it or nothing.
pub(crate) fn load(input: impl Read) -> Result<Recording, Error> {
    let mut reader = Reader::open(input)?;
    // What was kept is kept, however much and however old it is.
    let store = Store::in_memory(Limits { bytes: u64::MAX, age_ns: u64::MAX })?;
    let mut loading = Loading::default();
    let parts = std::iter::from_fn(|| loading.next(&mut reader));
    let taken = store.take_in(parts, WallTime(0));
    if let Some(error) = loading.failed {
        return Err(error);
    }
    taken?;
    if reader.header().filtered {
        store.was_filtered();
    }
    let end = reader.end().copied().unwrap_or_default();
    if [end.events, end.windows] != loading.counts {
        return Err(Error::Damaged { at: 0, what: "it does not hold as much as its end says" });
    }
    if let Some(incident) = &loading.incident {
        store.put_incident(incident)?;
    }
    Ok(Recording { header: reader.header().clone(), incident: loading.incident, store })
}

/// What was read so far.
#[derive(Debug, Default)]
struct Loading {
    incident: Option<StoredIncident>,
    /// Of a part that holds several, the last one first.
    waiting: Vec<Raw>,
    raw_bytes: u64,
    /// Bytes of parts as they are stored.
    stored: u64,
    runs: u64,
    extras: u64,
    /// Events and windows.
    counts: [u64; 2],
    failed: Option<Error>,
}

impl Loading {
    /// The next one; `None` at the end, and where something is wrong.
    fn next(&mut self, reader: &mut Reader<impl Read>) -> Option<Raw> {
        match self.read(reader) {
            Ok(next) => next,
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    fn read(&mut self, reader: &mut Reader<impl Read>) -> Result<Option<Raw>, Error> {
        while self.waiting.is_empty() {
            let Some(part) = reader.next()? else { return Ok(None) };
            if part.kind == Kind::Incident {
                self.incident = Some(part.message()?);
                continue;
            }
            self.waiting = raws(&part)?;
            self.waiting.reverse();
            self.stored += part.stored;
            self.runs += u64::from(part.kind == Kind::Run);
            if part.kind == Kind::Extras {
                self.extras += self.waiting.len() as u64;
            }
            if self.runs > MOST_RUNS {
                return Err(Error::TooLarge { at: part.at, what: "more than 10,000 runs" });
            }
            if self.extras > MOST_EXTRAS + self.stored / EXTRA_BYTES {
                return Err(Error::TooLarge { at: part.at, what: "more than blocks can lack" });
            }
            if let Some(Raw::Block(Block { count, raw_bytes, .. })) = self.waiting.first() {
                self.counts[usize::from(part.kind == Kind::Windows)] += u64::from(*count);
                self.raw_bytes += u64::from(*raw_bytes);
            }
            if self.raw_bytes > MOST_RAW_BYTES {
                return Err(Error::TooLarge { at: part.at, what: "more than 32 GiB of events" });
            }
        }
        Ok(self.waiting.pop())
    }
}
