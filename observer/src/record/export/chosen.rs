//! A file with what passes filters is of that alone, and says of nothing else that it is missing.

use observer_proto::v1::{self, Event, RecordedRun};
use prost::Message as _;

use super::tests::{header, read};
use super::*;
use crate::event::WallTime;
use crate::filter::Filters;
use crate::record::block::frame;
use crate::record::{self, Filling, Limits, Place, Raw, Recorded, Store};
use crate::wire::timestamp;

const WHOLE: [WallTime; 2] = [WallTime(0), WallTime(u64::MAX)];

fn pod(namespace: &str, cgroup_id: u64) -> v1::Workload {
    v1::Workload {
        kind: v1::WorkloadKind::Pod.into(),
        namespace: namespace.to_owned(),
        name: format!("web-{namespace}"),
        pod: format!("web-{namespace}"),
        cgroup_id,
        ..v1::Workload::default()
    }
}

/// Two runs of ten events, of which the even ones are of `pay` and the others of a cgroup that is known later to be `shop`'s;
/// and a window of both.
fn recorded() -> Store {
    let store = Store::in_memory(Limits { bytes: 1 << 30, age_ns: u64::MAX }).unwrap();
    let mut parts = Vec::new();
    for run in 1..3 {
        let start_time = Some(timestamp(WallTime(run * 1_000)));
        parts.push(Raw::Run(RecordedRun { start_time, last_sequence: 10, ..RecordedRun::default() }));
        let mut events = Filling::new(record::Kind::Events);
        for sequence in 1..=10 {
            let workload = if sequence % 2 == 0 {
                pod("pay", 2)
            } else {
                v1::Workload { cgroup_id: 1, ..Default::default() }
            };
            let at = WallTime(run * 1_000 + sequence);
            let (time, workload) = (Some(timestamp(at)), Some(workload));
            let event = Event { sequence, time, workload, ..Event::default() };
            events.push(sequence, [at, at], &frame(&event.encode_to_vec()));
        }
        parts.push(Raw::Block(events.block()));
        parts.push(Raw::Completed(1, 10, pod("shop", 1).encode_to_vec().into()));
        let workloads = [("shop", 1), ("pay", 2)];
        let window = v1::RecordedWindow {
            start: Some(timestamp(WallTime(run * 1_000))),
            length_ns: 100,
            workloads: workloads
                .map(|(namespace, id)| v1::RecordedWorkload { id, workload: Some(pod(namespace, id)) })
                .into(),
            figures: [0, 1].map(|workload| v1::RecordedFigures { workload, ..Default::default() }).into(),
            ..v1::RecordedWindow::default()
        };
        let mut windows = Filling::new(record::Kind::Windows);
        windows.push(1, [WallTime(run * 1_000); 2], &frame(&window.encode_to_vec()));
        parts.push(Raw::Block(windows.block()));
    }
    store.take_in(parts, WallTime(0)).unwrap();
    store
}

#[test]
fn a_filtered_file_has_what_passes_and_tells_no_gap() {
    let shop = v1::Filter { namespaces: vec!["shop".to_owned()], ..v1::Filter::default() };
    let filters = Filters::of_told(&[shop], &[]).unwrap();
    let store = recorded();
    let mut seen = Seen::new(&filters, WHOLE);
    let header = v1::ExportHeader { filtered: true, ..header() };
    let file = super::store(Vec::new(), &header, None, (&store, WHOLE), |raw| seen.change(raw)).unwrap();
    let loaded = load(file.as_slice()).unwrap().store;
    let (mut place, mut told, mut gaps) = (Place::default(), Vec::new(), Vec::new());
    while let Some(chunk) = loaded.forward(place).unwrap() {
        place = chunk.after;
        for item in chunk.items {
            match item {
                Recorded::Event { sequence, event, .. } => {
                    told.push((sequence, Event::decode(event).unwrap()));
                }
                Recorded::Gap(gap) => gaps.push(gap),
            }
        }
    }
    // Whose they are became known later.
    assert!(told.iter().all(|(_, event)| event.workload == Some(pod("shop", 1))));
    assert_eq!(told.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1, 3, 5, 7, 9].repeat(2));
    assert_eq!(gaps, []);
    let (_, windows) = loaded.windows(Place::default()).unwrap().unwrap();
    let names: Vec<_> = windows[0].workloads.iter().filter_map(|one| one.workload.clone()).collect();
    assert_eq!(names.iter().map(|one| one.namespace.as_str()).collect::<Vec<_>>(), ["shop"]);
    // What is in the blocks is nowhere else.
    assert!(read(&file).unwrap().iter().all(|(kind, _)| *kind != Kind::Extras));
}

#[test]
fn what_is_denied_of_an_owner_is_in_no_window() {
    let pay = v1::Filter { namespaces: vec!["pay".to_owned()], ..v1::Filter::default() };
    let filters = Filters::of_told(&[], &[pay]).unwrap();
    let mut seen = Seen::new(&filters, WHOLE);
    let store = recorded();
    let file = super::store(Vec::new(), &header(), None, (&store, WHOLE), |raw| seen.change(raw)).unwrap();
    let loaded = load(file.as_slice()).unwrap().store;
    assert_eq!(loaded.figures().events, 10);
    let (_, windows) = loaded.windows(Place::default()).unwrap().unwrap();
    assert_eq!(windows[0].figures.len(), 1);
}
