//! Incidents: a table of them, and one with its story.

use std::io;

use observer_proto::v1::{
    GetIncidentResponse, Incident, IncidentState, ListIncidentsResponse, TimelineEntry, TimelineKind,
    TriggerKind, WatchIncidentsResponse, watch_incidents_response::Payload,
};

use super::color::Paint;
use super::escape::escape;
use super::explain::figure;
use super::look::Look;
use super::nodes::{Nodes, write_missing};
use super::table::{Column, NODE, Table, figures, text};
use super::time::{between, nanos};
use super::units::{duration, plural};
use super::{json, label};

/// The columns of incidents.
pub(crate) const INCIDENTS: [Column; 7] = [
    text("ID", 18, 0),
    NODE,
    text("STATE", 6, 0),
    text("OPENED", 19, 1),
    figures("LASTED", 8, 2),
    text("TRIGGERS", 24, 3),
    text("TITLE", 60, 0),
];
/// So many workloads are named above a story, unless more is wanted.
const NAMED: usize = 6;

/// Writes a table of incidents.
pub(crate) fn write_incidents(
    out: &mut dyn io::Write,
    look: &Look,
    response: &ListIncidentsResponse,
) -> io::Result<()> {
    if look.is_whole() {
        let mut all = response.incidents.iter();
        all.try_for_each(|one| json::write_whole(out, look, "Incident", one))?;
        return write_missing(out, look, &response.missing_nodes);
    }
    let mut table = Table::new(INCIDENTS);
    for incident in &response.incidents {
        // One daemon's are all of one node, which its name says nothing about.
        let node = if response.node_name.is_empty() { incident.node_name.as_str() } else { "" };
        table.row(paint(incident), row(incident, node, look));
    }
    table.write(out, look)?;
    let more = response.total.saturating_sub(response.incidents.len() as u64);
    let words = match more {
        0 if response.incidents.is_empty() => "no incident matches".to_owned(),
        0 => String::new(),
        more => format!("and {more} older: --limit shows more of them"),
    };
    if !words.is_empty() {
        writeln!(out, "{}", look.painter.paint(Paint::Dim, words))?;
    }
    write_missing(out, look, &response.missing_nodes)
}

/// Writes a message of a stream of incidents as a line.
pub(crate) fn write_update(
    out: &mut dyn io::Write,
    look: &Look,
    nodes: &mut Nodes,
    message: &WatchIncidentsResponse,
) -> io::Result<()> {
    if look.is_whole() {
        return json::write_whole(out, look, "WatchIncidentsResponse", message);
    }
    let time = look.clock().prefix(message.time.as_ref());
    let words = match &message.payload {
        Some(Payload::Incident(incident)) => {
            let title =
                look.painter.paint(paint(incident), escape(&incident.title).into_owned()).into_owned();
            format!("{} {}: {title}", escape(&incident.id), state(incident))
        }
        Some(Payload::Deleted(id)) => format!("{} deleted", escape(id)),
        Some(Payload::NodeStatus(status)) => {
            let Some((paint, words)) = nodes.line(status) else { return Ok(()) };
            look.painter.paint(paint, words).into_owned()
        }
        None => return Ok(()),
    };
    writeln!(out, "{}{words}", look.painter.paint(Paint::Dim, time))
}

/// Writes an incident and its story.
pub(crate) fn write_incident(
    out: &mut dyn io::Write,
    look: &Look,
    response: &GetIncidentResponse,
) -> io::Result<()> {
    if look.is_whole() {
        return json::write_whole(out, look, "GetIncidentResponse", response);
    }
    let incident = response.incident.clone().unwrap_or_default();
    write_head(out, look, &incident)?;
    write_firings(out, look, &incident)?;
    writeln!(out, "{}", look.painter.paint(Paint::Bold, "What happened"))?;
    if response.timeline.is_empty() {
        writeln!(out, "  nothing is known of that time any more")?;
    }
    for entry in &response.timeline {
        write_entry(out, look, &incident, entry)?;
    }
    if response.omitted > 0 {
        let words = format!("  {} left out, as they say less", plural(response.omitted.into(), "line"));
        writeln!(out, "{}", look.painter.paint(Paint::Dim, words))?;
    }
    Ok(())
}

