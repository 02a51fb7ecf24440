//! What the flight recorder says of itself.

use std::io;

use observer_proto::v1::{Recorder, RecorderState};

use crate::client::color::Paint;
use crate::client::escape::escape;
use crate::client::look::Look;
use crate::client::units::{bytes, duration, plural};

/// Writes it, unless the daemon knows of none.
pub(super) fn write_recorder(out: &mut dyn io::Write, look: &Look, of: Option<&Recorder>) -> io::Result<()> {
    let Some(of) = of else { return Ok(()) };
    let (paint, mark) = match of.state() {
        RecorderState::Recording => (Paint::Good, "on"),
        RecorderState::Opening => (Paint::Plain, "opening"),
        RecorderState::Paused => (Paint::Failure, "paused"),
        RecorderState::Refused => (Paint::Failure, "not recording"),
        RecorderState::Off | RecorderState::Unspecified => (Paint::Plain, "off"),
    };
    super::heading(out, look, "Recording")?;
    let reason = if of.reason.is_empty() { String::new() } else { format!(": {}", escape(&of.reason)) };
    let place = if of.path.is_empty() { String::new() } else { format!(" {}", escape(&of.path)) };
    writeln!(out, "  {}{place}{reason}", look.painter.paint(paint, mark))?;
    if of.path.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "  reaches back {} s of at most {}, {} in {} of at most {}",
        of.reach_seconds,
        duration(of.most_seconds.saturating_mul(1_000_000_000)),
        plural(of.events, "event"),
        bytes(of.bytes),
        bytes(of.most_bytes)
    )?;
    let missed = plural(of.missed_events, "event");
    let failed = plural(of.errors, "failure");
    writeln!(out, "  written {} times since the start, {failed}, {missed} missed", of.commits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing;

    fn told(of: &Recorder) -> String {
        let mut out = Vec::new();
        write_recorder(&mut out, &testing::look(), Some(of)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_says_how_far_it_reaches_and_why_it_does_not_record() {
        let recorder = Recorder {
            state: RecorderState::Paused.into(),
            reason: "the disk is full\u{1b}".to_owned(),
            path: "/var/lib/observer/observer.redb".to_owned(),
            reach_seconds: 4_000,
            events: 1,
            bytes: 3 << 20,
            most_bytes: 256 << 20,
            most_seconds: 86_400,
            commits: 7,
            errors: 1,
            missed_events: 9,
            ..Recorder::default()
        };
        let told_all = told(&recorder);
        assert!(told_all.contains("paused /var/lib/observer/observer.redb: the disk is full"), "{told_all}");
        let reach = "reaches back 4000 s of at most 1 d, 1 event in 3.0 MiB of at most 256 MiB";
        assert!(told_all.contains(reach), "{told_all}");
        assert!(
            told_all.contains("written 7 times since the start, 1 failure, 9 events missed"),
            "{told_all}"
        );
        assert!(!told_all.contains('\u{1b}'));
        let off = told(&Recorder { state: RecorderState::Off.into(), ..Recorder::default() });
        assert!(off.ends_with("  off\n"), "{off}");
        assert!(write_recorder(&mut Vec::new(), &testing::look(), None).is_ok());
    }
}
