//! `observer events --input`: what was recorded, without a daemon.

use std::io::{self, Write};
use std::path::Path;

use super::Usage;
use super::past::Past;
use super::selection::Selection;
use crate::client::recorded::{Line, Recording, Wanted};
use crate::client::{Lines, Look};

/// Shows what is wanted of a recording.
pub(super) fn show(
    input: &Path,
    past: &Past,
    selection: &Selection<true>,
    look: &Look,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let passing = Wanted::new(&selection.allow, &selection.deny);
    let wanted =
        past.of(passing.map_err(|error| Usage(format!("{error}\nSee --help for what is allowed.")))?)?;
    show_all(Recording::open(input)?, wanted, look, out, &mut tell)
}

/// The same of an open one; what has to be said beside is told.
pub(super) fn show_all(
    mut recording: Recording,
    mut wanted: Wanted,
    look: &Look,
    out: &mut dyn Write,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    let mut lines = Lines::of_recording(look);
    let mut ended = Ok(());
    while !wanted.is_complete()
        && let Some(line) = recording.next(&mut || out.flush())?
    {
        match line {
            Ok(Line::Message(message)) => {
                if let Some(message) = wanted.take(*message) {
                    lines.write(out, &message)?;
                }
            }
            Ok(Line::Notice(words)) => tell(&words),
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    let (rest, left_out) = wanted.rest();
    for message in rest {
        lines.write(out, &message)?;
    }
    if left_out > 0 {
        tell(&format!(
            "{left_out} older notices of losses and the like are left out: there were too many to keep"
        ));
    }
    // What was read stands before what is wrong.
    out.flush()?;
    Ok(ended?)
}

fn tell(words: &str) {
    // Where stderr cannot be written to, there is nobody to tell.
    _ = writeln!(io::stderr().lock(), "observer: {words}");
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;

    use clap::Parser as _;
    use observer_proto::v1::watch_events_response::Payload;
    use observer_proto::v1::{Event, WatchEventsResponse};

    use super::super::{Cli, Command, events, report};
    use crate::client::{testing, write_json};

    /// Five events a second apart, to ports from 1 on.
    fn recording() -> String {
        let mut text = Vec::new();
        for sequence in 1..=5 {
            let mut event = Event { sequence, ..testing::connect() };
            event.time.as_mut().unwrap().seconds += sequence as i64;
            if let Some(observer_proto::v1::event::Detail::TcpConnect(connect)) = &mut event.detail {
                connect.tcp.as_mut().unwrap().destination.as_mut().unwrap().port = sequence as u32;
            }
            let message = WatchEventsResponse {
                payload: Some(Payload::Event(event)),
                ..WatchEventsResponse::default()
            };
            write_json(&mut text, "WatchEventsResponse", &message).unwrap();
        }
        String::from_utf8(text).unwrap()
    }

    /// What `observer events` writes with these flags of a file with that text.
    fn shown(text: &str, flags: &str) -> (String, anyhow::Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.json");
        std::fs::write(&file, text).unwrap();
        let words = ["observer", "events", "--input", file.to_str().unwrap()].into_iter();
        let mut command = Cli::try_parse_from(words.chain(flags.split_whitespace())).unwrap().command;
        // No daemon is asked, so nobody needs to know which one that would be.
        command.settle(&|name| (name == "OBSERVER_SERVER").then(|| "nowhere".to_owned())).unwrap();
        let Command::Events(args) = command else { panic!("not parsed as events") };
        let mut out = Vec::new();
        let result = events::read(*args, &file, &mut out);
        (String::from_utf8(out).unwrap(), result)
    }

    /// The numbers of the events that are shown.
    fn numbers(flags: &str) -> Vec<u64> {
        let (text, result) = shown(&recording(), &format!("{flags} -o json"));
        result.unwrap();
        let number = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["event"]["sequence"].as_u64()
        };
        text.lines().map(|line| number(line).unwrap()).collect()
    }

    #[test]
    fn flags_choose_of_a_recording() {
        assert_eq!(shown(&recording(), "-o json").0, recording());
        assert_eq!(numbers(""), [1, 2, 3, 4, 5]);
        assert_eq!(numbers("--all"), [1, 2, 3, 4, 5]);
        assert_eq!(numbers("--port 2-4 --not --port 3"), [2, 4]);
        assert_eq!(numbers("--last 2"), [4, 5]);
        assert_eq!(numbers("--last 2 --port 1-3"), [2, 3]);
        assert_eq!(numbers("--first 2"), [1, 2]);
        assert_eq!(numbers("--last 0"), [] as [u64; 0]);
        assert_eq!(numbers("--since 2026-01-31T08:12:06Z --until 2026-01-31T08:12:07.5Z"), [3, 4]);
        assert_eq!(numbers("-l app=cart --min-latency 142us -t tcp_connect -n shop").len(), 5);
        assert_eq!(numbers("-l app!=cart"), [] as [u64; 0]);
        let (text, result) = shown(&recording(), "--last 1 --time-format none");
        result.unwrap();
        assert!(text.starts_with("[node1]: shop/cart-7d9f/app -> shop/redis-0:5 tcp_connect ("), "{text}");
    }

    #[test]
    fn what_was_read_before_a_bad_line_is_shown() {
        let bad = format!("{}nonsense\n", recording());
        for flags in ["-o json", "-o json --last 9"] {
            let (text, result) = shown(&bad, flags);
            assert_eq!(text, recording());
            let error = result.unwrap_err();
            assert!(error.to_string().contains("events.json:6: expected ident"), "{error}");
            assert_eq!(format!("{:?}", report(&error)), format!("{:?}", ExitCode::FAILURE));
        }
        // What is complete before that is complete.
        assert!(shown(&bad, "--first 5").1.is_ok());
    }

    #[test]
    fn what_does_not_go_with_a_recording_is_refused_with_what_to_do() {
        for (flags, expected) in [
            (
                "-f",
                "--input with --follow: a recording has an end\nLeave --follow out; for one that grows, use `tail",
            ),
            ("--server unix:///run/o.sock", "--input with --server: no daemon is asked\n"),
            ("--context prod", "--input with --context: no daemon is asked\n"),
            ("--timeout 1s", "--input with --timeout: no daemon is asked\n"),
            ("--reconnect 1s", "--input with --reconnect: no daemon is asked\n"),
            ("--tls-ca a.pem", "--input with --tls-ca: no daemon is asked\n"),
            ("--since 1m --until 2m", "--since is later than --until"),
            (
                "-t process_exec --port 1",
                "allow[0]: a filter that can never match is not allowed: no process_exec is",
            ),
        ] {
            let error = shown("", flags).1.unwrap_err();
            assert!(error.to_string().starts_with(expected), "{flags}: {error}");
            assert_eq!(format!("{:?}", report(&error)), format!("{:?}", ExitCode::from(2)), "{flags}");
        }
        let (text, result) = shown("nonsense", "--port 53 --last 3 --print-filters");
        result.unwrap();
        assert_eq!(text, "{\"allow\":[{\"ports\":[53]}],\"last\":3}\n");
    }
}
