//! Incidents and their stories, as the client's JSON tells them: from a daemon or from a file.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// More lines than these nobody reads at night.
const MOST_LINES: usize = 60;

/// What a line must tell: its kind (`TIMELINE_KIND_` before it), and words that its text has, `|` between those of which one
/// is enough.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a>(pub &'a str, pub &'a [&'a str]);

/// Demands that a timeline tells these things, one after the other: the cause before the effect. And that it is well made:
/// in the order of time, each line with words and evidence, and no more lines than can be read.
pub fn tells(timeline: &[Value], lines: &[Line<'_>]) -> Result<()> {
    is_well_made(timeline)?;
    let mut from = 0;
    for line in lines {
        let found = timeline.iter().skip(from).position(|entry| is(entry, line));
        let Some(at) = found else {
            let elsewhere = timeline.iter().position(|entry| is(entry, line));
            bail!("no {line:?} from line {from} on (elsewhere: {elsewhere:?}) in\n{}", text(timeline));
        };
        from += at + 1;
    }
    Ok(())
}

/// The text of a timeline.
pub fn text(timeline: &[Value]) -> String {
    let line = |entry: &Value| {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text("time"), text("kind").trim_start_matches("TIMELINE_KIND_"), text("text"))
    };
    timeline.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn is(entry: &Value, Line(kind, words): &Line<'_>) -> bool {
    let told = entry["text"].as_str().unwrap_or_default();
    let has = |word: &&str| word.split('|').any(|one| told.contains(one));
    entry["kind"] == format!("TIMELINE_KIND_{kind}") && words.iter().all(has)
}

fn is_well_made(timeline: &[Value]) -> Result<()> {
    ensure!(timeline.len() <= MOST_LINES, "{} lines", timeline.len());
    let mut last = 0;
    for entry in timeline {
        let time = nanos(&entry["time"]).with_context(|| format!("no time: {entry}"))?;
        ensure!(time >= last, "out of order:\n{}", text(timeline));
        last = time;
        ensure!(entry["text"].as_str().is_some_and(|words| words.len() > 10), "no words: {entry}");
        let events = entry["events"].as_array().map_or(0, Vec::len);
        ensure!(events <= 100, "{events} events: {entry}");
        ensure!(
            entry["event_count"].as_u64().unwrap_or(0) >= events as u64,
            "counts fewer than it names: {entry}"
        );
        let evidence = entry["evidence"].as_array().map_or(0, Vec::len);
        let needs_none = ["TIMELINE_KIND_GAP", "TIMELINE_KIND_CONTEXT", "TIMELINE_KIND_SYMPTOM"];
        let alone = needs_none.iter().any(|kind| entry["kind"] == **kind);
        ensure!(events + evidence > 0 || alone, "without evidence: {entry}");
    }
    Ok(())
}

/// A time of JSON in nanoseconds since 1970.
pub fn nanos(time: &Value) -> Option<u64> {
    let time: prost_types::Timestamp = time.as_str()?.parse().ok()?;
    u64::try_from(time.seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.nanos).ok()?)
}
