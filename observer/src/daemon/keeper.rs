//! Keeps incidents in the recording, on a thread of its own: the event loop waits for no disk.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use observer_proto::v1::{Incident, IncidentState, Snapshot, StoredIncident};
use prost_types::Timestamp;

use crate::event::WallTime;
use crate::record::{Reader, Store, StoreError};
use crate::serve::{Book, Opening};

/// What may wait for the thread.
const QUEUED: usize = 256;
/// How often what could not be stored is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Of these, so many are remembered.
const PENDING: usize = 64;
/// What an incident of a former run is told to lack.
const CUT_SHORT: &str = "the daemon ended before the incident was over";

/// What is to be done.
enum Order {
    Put(Box<(Incident, Option<Opening>)>),
    Delete(String),
    Stop,
}

/// The event loop's end.
#[derive(Debug)]
pub(super) struct Keeper {
    orders: SyncSender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an order")
    }
}

impl Keeper {
    /// Starts the thread, which makes known what is stored as soon as it can be read.
    pub(super) fn start(reader: Reader, book: Book) -> std::io::Result<Self> {
        let (orders, received) = sync_channel(QUEUED);
        let thread = thread::Builder::new().name("incidents".to_owned()).spawn(move || {
            let mut keeping =
                Keeping { reader, book, loaded: false, pending: BTreeMap::new(), failed: false };
            keeping.run(&received);
        })?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// An incident is so now; how all stood when it was opened comes with it once.
    pub(super) fn put(&self, incident: Incident, opening: Option<Opening>) {
        self.send(Order::Put(Box::new((incident, opening))));
    }

    /// An incident is deleted.
    pub(super) fn delete(&self, id: String) {
        self.send(Order::Delete(id));
    }

    /// Has all stored, and waits for that.
    pub(super) fn stop(&mut self) {
        let _thread_is_there = self.orders.send(Order::Stop).is_ok();
        if let Some(thread) = self.thread.take() {
            let _it_said_why = thread.join().is_err();
        }
    }

    fn send(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            log::warn!("an incident is kept in memory only: too many wait to be recorded");
        }
    }
}

/// The thread's state.
struct Keeping {
    reader: Reader,
    book: Book,
    /// What is stored is known.
    loaded: bool,
    /// What could not be stored yet; `None`: it is to be deleted.
    pending: BTreeMap<String, Option<StoredIncident>>,
    failed: bool,
}

impl Keeping {
    fn run(&mut self, orders: &Receiver<Order>) {
        loop {
            match orders.recv_timeout(AGAIN) {
                Ok(Order::Put(put)) => {
                    let (incident, opening) = *put;
                    self.put(incident, opening.map(|opening| opening.snapshot()));
                }
                Ok(Order::Delete(id)) => drop(self.pending.insert(id, None)),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return self.flush(),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.flush();
        }
    }

    fn put(&mut self, incident: Incident, opening: Option<Snapshot>) {
        let id = incident.id.clone();
        let before = match self.pending.remove(&id) {
            Some(Some(before)) => before.opening,
            Some(None) | None => None,
        };
        let opening = opening.or(before);
        if self.pending.len() < PENDING {
            self.pending.insert(id, Some(StoredIncident { incident: Some(incident), opening }));
        }
    }

    fn flush(&mut self) {
        if self.loaded && self.pending.is_empty() {
            return;
        }
        let Some(store) = self.reader.store() else { return };
        let stored = self.store_all(&store);
        match stored {
            Ok(()) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true;
                log::error!("an incident cannot be recorded, and is kept in memory meanwhile: {error}");
            }
            Err(_again) => {}
        }
    }

    /// What is stored no more is not known any more: else it could be listed and not be read.
    fn forget(&self, deleted: &[String]) {
        for id in deleted {
            log::info!("incident {id} had to make room for newer ones");
            self.book.delete(id);
        }
    }

    fn store_all(&mut self, store: &Store) -> Result<(), StoreError> {
        if !self.loaded {
            load(store, &self.book)?;
            self.loaded = true;
        }
        while let Some((id, stored)) = self.pending.pop_first() {
            let result = match &stored {
                Some(stored) => put(store, stored).map(|deleted| self.forget(&deleted)),
                None => store.delete_incident(&id).map(|_was_there| ()),
            };
            if let Err(error) = result {
                self.pending.insert(id, stored);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Stores one, and has its time kept.
/// Tells which ones were deleted for it.
fn put(store: &Store, stored: &StoredIncident) -> Result<Vec<String>, StoreError> {
    let deleted = store.put_incident(stored)?;
    let Some(incident) = &stored.incident else { return Ok(deleted) };
    let of = |time: &Option<Timestamp>| time.as_ref().map_or(WallTime::default(), wall_time);
    store.keep(&incident.id, of(&incident.window_start), of(&incident.window_end))?;
    Ok(deleted)
}

/// Makes known what is stored. What was open when a former run ended is closed with what is known of it.
fn load(store: &Store, book: &Book) -> Result<(), StoreError> {
    let mut known = Vec::new();
    for mut incident in store.incidents()? {
        if book.get(&incident.id).is_some() {
            continue;
        }
        if incident.state() == IncidentState::Open {
            close(&mut incident);
            put(store, &StoredIncident { incident: Some(incident.clone()), opening: None })?;
        }
        known.push(incident);
    }
    book.load(known);
    Ok(())
}

fn close(incident: &mut Incident) {
    incident.set_state(IncidentState::Closed);
    incident.close_time = incident.window_end;
    if incident.incomplete.is_empty() {
        CUT_SHORT.clone_into(&mut incident.incomplete);
    }
}

fn wall_time(time: &Timestamp) -> WallTime {
    let (seconds, nanos) = (u64::try_from(time.seconds).unwrap_or(0), u64::try_from(time.nanos).unwrap_or(0));
    WallTime(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Limits;

    #[test]
    fn what_was_open_when_the_daemon_ended_is_closed() {
        let store = Store::in_memory(Limits { bytes: 64 << 20, age_ns: u64::MAX }).unwrap();
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let incident = Incident {
            id: "20261128-112027-1".to_owned(),
            state: IncidentState::Open.into(),
            open_time: time(1_000),
            window_start: time(700),
            window_end: time(1_060),
            ..Incident::default()
        };
        put(&store, &StoredIncident { incident: Some(incident.clone()), opening: None }).unwrap();
        let book = Book::default();
        load(&store, &book).unwrap();
        let known = book.get(&incident.id).unwrap();
        assert_eq!((known.state(), known.close_time), (IncidentState::Closed, time(1_060)));
        assert_eq!(known.incomplete, CUT_SHORT);
        let stored = store.incident(&incident.id).unwrap().unwrap().incident.unwrap();
        assert_eq!(&stored, known.as_ref());
        assert_eq!(book.take_loaded(), ["20261128-112027-1"]);
    }
}
