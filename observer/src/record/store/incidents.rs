//! Incidents, and the time that is kept for them.

use observer_proto::v1::{Incident, IncidentState, Snapshot, StoredIncident};
use prost::Message as _;
use redb::{ReadableTable, Table, WriteTransaction};

use super::slices;
use super::tables::{INCIDENTS, KEPT, KeptValue, SLICES};
use super::{Limits, Result, Store, evict};
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

/// So many incidents are stored; beyond, the oldest ones that are closed are deleted.
pub(crate) const MOST_INCIDENTS: usize = 512;
/// What is kept for an incident whose time had to make room, which no block is within.
const LET_GO: (u64, u64) = (1, 0);
/// What is said of an incident whose snapshot had to make room.
const WITHOUT_SNAPSHOT: &str = "how all stood when it was opened had to make room for newer incidents";
/// What is said of an incident whose time had to make room.
const INCOMPLETE: &str = "the time around it had to make room for newer incidents";

impl Store {
    /// Stores an incident, in the place of the one with its id. Its snapshot is stored where it has one; a former one stays,
    /// and so does what was said to be missing. Tells which ones were deleted to make room.
    pub(crate) fn put_incident(&self, stored: &StoredIncident) -> Result<Vec<String>> {
        let StoredIncident { incident, opening } = stored;
        let Some(incident) = incident else { return Ok(Vec::new()) };
        self.write(|write, state| {
            let mut told = incident.clone();
            {
                let mut incidents = write.open_table(INCIDENTS)?;
                let before = incidents.get(told.id.as_str())?.map(|before| decode(before.value()));
                if let Some(before) = before.filter(|_| told.incomplete.is_empty()) {
                    told.incomplete = before.incomplete;
                }
                incidents.insert(told.id.as_str(), told.encode_to_vec().as_slice())?;
            }
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
            let deleted = delete_oldest(write, &self.0.limits, &incident.id)?;
            let_snapshots_go(write, &self.0.limits)?;
            evict::make_room(write, state, &self.0.limits, None)?;
            Ok(deleted)
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

    /// The incident with that id, without its snapshot.
    pub(crate) fn incident_alone(&self, id: &str) -> Result<Option<Incident>> {
        self.read(|read| Ok(read.open_table(INCIDENTS)?.get(id)?.map(|told| decode(told.value()))))
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
        self.write(|write, _| delete(write, id))
    }

    /// Keeps what is recorded of a time for as long as that incident is there, or until it is kept from another time on. Of
    /// one that had to make room nothing is kept again.
    pub(crate) fn keep(&self, id: &str, since: WallTime, until: WallTime) -> Result<()> {
        self.write(|write, _| {
            let mut kept = write.open_table(KEPT)?;
            let before: KeptValue = kept.get(id)?.map(|value| value.value()).unwrap_or_default();
            let (begun, ended, blob, bytes, raw_bytes) = before;
            if (begun, ended) == LET_GO {
                return Ok(());
            }
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
        table.insert(of.id.as_str(), (LET_GO.0, LET_GO.1, blob, bytes, raw_bytes))?;
    }
    Ok(Some(of.id.clone()))
}

fn delete(write: &WriteTransaction, id: &str) -> Result<bool> {
    let there = write.open_table(INCIDENTS)?.remove(id)?.is_some();
    let kept = write.open_table(KEPT)?.remove(id)?.map(|value| value.value());
    if let Some((_, _, blob, bytes, _)) = kept {
        slices::remove(&mut write.open_table(SLICES)?, blob, bytes as usize)?;
    }
    Ok(there)
}

/// Deletes the oldest closed ones while there are too many, or they take too much; never the one that is just stored.
fn delete_oldest(write: &WriteTransaction, limits: &Limits, stored: &str) -> Result<Vec<String>> {
    let (mut count, mut bytes, mut oldest) = (0, 0, Vec::new());
    for row in write.open_table(INCIDENTS)?.iter()? {
        let (id, told) = row?;
        count += 1;
        bytes += told.value().len() as u64;
        oldest.push((id.value().to_owned(), told.value().len() as u64));
    }
    let mut deleted = Vec::new();
    for (id, length) in oldest {
        if count <= MOST_INCIDENTS && bytes <= limits.usable() / 16 {
            break;
        }
        let open = is_open(write, &id)?;
        if id != stored && !open {
            delete(write, &id)?;
            (count, bytes) = (count - 1, bytes - length);
            deleted.push(id);
        }
    }
    Ok(deleted)
}

/// Snapshots take an eighth: beyond, those of the oldest closed ones go, then those of open ones.
fn let_snapshots_go(write: &WriteTransaction, limits: &Limits) -> Result<()> {
    let all = kept(&write.open_table(KEPT)?)?;
    let mut cost: u64 = all.iter().map(|one| one.cost).sum();
    for open in [false, true] {
        for one in all.iter().filter(|one| one.cost > 0) {
            if cost <= limits.usable() / 8 {
                return Ok(());
            }
            if is_open(write, &one.id)? == open {
                let_snapshot_go(write, &one.id)?;
                cost -= one.cost;
            }
        }
    }
    Ok(())
}

fn let_snapshot_go(write: &WriteTransaction, id: &str) -> Result<()> {
    let mut table = write.open_table(KEPT)?;
    let value = table.get(id)?.map(|value| value.value());
    let Some((since, until, blob, bytes, _)) = value else { return Ok(()) };
    slices::remove(&mut write.open_table(SLICES)?, blob, bytes as usize)?;
    table.insert(id, (since, until, 0, 0, 0))?;
    let mut incidents = write.open_table(INCIDENTS)?;
    let told = incidents.get(id)?.map(|told| decode(told.value()));
    if let Some(mut told) = told.filter(|told| told.incomplete.is_empty()) {
        WITHOUT_SNAPSHOT.clone_into(&mut told.incomplete);
        incidents.insert(id, told.encode_to_vec().as_slice())?;
    }
    Ok(())
}

fn is_open(write: &WriteTransaction, id: &str) -> Result<bool> {
    let told = write.open_table(INCIDENTS)?.get(id)?.map(|told| decode(told.value()));
    Ok(told.is_some_and(|told| told.state() == IncidentState::Open))
}