fn write_head(out: &mut dyn io::Write, look: &Look, incident: &Incident) -> io::Result<()> {
    let clock = look.clock();
    let title = look.painter.paint(Paint::Bold, escape(&incident.title).into_owned()).into_owned();
    writeln!(out, "{title}")?;
    let opened = incident.open_time.as_ref().map_or_else(|| "-".to_owned(), |time| clock.date(time));
    let by = |who: &str| if who.is_empty() { String::new() } else { format!(" by {}", escape(who)) };
    let closed = incident.close_time.as_ref();
    let closed = closed.map(|time| format!(", closed {}{}", clock.date(time), by(&incident.closed_by)));
    let head = format!(
        "incident {} on {}: {}, opened {opened}{}{}",
        escape(&incident.id),
        escape(&incident.node_name),
        state(incident),
        by(&incident.client),
        closed.unwrap_or_default()
    );
    writeln!(out, "{}", look.painter.paint(Paint::Dim, head))?;
    let named = if look.is_wide() { usize::MAX } else { NAMED };
    let mut names: Vec<String> = Vec::new();
    for workload in &incident.workloads {
        let name = label::owner(Some(workload));
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(named);
    names.truncate(named);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    if !names.is_empty() {
        writeln!(out, "about {}", names.join(", "))?;
    }
    if !incident.note.is_empty() {
        writeln!(out, "note: {}", escape(&incident.note))?;
    }
    if !incident.closing_note.is_empty() {
        writeln!(out, "when it was closed: {}", escape(&incident.closing_note))?;
    }
    if !incident.incomplete.is_empty() {
        let words = format!("not all is kept: {}", escape(&incident.incomplete));
        writeln!(out, "{}", look.painter.paint(Paint::Warning, words))?;
    }
    Ok(())
}

fn write_firings(out: &mut dyn io::Write, look: &Look, incident: &Incident) -> io::Result<()> {
    if incident.firings.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", look.painter.paint(Paint::Bold, "Triggers"))?;
    for firing in &incident.firings {
        let time = firing.first_time.as_ref().map_or_else(String::new, |time| look.clock().text(time));
        let often = if firing.count > 1 { format!(" ({} times)", firing.count) } else { String::new() };
        let kind = look.painter.paint(Paint::Failure, trigger(firing.kind())).into_owned();
        writeln!(
            out,
            "  {} {kind}: {}{often}",
            look.painter.paint(Paint::Dim, time),
            escape(&firing.reason)
        )?;
    }
    if incident.firings_omitted > 0 {
        let words = format!("  and {} more times others", incident.firings_omitted);
        writeln!(out, "{}", look.painter.paint(Paint::Dim, words))?;
    }
    Ok(())
}

/// A line of the story: the wall clock, how long before or after the incident was opened, what it is, what happened.
fn write_entry(
    out: &mut dyn io::Write,
    look: &Look,
    incident: &Incident,
    entry: &TimelineEntry,
) -> io::Result<()> {
    let clock = look.clock();
    let time = entry.time.as_ref().map_or_else(|| "-".to_owned(), |time| clock.text(time));
    let since = entry.time.as_ref().zip(incident.open_time.as_ref());
    let since = since.map_or_else(String::new, |(time, opened)| relative(nanos(time) - nanos(opened)));
    let (name, color) = kind(entry.kind());
    let head = look.painter.paint(Paint::Dim, format!("{time} {since:>9}")).into_owned();
    let name = look.painter.paint(color, format!("{name:<11}")).into_owned();
    writeln!(out, "  {head}  {name}  {}", escape(&entry.text))?;
    if look.is_wide() {
        let mut words: Vec<String> = entry.evidence.iter().map(figure::words).collect();
        if entry.event_count > 0 {
            let first = entry.events.first().map(|event| event.sequence);
            let last = entry.events.last().map(|event| event.sequence).filter(|last| Some(*last) != first);
            let from = first.map_or_else(String::new, |first| format!(", sequence {first}"));
            let to = last.map_or_else(String::new, |last| format!(" to {last}"));
            words.push(format!("{}{from}{to}", plural(entry.event_count, "event")));
        }
        if !words.is_empty() {
            let words = format!("{:indent$}{}", "", words.join("; "), indent = 2 + time.len() + 25);
            writeln!(out, "{}", look.painter.paint(Paint::Dim, words))?;
        }
    }
    Ok(())
}

/// `-0.412s`, `-34.2s`, `+1m05s`.
fn relative(ns: i128) -> String {
    let sign = if ns < 0 { '-' } else { '+' };
    let milliseconds = ns.unsigned_abs() / 1_000_000;
    let (minutes, seconds) = (milliseconds / 60_000, milliseconds / 1_000 % 60);
    match (minutes, seconds) {
        (0, 0..10) => format!("{sign}{seconds}.{:03}s", milliseconds % 1_000),
        (0, _) => format!("{sign}{seconds}.{}s", milliseconds % 1_000 / 100),
        _ => format!("{sign}{minutes}m{seconds:02}s"),
    }
}

fn kind(kind: TimelineKind) -> (&'static str, Paint) {
    match kind {
        TimelineKind::Unspecified => ("", Paint::Plain),
        TimelineKind::Cause => ("CAUSE", Paint::Failure),
        TimelineKind::Symptom => ("sign", Paint::Warning),
        TimelineKind::Action => ("action", Paint::Bold),
        TimelineKind::Failure => ("FAILURE", Paint::Failure),
        TimelineKind::Consequence => ("consequence", Paint::Plain),
        TimelineKind::Context => ("context", Paint::Dim),
        TimelineKind::Gap => ("GAP", Paint::Warning),
    }
}

fn row(incident: &Incident, node: &str, look: &Look) -> Vec<String> {
    let opened = incident.open_time.as_ref();
    // Of one that is open only what has been told is known.
    let fired =
        incident.firings.iter().filter_map(|one| one.last_time.as_ref()).max_by_key(|time| nanos(time));
    let ended = incident.close_time.as_ref().or(fired);
    let kinds = incident.firings.iter().map(|one| trigger(one.kind()));
    let mut triggers: Vec<&str> = Vec::new();
    for kind in kinds {
        if !triggers.contains(&kind) {
            triggers.push(kind);
        }
    }
    vec![
        escape(&incident.id).into_owned(),
        escape(node).into_owned(),
        state(incident).to_owned(),
        opened.map_or_else(|| "-".to_owned(), |time| look.clock().date(time)),
        opened.zip(ended).map_or_else(|| "-".to_owned(), |(from, to)| duration(between(from, to))),
        if triggers.is_empty() { "by hand".to_owned() } else { triggers.join(", ") },
        escape(&incident.title).into_owned(),
    ]
}

const fn trigger(kind: TriggerKind) -> &'static str {
    match kind {
        TriggerKind::Unspecified => "unknown",
        TriggerKind::Manual => "by hand",
        TriggerKind::ContainerFailure => "container failure",
        TriggerKind::OomKill => "OOM kill",
        TriggerKind::CrashLoop => "crash loop",
        TriggerKind::ConnectFailures => "connect failures",
        TriggerKind::Retransmits => "retransmits",
        TriggerKind::Resets => "resets",
        TriggerKind::Latency => "latency",
        TriggerKind::Stall => "stall",
        TriggerKind::DebugSession => "debug session",
    }
}

fn state(incident: &Incident) -> &'static str {
    match incident.state() {
        IncidentState::Unspecified => "-",
        IncidentState::Open => "open",
        IncidentState::Closed => "closed",
    }
}

fn paint(incident: &Incident) -> Paint {
    match incident.state() {
        IncidentState::Open => Paint::Failure,
        IncidentState::Closed | IncidentState::Unspecified => Paint::Plain,
    }
}
