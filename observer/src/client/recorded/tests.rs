//! Tests of reading recordings: what was written comes back to the byte, and what is wrong is told with its place.

use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{
    EventCount, Filter, Folded, History, Lost, NodeState, NodeStatus, WatchEventsResponse,
};
use prost_types::Timestamp;

use super::super::{Format, Lines, Look, testing};
use super::*;

fn message(seconds: i64, payload: Payload) -> WatchEventsResponse {
    let time = Some(Timestamp { seconds, nanos: 5 });
    WatchEventsResponse { payload: Some(payload), node_name: "node1".to_owned(), time }
}

/// An event with that number, at that second, to that port.
fn event(sequence: u64, port: u32) -> WatchEventsResponse {
    let mut event = testing::connect();
    (event.sequence, event.time) = (sequence, Some(Timestamp { seconds: sequence as i64, nanos: 0 }));
    let labels = (0..20).map(|n| (format!("label-{n}"), "x\u{1b}".to_owned()));
    event.workload.as_mut().unwrap().labels.extend(labels);
    if let Some(observer_proto::v1::event::Detail::TcpConnect(connect)) = &mut event.detail {
        connect.tcp.as_mut().unwrap().destination.as_mut().unwrap().port = port;
    }
    message(sequence as i64, Payload::Event(event))
}

fn greeting(started: i64) -> WatchEventsResponse {
    let start_time = Some(Timestamp { seconds: started, nanos: 0 });
    let state = NodeState::Connected.into();
    message(started, Payload::NodeStatus(NodeStatus { state, start_time, ..NodeStatus::default() }))
}

fn lost(seconds: i64) -> WatchEventsResponse {
    message(seconds, Payload::Lost(Lost { count: 3, kind: "tcp_close".to_owned(), ..Lost::default() }))
}

