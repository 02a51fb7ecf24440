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

/// A snapshot that does not compress.
fn large(seed: u64) -> Snapshot {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let pod = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 90) as u8)
    });
    let workload = v1::Workload { pod: pod.take(40_000).collect(), ..v1::Workload::default() };
    let status = v1::WorkloadStatus { workload: Some(workload), ..v1::WorkloadStatus::default() };
    Snapshot { workloads: vec![status], ..Snapshot::default() }
}

#[test]
fn snapshots_make_room_for_newer_ones_and_leave_events_alone() {
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let store = Store::in_memory(limits).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    for id in 10..90 {
        let one = incident(&id.to_string(), IncidentState::Closed);
        store.put_incident(&StoredIncident { opening: Some(large(id)), ..one }).unwrap();
        store.keep(&id.to_string(), WallTime(1), WallTime(2)).unwrap();
    }
    store.commit(run, &batch([block(1..=20)]), WallTime(20 * S)).unwrap();
    assert_eq!(forward(&store, Place::default()).len(), 20);
    assert!(store.state().snapshots <= limits.usable() / 8, "{:?}", store.state());
    let told = |id: &str| store.incident(id).unwrap().unwrap();
    assert_eq!((told("10").opening, told("89").opening), (None, Some(large(89))));
    assert!(told("10").incident.unwrap().incomplete.contains("how all stood"));
    assert_eq!(told("89").incident.unwrap().incomplete, "");
}

#[test]
fn the_oldest_closed_ones_are_deleted_where_there_are_too_many() {
    let store = Store::in_memory(Limits::default()).unwrap();
    let mut deleted = Vec::new();
    for id in 0..MOST_INCIDENTS + 2 {
        let state = if id == 0 { IncidentState::Open } else { IncidentState::Closed };
        let one = incident(&format!("{id:04}"), state);
        deleted.extend(store.put_incident(&StoredIncident { opening: None, ..one }).unwrap());
    }
    assert_eq!(deleted, ["0001", "0002"]);
    assert_eq!(store.incidents().unwrap().len(), MOST_INCIDENTS);
    assert!(store.incident("0001").unwrap().is_none() && store.incident("0000").unwrap().is_some());
}

#[test]
fn what_had_to_make_room_is_not_kept_again() {
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let store = Store::in_memory(limits).unwrap();
    let run = store.begin(WallTime(5)).unwrap();
    let one = incident("a", IncidentState::Open);
    store.put_incident(&one).unwrap();
    store.keep("a", WallTime(S), WallTime(5_000 * S)).unwrap();
    for first in (1..4_000).step_by(20) {
        store.commit(run, &batch([block(first..=first + 19)]), WallTime((first + 20) * S)).unwrap();
    }
    let incomplete = || store.incident("a").unwrap().unwrap().incident.unwrap().incomplete;
    assert!(incomplete().contains("had to make room"), "{}", incomplete());
    store.put_incident(&one).unwrap();
    store.keep("a", WallTime(S), WallTime(9_000 * S)).unwrap();
    assert!(incomplete().contains("had to make room"), "{}", incomplete());
    store
        .read(|read| {
            let kept = super::super::incidents::kept(&read.open_table(super::super::tables::KEPT)?)?;
            assert_eq!(kept[0].until, WallTime(0));
            Ok(())
        })
        .unwrap();
}

#[test]
fn incidents_and_events_are_written_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder, Limits::default());
    let run = store.begin(WallTime(5)).unwrap();
    let snapshot = incident("a", IncidentState::Open);
    std::thread::scope(|threads| {
        threads.spawn(|| (0..300).for_each(|_| drop(store.put_incident(&snapshot).unwrap())));
        // The same block again and again, longer each time.
        (1..=300).for_each(|last| store.commit(run, &batch([block(1..=last)]), WallTime(S)).unwrap());
    });
    let told = store.figures();
    drop(store);
    let again = opened(&folder, Limits::default()).figures();
    assert_eq!((told.events, told.used_bytes), (300, again.used_bytes));
    assert_eq!(forward(&opened(&folder, Limits::default()), Place::default()).len(), 300);
}
