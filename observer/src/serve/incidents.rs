//! The incidents that are known: read by clients without the event loop, and told to those who watch.

mod opening;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use observer_proto::{served, v1};
use prost::Message as _;
use tokio::sync::broadcast;

pub(crate) use self::opening::{Connections, Opening, Standing};

/// Incidents that are known at a time, as many as are stored; beyond, the oldest ones that are closed are forgotten here.
const MOST: usize = crate::record::MOST_INCIDENTS;
/// Changes that may wait for one who watches.
const CHANGES: usize = 256;
/// Snapshots that are kept in memory where nothing is recorded.
const SNAPSHOTS: usize = 4;

/// All incidents; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Book(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changes: broadcast::Sender<Change>,
}

#[derive(Debug, Default)]
struct State {
    incidents: BTreeMap<String, Arc<v1::Incident>>,
    /// How all stood when the newest ones were opened.
    openings: Vec<(String, Opening)>,
    stopped: bool,
    /// Ids that became known from what is stored, since somebody asked.
    loaded: Vec<String>,
}

/// Something changed.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// An incident is so now.
    Put(Arc<v1::Incident>),
    /// It was deleted.
    Deleted(Arc<v1::Incident>),
    /// The daemon stops.
    Stopping,
}

impl Default for Book {
    fn default() -> Self {
        let (changes, _nobody) = broadcast::channel(CHANGES);
        Self(Arc::new(Inner { state: Mutex::default(), changes }))
    }
}

impl Book {
    /// An incident is so now.
    pub(crate) fn put(&self, incident: &served::Incident) -> Arc<v1::Incident> {
        let incident = Arc::new(transcoded(incident));
        self.put_told(Arc::clone(&incident));
        incident
    }

    /// The same, as it was told.
    pub(crate) fn put_told(&self, incident: Arc<v1::Incident>) {
        let mut state = self.lock();
        state.incidents.insert(incident.id.clone(), Arc::clone(&incident));
        if state.incidents.len() > MOST {
            let is_closed = |one: &&Arc<v1::Incident>| one.state() == v1::IncidentState::Closed;
            let oldest = state.incidents.values().find(is_closed).map(|one| one.id.clone());
            oldest.and_then(|id| state.incidents.remove(&id));
        }
        drop(state);
        // Whether anybody watches does not matter.
        let _nobody = self.0.changes.send(Change::Put(incident)).is_err();
    }

    /// These are stored, and were not known.
    pub(crate) fn load(&self, incidents: Vec<v1::Incident>) {
        let mut state = self.lock();
        state.loaded.extend(incidents.iter().map(|one| one.id.clone()));
        let known = incidents.into_iter().map(|one| (one.id.clone(), Arc::new(one)));
        state.incidents.extend(known);
        while state.incidents.len() > MOST {
            state.incidents.pop_first();
        }
    }

    /// The ids of those, since the last call.
    pub(crate) fn take_loaded(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().loaded)
    }

    /// How all stood when an incident was opened.
    pub(crate) fn put_opening(&self, id: &str, opening: Opening) {
        let mut state = self.lock();
        if state.openings.len() >= SNAPSHOTS {
            state.openings.remove(0);
        }
        state.openings.push((id.to_owned(), opening));
    }

    /// The incident with that id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<v1::Incident>> {
        self.lock().incidents.get(id).cloned()
    }

    /// How all stood when that one was opened, where that is in memory.
    pub(crate) fn opening(&self, id: &str) -> Option<v1::Snapshot> {
        let opening =
            self.lock().openings.iter().find(|(of, _)| of == id).map(|(_, opening)| opening.clone());
        opening.map(|opening| opening.snapshot())
    }

    /// All of them, the newest first.
    pub(crate) fn all(&self) -> Vec<Arc<v1::Incident>> {
        self.lock().incidents.values().rev().cloned().collect()
    }

    /// Deletes one, and gives it.
    pub(crate) fn delete(&self, id: &str) -> Option<Arc<v1::Incident>> {
        let mut state = self.lock();
        let gone = state.incidents.remove(id)?;
        state.openings.retain(|(of, _)| of != id);
        drop(state);
        let _nobody = self.0.changes.send(Change::Deleted(Arc::clone(&gone))).is_err();
        Some(gone)
    }

    /// Those that are open, and what changes from now on.
    pub(crate) fn watch(&self) -> (Vec<Arc<v1::Incident>>, broadcast::Receiver<Change>) {
        let state = self.lock();
        let changes = self.0.changes.subscribe();
        if state.stopped {
            let _nobody = self.0.changes.send(Change::Stopping).is_err();
        }
        let is_open = |one: &&Arc<v1::Incident>| one.state() == v1::IncidentState::Open;
        (state.incidents.values().filter(is_open).cloned().collect(), changes)
    }

    /// Ends what is watched.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        let _nobody = self.0.changes.send(Change::Stopping).is_err();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked; if something did, what is in there is whole all the same.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As clients have it: the same bytes, read by the other code.
fn transcoded(incident: &served::Incident) -> v1::Incident {
    v1::Incident::decode(incident.encode_to_vec().as_slice()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(id: &str, state: v1::IncidentState) -> Arc<v1::Incident> {
        Arc::new(v1::Incident { id: id.to_owned(), state: state.into(), ..v1::Incident::default() })
    }

    #[tokio::test]
    async fn those_who_watch_hear_of_all_that_changes() {
        let book = Book::default();
        book.put_told(incident("1", v1::IncidentState::Open));
        book.put_told(incident("0", v1::IncidentState::Closed));
        let (open, mut changes) = book.watch();
        assert_eq!(open.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["1"]);
        book.put_told(incident("2", v1::IncidentState::Open));
        book.delete("1").unwrap();
        book.stop();
        assert!(matches!(changes.recv().await, Ok(Change::Put(one)) if one.id == "2"));
        assert!(matches!(changes.recv().await, Ok(Change::Deleted(one)) if one.id == "1"));
        assert!(matches!(changes.recv().await, Ok(Change::Stopping)));
        assert_eq!(book.all().iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["2", "0"]);
    }

    #[test]
    fn the_oldest_that_are_closed_make_room() {
        let book = Book::default();
        book.put_told(incident("0000", v1::IncidentState::Open));
        for id in 1..=MOST {
            book.put_told(incident(&format!("{id:04}"), v1::IncidentState::Closed));
        }
        assert_eq!(book.all().len(), MOST);
        assert!(book.get("0000").is_some() && book.get("0001").is_none());
    }
}
