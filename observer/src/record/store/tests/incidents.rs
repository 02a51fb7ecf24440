//! Incidents, and what is kept for them.

use observer_proto::v1::{Incident, IncidentState, Snapshot, StoredIncident};

use super::*;

fn incident(id: &str, state: IncidentState) -> StoredIncident {
    let incident = Incident { id: id.to_owned(), state: state.into(), ..Incident::default() };
    let opening = Some(Snapshot { connections_total: 7, ..Snapshot::default() });
    StoredIncident { incident: Some(incident), opening }
}

#[test]
fn they_are_put_read_and_deleted() {
    let store = Store::in_memory(Limits::default()).unwrap();
    assert_eq!(store.incident("a").unwrap(), None);
    let mut first = incident("a", IncidentState::Open);
    store.put_incident(&first).unwrap();
    store.put_incident(&incident("b", IncidentState::Closed)).unwrap();
    assert_eq!(store.incident("a").unwrap(), Some(first.clone()));
    // The snapshot stays.
    first.incident.as_mut().unwrap().title = "title".to_owned();
    store.put_incident(&StoredIncident { opening: None, ..first.clone() }).unwrap();
    assert_eq!(store.incident("a").unwrap(), Some(first));
    let ids: Vec<String> = store.incidents().unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(ids, ["a", "b"]);
    assert!(store.delete_incident("a").unwrap() && !store.delete_incident("a").unwrap());
    assert_eq!(store.incident("a").unwrap(), None);
}

#[test]
fn their_time_is_kept_and_what_goes_around_it_is_told() {
    let store = Store::in_memory(Limits { age_ns: 20 * S, ..Limits::default() }).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    store.put_incident(&incident("a", IncidentState::Closed)).unwrap();
    store.keep("a", WallTime(4 * S), WallTime(5 * S)).unwrap();
    let blocks = [block(1..=3), block(4..=6), block(7..=9), block(10..=30)];
    store.commit(run, &batch(blocks), WallTime(31 * S)).unwrap();
    let told = forward(&store, Place::default());
    assert_eq!(told[..5], ["1.4", "1.5", "1.6", "1:MadeRoom 3", "1.10"], "{told:?}");
    store.delete_incident("a").unwrap();
    store.commit(run, &Batch { last_sequence: 30, ..Batch::default() }, WallTime(31 * S)).unwrap();
    assert_eq!(forward(&store, Place::default())[0], "1.10");
}

#[test]
fn they_keep_half_at_most() {
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let store = Store::in_memory(limits).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    for (place, id) in (0..).zip(["a", "b", "c", "d"]) {
        let state = if id == "a" { IncidentState::Open } else { IncidentState::Closed };
        store.put_incident(&incident(id, state)).unwrap();
        store.keep(id, WallTime((1 + place * 1_000) * S), WallTime((1_000 + place * 1_000) * S)).unwrap();
    }
    // Each block is a page, and 200 pages are more than half.
    for first in (1..4_000).step_by(20) {
        store.commit(run, &batch([block(first..=first + 19)]), WallTime((first + 20) * S)).unwrap();
    }
    let incomplete: Vec<_> = store
        .incidents()
        .unwrap()
        .into_iter()
        .filter(|one| !one.incomplete.is_empty())
        .map(|one| one.id)
        .collect();
    assert_eq!(incomplete, ["b", "c"]);
    let told = forward(&store, Place::default());
    assert!(told.contains(&"1.1000".to_owned()) && told.contains(&"1.3999".to_owned()));
}