fn folded(seconds: i64, namespace: &str) -> WatchEventsResponse {
    let events = vec![EventCount { r#type: "tcp_connect".to_owned(), count: 9 }];
    let workload = Some(testing::pod(namespace, "web-1", "app"));
    message(seconds, Payload::Folded(Folded { workload, events, budget: 1, ..Folded::default() }))
}

/// One of each kind.
fn all() -> Vec<WatchEventsResponse> {
    let history = message(1, Payload::History(History { missing: 2, ..History::default() }));
    vec![greeting(1), history, event(1, 80), lost(2), event(3, 81), folded(4, "shop"), event(5, 80)]
}

fn shown(format: Format, messages: &[WatchEventsResponse], mut lines: impl FnMut(&Look) -> Lines) -> String {
    let look = Look { format, ..testing::look() };
    let (mut lines, mut out) = (lines(&look), Vec::new());
    for message in messages {
        lines.write(&mut out, message).unwrap();
    }
    String::from_utf8(out).unwrap()
}

fn json(messages: &[WatchEventsResponse]) -> String {
    shown(Format::Json, messages, Lines::new)
}

fn read(text: impl Into<Vec<u8>>) -> (Vec<WatchEventsResponse>, Vec<String>, Option<String>) {
    let mut recording = Recording::new(Box::new(io::Cursor::new(text.into())), "a.json");
    let (mut messages, mut notices) = (Vec::new(), Vec::new());
    while let Some(line) = recording.next(&mut || Ok(())).unwrap() {
        match line {
            Ok(Line::Message(message)) => messages.push(*message),
            Ok(Line::Notice(words)) => notices.push(words),
            Err(error) => return (messages, notices, Some(error.to_string())),
        }
    }
    (messages, notices, None)
}

#[test]
fn what_was_written_comes_back_to_the_byte_in_every_format() {
    let written = json(&all());
    let (messages, notices, error) = read(written.clone());
    assert_eq!((messages.clone(), notices, error), (all(), Vec::new(), None));
    for format in [Format::Json, Format::Yaml, Format::Compact, Format::Wide] {
        let again = shown(format, &messages, Lines::of_recording);
        assert_eq!(again, shown(format, &all(), Lines::new), "{format:?}");
    }
    assert_eq!(shown(Format::Json, &messages, Lines::of_recording), written);
    // Other writers leave blank lines, carriage returns and no newline at the end.
    let spaced = format!("\n{}", written.replace('\n', "\r\n\n"));
    assert_eq!(read(spaced.trim_end()).0, all());
}

#[test]
fn a_last_line_that_is_cut_off_is_told_and_what_came_before_is_there() {
    let written = json(&[event(1, 80), event(2, 80)]);
    let first = written.find('\n').unwrap() + 1;
    for cut in first + 1..written.len() - 2 {
        let (messages, notices, error) = read(&written[..cut]);
        assert_eq!((messages.len(), error), (1, None), "{}", &written[first..cut]);
        assert_eq!(notices.len(), 1);
        assert!(notices[0].starts_with("a.json:2: the last line is cut off"), "{notices:?}");
    }
    // In the midst of a letter.
    let (_, notices, error) = read([b"{\"node_name\":\"\xc3".as_slice()].concat());
    assert!(notices[0].starts_with("a.json:1: the last line is cut off") && error.is_none(), "{error:?}");
}

#[test]
fn incidents_between_events_are_passed_over() {
    let good = json(&[event(1, 80)]);
    let opened = "{\"incident\":{\"id\":\"a\",\"state\":\"INCIDENT_STATE_OPEN\"},\"node_name\":\"n\"}";
    let (messages, notices, error) = read(format!("{good}{opened}\n{{\"deleted\":\"a\"}}\n{good}"));
    assert_eq!((messages.len(), notices.len(), error), (2, 0, None));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let good = json(&[event(1, 80)]);
    let summary = "{\"summary\":{\"workload\":{\"name\":\"a\"}},\"node_name\":\"n\"}";
    for (line, expected) in [
        ("hello", "a.json:2: expected value at column 1\n"),
        ("---", "a.json:2: invalid number at column 2\n"),
        ("[1]", "a.json:2: invalid type: sequence, expected a map\n"),
        ("{\"event\":{\"sequence\":\"x\"}}", "a.json:2: "),
        ("{\"event\":{}} {\"event\":{}}", "a.json:2: trailing characters at column 14\n"),
        ("{\"event\":{\"sequence\":1", "a.json:2: EOF while parsing an object at column 22\n"),
        ("{\"tcp\\u001b\":{}}", "a.json:2: unrecognized field name 'tcp\\x1b' at column 12\n"),
        ("{}", "a.json:2: neither an event nor a notice\n"),
        (summary, "a.json:2: this is of `observer summary`\n"),
        ("a\0b", "a.json:2: no text, but binary data\n"),
    ] {
        let (messages, notices, error) = read(format!("{good}{line}\n{good}"));
        let error = error.unwrap_or_default();
        assert!(error.starts_with(expected), "{line}: {error}");
        assert!(messages.len() == 1 && notices.is_empty(), "{line}: {notices:?}");
        assert_eq!(error.lines().count(), 2, "{error}");
    }
    let (_, _, error) = read(b"\x1f\x8b\x08\x00\xff\xfe".to_vec());
    assert!(error.unwrap().starts_with("a.json:1: no text, but binary data\nOnly what"));
}

#[test]
fn a_line_that_is_too_long_ends_the_reading_with_little_in_memory() {
    struct Endless(u8);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(self.0);
            Ok(buffer.len())
        }
    }
    for (byte, expected) in [(b' ', "a.json:1: longer than 4 MiB"), (0, "a.json:1: no text, but binary data")]
    {
        let mut recording = Recording::new(Box::new(Endless(byte)), "a.json");
        let error = recording.next(&mut || Ok(())).unwrap().unwrap().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(recording.text.capacity() <= 2 * LONGEST_LINE);
    }
}

#[test]
fn what_a_newer_version_wrote_is_read_with_one_notice() {
    let line = json(&[event(1, 80)]);
    let newer = line.replacen("{\"event\":{", "{\"event\":{\"mood\":{\"is\":[1]},", 1);
    let kind = line.replacen("\"type\":\"tcp_connect\"", "\"type\":\"quic_connect\"", 1);
    let payload = "{\"dream\":{},\"node_name\":\"n\"}\n";
    let (messages, notices, error) = read([newer.as_str(), &kind, payload, &line].concat());
    assert_eq!((messages.len(), error), (4, None));
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(
        notices[0].starts_with("a.json:1: unrecognized field name 'mood' at column 16: written by a newer"),
        "{notices:?}"
    );
    assert_eq!((&messages[0], &messages[3]), (&event(1, 80), &event(1, 80)));
}

