//! Stories of recordings (`observer events -o json`, made by `tests/incidents.rs`), to the letter; and single rules.

use std::fmt::Write as _;

use expect_test::{ExpectFile, expect_file};
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{Edge, Firing, Incident, TimelineKind, TriggerKind, WatchEventsResponse, Workload};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::Timestamp;

use super::*;

/// Messages of JSON lines.
fn read<M: Message + Default>(file: &str, name: &str) -> Vec<M> {
    let pool = DescriptorPool::decode(v1::FILE_DESCRIPTOR_SET).unwrap();
    let descriptor = pool.get_message_by_name(&format!("observer.v1.{name}")).unwrap();
    let path = format!("{}/src/story/recordings/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let message = |line: &str| {
        let mut text = serde_json::Deserializer::from_str(line);
        let message = DynamicMessage::deserialize(descriptor.clone(), &mut text).unwrap();
        M::decode(message.encode_to_vec().as_slice()).unwrap()
    };
    text.lines().map(message).collect()
}

const START: Timestamp = Timestamp { seconds: 1, nanos: 0 };

fn events(name: &str) -> Vec<v1::Event> {
    let all: Vec<WatchEventsResponse> = read(&format!("{name}.events"), "WatchEventsResponse");
    let event = |message: WatchEventsResponse| match message.payload {
        Some(Payload::Event(event)) => Some(event),
        _ => None,
    };
    all.into_iter().filter_map(event).collect()
}

fn told(events: &[v1::Event]) -> impl Iterator<Item = Told> + '_ {
    events.iter().map(|event| Told::Event(START, Box::new(event.clone())))
}

fn text(story: &Story, incident: &Incident) -> String {
    let opened = incident.open_time.as_ref().map_or(0, nanos);
    let mut text = format!("{}\n", incident.title);
    for entry in &story.timeline {
        let since = (nanos(&entry.time.unwrap()) - opened) as f64 / 1e9;
        let kind = entry.kind().as_str_name().trim_start_matches("TIMELINE_KIND_");
        let (words, events) = (&entry.text, entry.event_count);
        writeln!(text, "{since:+8.3} {kind:<11} {words} ({events} events)").unwrap();
    }
    text
}

fn is_golden(name: &str, expected: &ExpectFile) -> Story {
    let incident: Incident = read(&format!("{name}.incident"), "Incident").remove(0);
    let events = events(name);
    let story = tell(&incident, told(&events), std::iter::empty());
    expected.assert_eq(&text(&story, &incident));
    // The order in which the daemon told is no other than that of time.
    let mut last = i64::MIN;
    for entry in &story.timeline {
        let time = nanos(&entry.time.unwrap());
        assert!(time >= last, "{entry:?}");
        last = time;
    }
    story
}

#[test]
fn an_oom_crash_loop() {
    is_golden("oomloop", &expect_file!["recordings/oomloop.timeline.txt"]);
}

#[test]
fn a_server_that_stops_accepting() {
    is_golden("stuck", &expect_file!["recordings/stuck.timeline.txt"]);
}

#[test]
fn a_bad_link() {
    is_golden("link", &expect_file!["recordings/link.timeline.txt"]);
}

#[test]
fn somebody_who_entered() {
    is_golden("entered", &expect_file!["recordings/entered.timeline.txt"]);
}

#[test]
fn a_clock_that_is_set_back_bends_no_story() {
    let incident: Incident = read("oomloop.incident", "Incident").remove(0);
    let all = events("oomloop");
    let straight = tell(&incident, told(&all), std::iter::empty());
    let mut bent = all.clone();
    let kinds = |story: &Story| story.timeline.iter().map(|entry| entry.kind).collect::<Vec<_>>();
    // An hour back, just before the second run of the container.
    let first =
        all.iter().position(|event| matches!(event.detail, Some(v1::event::Detail::OomKill(_)))).unwrap();
    for event in &mut bent[first + 40..] {
        event.time.as_mut().unwrap().seconds -= 3_600;
    }
    let bent = tell(&incident, told(&bent), std::iter::empty());
    assert_eq!(kinds(&straight), kinds(&bent), "{}", text(&bent, &incident));
}

#[test]
fn a_storm_is_a_few_lines() {
    let incident: Incident = read("oomloop.incident", "Incident").remove(0);
    let all = events("oomloop");
    let attempt =
        all.iter().find(|event| matches!(event.detail, Some(v1::event::Detail::TcpConnectPending(_))));
    let stop = all.iter().find(|event| matches!(event.detail, Some(v1::event::Detail::ContainerStop(_))));
    let mut storm = Vec::new();
    for number in 0..30_000_u64 {
        let mut event = if number % 100 == 0 { stop } else { attempt }.unwrap().clone();
        event.sequence = number;
        event.time = Some(Timestamp { seconds: 1_700_000_000 + number as i64 / 100, nanos: 0 });
        storm.push(event);
    }
    let story = tell(&incident, told(&storm), std::iter::empty());
    assert!(story.timeline.len() <= 60, "{}", story.timeline.len());
    let waits = story.timeline.iter().find(|entry| entry.text.contains("connects wait in vain")).unwrap();
    assert_eq!((waits.event_count, waits.events.len()), (29_700, 100));
    let likewise = story.timeline.iter().find(|entry| entry.text.contains("more runs of")).unwrap();
    assert!(likewise.text.contains("295 more runs"), "{}", likewise.text);
}

#[test]
fn gaps_and_triggers_are_told_in_their_places() {
    let pod =
        Workload { namespace: "shop".into(), pod: "web".into(), pod_uid: "u".into(), ..Workload::default() };
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let firing = Firing {
        kind: TriggerKind::Latency.into(),
        first_time: at(100),
        last_time: at(160),
        count: 6,
        reason: "it is slow".to_owned(),
        workload: Some(pod.clone()),
        edge: Some(Edge::default()),
        evidence: Vec::new(),
    };
    let incident =
        Incident { firings: vec![firing], workloads: vec![pod], open_time: at(100), ..Incident::default() };
    let gap = Told::Gap { since: at(50), until: at(80), words: "the daemon did not run".to_owned() };
    let story = tell(&incident, std::iter::once(gap), std::iter::empty());
    let lines: Vec<_> = story.timeline.iter().map(|entry| (entry.kind(), entry.text.as_str())).collect();
    let expected = [
        (TimelineKind::Gap, "what happened for 30 s from here on is not recorded: the daemon did not run"),
        (TimelineKind::Failure, "it is slow; it went on for 1 min"),
    ];
    assert_eq!(lines, expected);
}
