//! Comparisons of two parts of a recording, as a table.

#[cfg(test)]
mod tests;

use std::io;

use observer_proto::v1::{
    CompareWindowsResponse, ComparedFigure, ComparedParty, ComparedPeer, ComparedSide, ComparedUnit,
    Comparison, ComparisonVerdict as Verdict, PartyKind,
};

use super::color::Paint;
use super::escape::escape;
use super::look::Look;
use super::table::{Column, Table, figures, text};
use crate::units::{bytes, duration, percent, plural, tight};

/// The columns of the table.
pub(crate) const COMPARED: [Column; 7] = [
    text("VERDICT", 8, 0),
    text("WORKLOAD", 28, 0),
    text("PEER", 26, 0),
    text("FIGURE", 16, 0),
    figures("A", 8, 0),
    figures("B", 8, 0),
    figures("CHANGE", 7, 1),
];
/// And how often chance alone does that.
const CHANCE: Column = figures("CHANCE", 6, 2);

/// The columns that can be chosen.
pub(crate) fn compared_columns() -> Vec<Column> {
    COMPARED.into_iter().chain([CHANCE]).collect()
}

/// Writes what differs by more than noise; with `all` the rest as well.
pub(crate) fn write_comparison(
    out: &mut dyn io::Write,
    look: &Look,
    response: &CompareWindowsResponse,
    all: bool,
) -> io::Result<()> {
    let CompareWindowsResponse { a, b, comparisons, total, left_out } = response;
    for (name, side) in [("A", a), ("B", b)] {
        let side = side.clone().unwrap_or_default();
        writeln!(out, "{}", look.painter.paint(Paint::Dim, format!("{name}: {}", extent(look, &side))))?;
        if side.lost_events > 0 {
            let lost = plural(side.lost_events, "event");
            let words = format!("{lost} lost on the node in {name}: its figures may be too low");
            writeln!(out, "{}", look.painter.paint(Paint::Warning, words))?;
        }
    }
    let mut table = Table::new(compared_columns());
    for comparison in comparisons.iter().filter(|one| all || differs(one.verdict())) {
        add_rows(&mut table, comparison);
    }
    table.write(out, look)?;
    let mut words = counted(comparisons);
    if words.is_empty() {
        words.push("nothing was recorded that passes on either side".to_owned());
    }
    let untold = total.saturating_sub(comparisons.len() as u64);
    if untold > 0 {
        words.push(format!("{untold} not told: select fewer"));
    }
    if *left_out > 0 {
        words.push(format!("{left_out} not compared, there are too many: select fewer"));
    }
    if !all && comparisons.iter().any(|one| !differs(one.verdict())) {
        words.push("--all lists all of them".to_owned());
    }
    writeln!(out, "{}", look.painter.paint(Paint::Dim, words.join(", ")))
}

fn extent(look: &Look, side: &ComparedSide) -> String {
    let ComparedSide { node_name, start_time, end_time, windows, length_ns, lost_events: _ } = side;
    let time =
        |time: &Option<_>| time.as_ref().map_or_else(|| "-".to_owned(), |time| look.clock().text(time));
    format!(
        "{} to {}, {} recorded in {} [{}]",
        time(start_time),
        time(end_time),
        duration(*length_ns),
        plural(*windows, "window"),
        escape(node_name)
    )
}

/// It is listed unless all are.
pub(crate) const fn differs(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Same | Verdict::TooLittle)
}

/// A row for each figure that differs; where none does, one with how much was asked.
fn add_rows(table: &mut Table, comparison: &Comparison) {
    let Comparison { workload, peer, figures: told, .. } = comparison;
    let own = party(workload.as_ref());
    let peer = peer.as_ref().map_or_else(|| "-".to_owned(), way);
    let mut shown: Vec<&ComparedFigure> = told.iter().filter(|figure| differs(figure.verdict())).collect();
    if shown.is_empty() {
        let load = |figure: &&ComparedFigure| matches!(figure.figure.as_str(), "connects" | "bytes");
        shown.extend(told.iter().find(load));
    }
    let lines = if shown.is_empty() { vec![None] } else { shown.into_iter().map(Some).collect() };
    for figure in lines {
        let of = match (comparison.verdict(), figure) {
            // Of a figure that got better beside one that got worse this says so.
            (Verdict::Worse | Verdict::Better | Verdict::Changed, Some(figure)) => figure.verdict(),
            (verdict, _) => verdict,
        };
        let mut cells = vec![verdict_name(of).to_owned(), own.clone(), peer.clone()];
        cells.extend(figure.map_or_else(|| vec!["-".to_owned(); 5], figure_cells));
        table.row(paint(of), cells);
    }
}