#[test]
fn what_cannot_be_opened_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: &Path| Recording::open(path).err().unwrap().to_string();
    let missing = folder.path().join("a\x1bb.json");
    assert!(error(&missing).contains("a\\x1bb.json: No such file"), "{}", error(&missing));
    assert!(error(folder.path()).contains("it is a folder\nName a file"), "{}", error(folder.path()));
}

fn wanted(wanted: Wanted, messages: Vec<WatchEventsResponse>) -> Vec<WatchEventsResponse> {
    let mut wanted = wanted;
    let mut taken = Vec::new();
    for message in messages {
        if wanted.is_complete() {
            break;
        }
        taken.extend(wanted.take(message));
    }
    taken.extend(wanted.rest().0);
    taken
}

fn to_port(port: u32) -> Wanted {
    Wanted::new(&[Filter { ports: vec![port], ..Filter::default() }], &[]).unwrap()
}

fn everything() -> Wanted {
    Wanted::new(&[], &[]).unwrap()
}

#[test]
fn filters_times_and_counts_choose_as_a_daemon_does() {
    let [greeted, history, first, loss, second, fold, third] = <[_; 7]>::try_from(all()).unwrap();
    assert_eq!(wanted(everything(), all()), all());
    let passed = [&greeted, &history, &loss, &second, &fold].map(Clone::clone);
    assert_eq!(wanted(to_port(81), all()), passed);
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let between = wanted(everything().between(at(2), at(4)), all());
    assert_eq!(between, [loss.clone(), second.clone()]);
    assert_eq!(wanted(everything().first(Some(2)), all()), all()[..5]);
    assert_eq!(wanted(to_port(80).first(Some(1)), all()), all()[..3]);
    assert_eq!(wanted(everything().first(Some(0)), all()), []);
    assert_eq!(wanted(everything().last(Some(1)), all()), [fold.clone(), third.clone()]);
    assert_eq!(wanted(everything().last(Some(2)), all()), [loss, second, fold.clone(), third]);
    assert_eq!(wanted(everything().last(Some(9)), all()), all());
    assert_eq!(
        wanted(to_port(80).last(Some(1)).between(at(0), at(4)), all()),
        [greeted, history, first, lost(2)]
    );
    let of_data = Filter { namespaces: vec!["data".to_owned()], ..Filter::default() };
    let of_data = wanted(Wanted::new(&[of_data], &[]).unwrap(), vec![folded(1, "shop"), folded(2, "data")]);
    assert_eq!(of_data, [folded(2, "data")]);
    let wrong = Filter { ports: vec![0], ..Filter::default() };
    let error = Wanted::new(&[wrong], &[]).unwrap_err().to_string();
    assert!(error.starts_with("allow[0].ports: 0 is not allowed"), "{error}");
}

#[test]
fn the_last_ones_are_all_that_is_kept() {
    let mut wanted = everything().last(Some(3));
    for n in 0..100_000_u64 {
        let next = if n % 2 == 0 { event(n, 80) } else { lost(n as i64) };
        assert_eq!(wanted.take(next), None);
    }
    let (rest, left_out) = wanted.rest();
    let rest: Vec<_> = rest.collect();
    assert_eq!((rest.len(), left_out, &rest[6]), (7, 0, &lost(99_999)));
    // Notices alone are bounded as well.
    let mut wanted = everything().last(Some(3));
    for n in 0..12_000 {
        assert_eq!(wanted.take(lost(n)), None);
    }
    let (rest, left_out) = wanted.rest();
    assert_eq!((rest.count(), left_out), (10_000, 2_000));
}

#[test]
fn all_of_a_recording_is_shown_of_whatever_node_and_run() {
    let other = |mut message: WatchEventsResponse| {
        message.node_name = "node2".to_owned();
        message
    };
    let messages = [
        greeting(1),
        event(5, 80),
        event(4, 80),
        greeting(1),
        event(4, 80),
        other(greeting(2)),
        other(event(1, 80)),
    ];
    let lines = shown(Format::Compact, &messages, Lines::of_recording);
    assert_eq!(lines.matches("tcp_connect").count(), 4, "{lines}");
    assert_eq!(lines.matches("connected again to the same daemon").count(), 1, "{lines}");
    assert!(!lines.contains("started anew"), "{lines}");
    let anew = shown(Format::Compact, &[greeting(1), event(5, 80), greeting(9)], Lines::of_recording);
    assert!(anew.contains("the daemon was started anew at "), "{anew}");
}
