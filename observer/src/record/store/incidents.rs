//! Incidents, and the time that is kept for them.

use observer_proto::v1::{Incident, IncidentState, Snapshot, StoredIncident};
use prost::Message as _;
use redb::{ReadableTable, Table, WriteTransaction};

use super::slices;
use super::tables::{INCIDENTS, KEPT, KeptValue, SLICES};
use super::{Result, Store};
use crate::event::WallTime;
use crate::record::block::decompress;

/// The time that is kept for an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) since: WallTime,
    pub(super) until: WallTime,
    /// What its snapshot takes.
    pub(super) cost: u64,
}

/// What is said of an incident whose time had to make room.
const INCOMPLETE: &str = "the time around it had to make room for newer incidents";

impl Store {
    /// Stores an incident, in the place of the one with its id. Its snapshot is stored where it has one; a former one stays.
    pub(crate) fn put_incident(&self, stored: &StoredIncident) -> Result<()> {
        let StoredIncident { incident, opening } = stored;
        let Some(incident) = incident else { return Ok(()) };
        self.write(|write, state| {
            write.open_table(INCIDENTS)?.insert(incident.id.as_str(), incident.encode_to_vec().as_slice())?;
            if let Some(opening) = opening {
                let raw = opening.encode_to_vec();
                let data = lz4_flex::block::compress(&raw);
                let blob = state.next_blob();
                let (mut kept, mut slices) = (write.open_table(KEPT)?, write.open_table(SLICES)?);
                let before = kept.get(incident.id.as_str())?.map(|value| value.value());
                let (since, until, old, old_bytes, _) = before.unwrap_or_default();
                if old_bytes > 0 {
                    slices::remove(&mut slices, old, old_bytes as usize)?;
                }
                slices::insert(&mut slices, blob, &data)?;
                let value = (since, until, blob, data.len() as u32, raw.len() as u32);
                kept.insert(incident.id.as_str(), value)?;
            }
            Ok(())
        })
    }

    /// The incident with that id.
    pub(crate) fn incident(&self, id: &str) -> Result<Option<StoredIncident>> {
        self.read(|read| {
            let table = read.open_table(INCIDENTS)?;
            let Some(told) = table.get(id)? else { return Ok(None) };
            let incident = Incident::decode(told.value()).ok();
            let kept = read.open_table(KEPT)?.get(id)?.map(|value| value.value());
            let opening = match kept.filter(|(.., bytes, _)| *bytes > 0) {
                None => None,
                Some((_, _, blob, bytes, raw_bytes)) => {
                    let data = slices::read(&read.open_table(SLICES)?, blob, bytes as usize)?;
                    Snapshot::decode(decompress(&data, raw_bytes)?).ok()
                }
            };
            Ok(Some(StoredIncident { incident, opening }))
        })
    }

    /// All incidents, without their snapshots, in the order of their ids.
    pub(crate) fn incidents(&self) -> Result<Vec<Incident>> {
        self.read(|read| {
            let table = read.open_table(INCIDENTS)?;
            table.iter()?.map(|one| Ok(one.map(|(_, told)| decode(told.value()))?)).collect()
        })
    }

    /// Deletes one, with what is kept for it; tells whether it was there.
    pub(crate) fn delete_incident(&self, id: &str) -> Result<bool> {
        self.write(|write, _| {
            let there = write.open_table(INCIDENTS)?.remove(id)?.is_some();
            let kept = write.open_table(KEPT)?.remove(id)?.map(|value| value.value());
            if let Some((_, _, blob, bytes, _)) = kept {
                slices::remove(&mut write.open_table(SLICES)?, blob, bytes as usize)?;
            }
            Ok(there)
        })
    }

    /// Keeps what is recorded of a time for as long as that incident is there, or until it is kept from another time on.
    pub(crate) fn keep(&self, id: &str, since: WallTime, until: WallTime) -> Result<()> {
        self.write(|write, _| {
            let mut kept = write.open_table(KEPT)?;
            let before: KeptValue = kept.get(id)?.map(|value| value.value()).unwrap_or_default();
            let (_, _, blob, bytes, raw_bytes) = before;
            kept.insert(id, (since.0, until.0, blob, bytes, raw_bytes))?;
            Ok(())
        })
    }
}

fn decode(told: &[u8]) -> Incident {
    Incident::decode(told).unwrap_or_default()
}

/// All times that are kept.
pub(super) fn kept(table: &impl ReadableTable<&'static str, KeptValue>) -> Result<Vec<Kept>> {
    let of = |(id, value): (&str, KeptValue)| {
        let (since, until, _, bytes, _) = value;
        let cost = slices::cost(bytes as usize);
        Kept { id: id.to_owned(), since: WallTime(since), until: WallTime(until), cost }
    };
    table.iter()?.map(|one| Ok(one.map(|(id, value)| of((id.value(), value.value())))?)).collect()
}

/// Keeps the time of the oldest closed incident no more; of an open one, where there is no other. Tells whose.
pub(super) fn let_go(write: &WriteTransaction, kept: &[Kept]) -> Result<Option<String>> {
    let mut incidents = write.open_table(INCIDENTS)?;
    let mut oldest: Option<(bool, WallTime, Incident, &Kept)> = None;
    for one in kept.iter().filter(|one| one.until.0 > 0) {
        let told = incidents.get(one.id.as_str())?.map(|told| decode(told.value())).unwrap_or_default();
        let open = told.state() == IncidentState::Open;
        if oldest.as_ref().is_none_or(|(other, until, ..)| (open, one.until) < (*other, *until)) {
            oldest = Some((open, one.until, told, one));
        }
    }
    let Some((_, _, mut incident, of)) = oldest else { return Ok(None) };
    if !incident.id.is_empty() {
        INCOMPLETE.clone_into(&mut incident.incomplete);
        incidents.insert(of.id.as_str(), incident.encode_to_vec().as_slice())?;
    }
    let mut table: Table<'_, &str, KeptValue> = write.open_table(KEPT)?;
    let value = table.get(of.id.as_str())?.map(|value| value.value());
    if let Some((_, _, blob, bytes, raw_bytes)) = value {
        table.insert(of.id.as_str(), (0, 0, blob, bytes, raw_bytes))?;
    }
    Ok(Some(of.id.clone()))
}