fn figure_cells(figure: &ComparedFigure) -> Vec<String> {
    let ComparedFigure { figure: name, a, b, chance, .. } = figure;
    let value =
        |value: &Option<f64>| value.map_or_else(|| "-".to_owned(), |value| valued(figure.unit(), value));
    let change = a.zip(*b).map_or_else(|| "-".to_owned(), |(a, b)| change(a, b));
    let chance = chance.map_or_else(
        || "-".to_owned(),
        |chance| match chance {
            few if few < 0.0015 => "<0.2%".to_owned(),
            some => percent((some * 1e4) as u64, 10_000),
        },
    );
    vec![escape(name).replace('_', " "), value(a), value(b), change, chance]
}

fn valued(unit: ComparedUnit, value: f64) -> String {
    match unit {
        ComparedUnit::Share => percent((value * 1e9) as u64, 1_000_000_000),
        ComparedUnit::Nanoseconds => tight(&duration(value as u64)),
        ComparedUnit::BytesPerSecond => format!("{}/s", tight(&bytes(value as u64))),
        ComparedUnit::PerSecond | ComparedUnit::Unspecified => match value {
            0.0 => "0".to_owned(),
            few if few < 0.095 => format!("{:.1}/min", few * 60.0),
            some if some < 9.95 => format!("{some:.1}/s"),
            many => format!("{many:.0}/s"),
        },
    }
}

fn change(a: f64, b: f64) -> String {
    if a <= 0.0 {
        return if b <= 0.0 { "0" } else { "from 0" }.to_owned();
    }
    match b / a {
        times if times >= 9.95 => format!("x{times:.0}"),
        times if times >= 3.0 => format!("x{times:.1}"),
        times => match format!("{:+.0}%", (times - 1.0) * 100.0).as_str() {
            "+0%" | "-0%" => "0".to_owned(),
            change => change.to_owned(),
        },
    }
}

/// Who it is: what made the pods, with their namespace and the container.
fn party(party: Option<&ComparedParty>) -> String {
    let Some(ComparedParty { kind: _, namespace, owner_kind: _, name, container }) = party else {
        return "-".to_owned();
    };
    let name = if name.is_empty() { "?" } else { name };
    let parts = [namespace.as_str(), name, container.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    escape(&parts.join("/")).into_owned()
}

fn way(peer: &ComparedPeer) -> String {
    let ComparedPeer { party: of, backend, port, outgoing } = peer;
    let name = match of.as_ref().map(|of| (of.kind(), of)) {
        Some((PartyKind::Outside | PartyKind::Unspecified, of)) if of.name.contains(':') => {
            format!("[{}]", of.name)
        }
        _ => party(of.as_ref()),
    };
    let port = if *port == 0 { String::new() } else { format!(":{port}") };
    let behind = backend.as_ref().map(|backend| format!(" ({})", party(Some(backend)))).unwrap_or_default();
    // The port is the listening side's.
    if *outgoing { format!("-> {name}{port}{behind}") } else { format!("<- {name} on {port}") }
}

fn counted(comparisons: &[Comparison]) -> Vec<String> {
    const ALL: [Verdict; 7] = [
        Verdict::Worse,
        Verdict::Gone,
        Verdict::New,
        Verdict::Better,
        Verdict::Changed,
        Verdict::Same,
        Verdict::TooLittle,
    ];
    let count = |verdict: Verdict| comparisons.iter().filter(|one| one.verdict() == verdict).count();
    let counts = ALL.map(|verdict| (count(verdict), verdict));
    let some = counts.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, verdict)| match verdict {
        Verdict::TooLittle => format!("{count} with too little to tell"),
        Verdict::Worse
        | Verdict::Gone
        | Verdict::New
        | Verdict::Better
        | Verdict::Changed
        | Verdict::Same
        | Verdict::Unspecified => format!("{count} {}", verdict_name(verdict)),
    })
    .collect()
}

const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Worse => "worse",
        Verdict::Gone => "gone",
        Verdict::New => "new",
        Verdict::Better => "better",
        Verdict::Changed => "changed",
        Verdict::TooLittle => "too little",
        Verdict::Same => "same",
        Verdict::Unspecified => "unknown",
    }
}

const fn paint(verdict: Verdict) -> Paint {
    match verdict {
        Verdict::Worse => Paint::Failure,
        Verdict::Gone | Verdict::New => Paint::Warning,
        Verdict::Better => Paint::Good,
        Verdict::TooLittle | Verdict::Same => Paint::Dim,
        Verdict::Changed | Verdict::Unspecified => Paint::Plain,
    }
}
