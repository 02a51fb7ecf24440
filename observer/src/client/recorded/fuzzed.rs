//! Recordings of any bytes, read and shown: what is read as a message is the same once it was written and read again.
//!
//! An input is the file.

use std::io::Cursor;

use super::*;
use crate::client::testing::look;
use crate::client::{Format, Lines, Look, write_json};

const WORDS: [&str; 46] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "\"event\":{",
    "\"lost\":{",
    "\"folded\":{",
    "\"history\":{",
    "\"node_status\":{",
    "\"type\":\"tcp_connect\"",
    "\"type\":99",
    "\"tcp_connect\":{",
    "\"tcp\":{",
    "\"source\":{",
    "\"address\":\"10.1.0.9\"",
    "\"port\":",
    "\"workload\":{",
    "\"labels\":{\"a\":\"b\"}",
    "\"process_exec\":{\"arguments\":[",
    "\"raw_arguments\":[\"/w==\"]",
    "\"ancestors\":[{}]",
    "\"container_stop\":{",
    "\"ends\":[{}]",
    "\"sequence\":",
    "\"count\":",
    "\"kind\":",
    "\"cpu\":",
    "\"time\":\"2026-01-31T08:12:03.114159265Z\"",
    "\"since\":\"0001-01-01T00:00:00Z\"",
    "\"until\":\"9999-12-31T23:59:59Z\"",
    "\"node_name\":\"node1\"",
    "\"window_end\":{}",
    "\"no_such_field\":1",
    "18446744073709551615",
    "-1",
    "1e999",
    "0.5",
    "null",
    "true",
    "\"\\u001b[2J\"",
    "\"\\ud800\"",
    "\u{feff}",
    "\"\"",
];

/// It holds nothing that a terminal would obey.
fn assert_harmless(text: &str) {
    assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
}

fn shown(lines: &mut Lines, message: &WatchEventsResponse) {
    let mut out = Vec::new();
    lines.write(&mut out, message).unwrap();
    assert_harmless(&String::from_utf8(out).unwrap());
}

#[test]
fn fuzz_input() {
    crate::fuzz::run("input", &WORDS, |input| {
        let mut recording = Recording::new(Box::new(Cursor::new(input.to_vec())), "input");
        let [mut compact, mut yaml] =
            [Format::Compact, Format::Yaml].map(|format| Lines::new(&Look { format, ..look() }));
        while let Some(line) = recording.next(&mut || Ok(())).unwrap() {
            let message = match line {
                Ok(Line::Message(message)) => message,
                Ok(Line::Notice(words)) => {
                    assert_harmless(&words);
                    continue;
                }
                Err(error) => {
                    assert_harmless(&error.to_string());
                    break;
                }
            };
            shown(&mut compact, &message);
            shown(&mut yaml, &message);
            let mut written = Vec::new();
            write_json(&mut written, "WatchEventsResponse", &*message).unwrap();
            let again = read_message(std::str::from_utf8(&written).unwrap(), Unknown::Refused);
            assert_eq!(again.unwrap(), *message);
        }
    });
}
