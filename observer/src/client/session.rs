//! A debugging session as text: what is watched, what happens, and in the end what there was in all.

mod seen;

use std::io;

use observer_proto::v1::debug_response::Payload;
use observer_proto::v1::{DebugEnd, DebugPart, DebugPartState, DebugResponse, DebugSession, DebugStatistics};

use self::seen::Seen;
use super::color::Paint;
use super::compact::Lines;
use super::escape::escape;
use super::look::Look;
use super::units::{duration, plural};
use super::{json, label};

/// Shows a session.
pub(crate) struct Session {
    look: Look,
    lines: Lines,
    seen: Seen,
    /// What is watched was told.
    told: bool,
    /// It ended by itself, and said why.
    ended: bool,
}

impl Session {
    /// A session of the given look.
    pub(crate) fn new(look: &Look) -> Self {
        let lines = Lines::new(look);
        Self { look: look.clone(), lines, seen: Seen::default(), told: false, ended: false }
    }

    /// Writes one message.
    pub(crate) fn write(&mut self, out: &mut dyn io::Write, message: DebugResponse) -> io::Result<()> {
        if self.look.is_whole() {
            return json::write_whole(out, &self.look, "DebugResponse", &message);
        }
        match message.payload {
            Some(Payload::Session(session)) => self.session(out, &session),
            Some(Payload::Update(update)) => {
                self.seen.update(&update);
                self.lines.write(out, &update)
            }
            Some(Payload::Statistics(statistics)) => self.statistics(out, &statistics),
            Some(Payload::End(end)) => self.end(out, &end),
            None => Ok(()),
        }
    }

    /// What is watched, and what cannot be.
    fn session(&mut self, out: &mut dyn io::Write, session: &DebugSession) -> io::Result<()> {
        let names: Vec<String> = session.workloads.iter().map(|one| label::owner(Some(one))).collect();
        let names = if names.is_empty() { "nothing for now".to_owned() } else { names.join(", ") };
        let line = |text: String| self.look.painter.paint(Paint::Bold, text).into_owned();
        if std::mem::replace(&mut self.told, true) {
            return writeln!(out, "{}", line(format!("watching {names}")));
        }
        let length = session.start_time.zip(session.end_time).map_or(0, |(start, end)| {
            u64::try_from(super::time::nanos(&end).saturating_sub(super::time::nanos(&start))).unwrap_or(0)
        });
        let share = session.max_cpu_share * 100.0;
        writeln!(
            out,
            "{}",
            line(format!(
                "session {}: watching {names} for {}, while it takes at most {share} % of a processor",
                escape(&session.id),
                duration(length)
            ))
        )?;
        for part in &session.parts {
            let paint = if part.watched { Paint::Dim } else { Paint::Warning };
            writeln!(out, "{}", self.look.painter.paint(paint, format!("  {}", part_words(part))))?;
        }
        for note in &session.notes {
            writeln!(out, "{}", self.look.painter.paint(Paint::Warning, format!("  {}", escape(note))))?;
        }
        Ok(())
    }

    /// What it has seen so far, on a line.
    fn statistics(&self, out: &mut dyn io::Write, statistics: &DebugStatistics) -> io::Result<()> {
        let words = statistics_words(statistics);
        writeln!(out, "{}", self.look.painter.paint(Paint::Dim, format!("-- {words}")))
    }

    fn end(&mut self, out: &mut dyn io::Write, end: &DebugEnd) -> io::Result<()> {
        self.ended = true;
        let words = format!("session ended: {}", escape(&end.message));
        writeln!(out, "{}", self.look.painter.paint(Paint::Bold, words))?;
        end.statistics.as_ref().map_or(Ok(()), |statistics| self.statistics(out, statistics))
    }

    /// What there was in all; nothing where each message was written whole.
    pub(crate) fn write_summary(&self, out: &mut dyn io::Write) -> io::Result<()> {
        if self.look.is_whole() {
            return Ok(());
        }
        if !self.ended {
            writeln!(out, "{}", self.look.painter.paint(Paint::Bold, "session ended: by this client"))?;
        }
        self.seen.write(out, &self.look)
    }
}

fn part_words(part: &DebugPartState) -> String {
    let name = match part.part() {
        DebugPart::Unspecified => "something that this client does not know",
        DebugPart::Responses => "responses",
        DebugPart::PacketDrops => "packet drops",
        DebugPart::Signals => "signals",
        DebugPart::OpenFailures => "failed opens",
    };
    if part.watched {
        return format!("{name}: {}", escape(&part.hooks.join(", ")));
    }
    format!("{name}: not seen here: {}; what would help: {}", escape(&part.reason), escape(&part.remedy))
}

fn statistics_words(statistics: &DebugStatistics) -> String {
    let events: u64 = statistics.events.iter().map(|of| of.count).sum();
    let mut words = vec![format!("{} after {}", plural(events, "event"), duration(statistics.elapsed_ns))];
    if statistics.folded > 0 {
        words.push(format!("{} only counted", statistics.folded));
    }
    if statistics.lost > 0 {
        words.push(format!("{} lost", statistics.lost));
    }
    let measured = if statistics.measured_by_kernel { "" } else { ", estimated" };
    words.push(format!(
        "{:.3} % of a processor ({}{measured}, {} of which {} for others)",
        statistics.cpu_share * 100.0,
        duration(statistics.cpu_time_ns),
        plural(statistics.runs, "run"),
        statistics.other_runs
    ));
    words.join(", ")
}
