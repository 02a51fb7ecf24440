//! Draws the view: where and when, totals, what was lost, the tables, the selected row in full, keys.

use observer_proto::v1::TcpSummary;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr as _;

use super::super::color::Paint;
use super::super::escape::escape;
use super::super::units::{bytes, duration, percent, plural, tight};
use super::super::{lost, time::after};
use super::grid::{Grid, bar, cut, wrap};
use super::page::Kind;
use super::theme::BAR;
use super::{Mode, Top, help, nodes};

/// The lines of the selected row in full, and the rule above them.
const DETAIL: u16 = 4;

/// A screen of fewer rows does without them.
const ROOM_FOR_DETAIL: u16 = 14;

/// Draws everything.
pub(crate) fn view(top: &Top, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let rest = head(top, area, buffer);
    let (rest, foot) = split(rest, rest.height.saturating_sub(1));
    keys(top, foot, buffer);
    if top.mode == Mode::Help {
        help::draw(rest, buffer, top.setup.theme);
    } else {
        body(top, rest, buffer);
    }
    top.setup.theme.settle(buffer);
}

/// The upper part of so many rows, and the lower one.
fn split(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    (Rect { height: rows, ..area }, Rect { y: area.y + rows, height: area.height - rows, ..area })
}

/// Takes rows from the top for a line each; gives what is left.
fn head(top: &Top, area: Rect, buffer: &mut Buffer) -> Rect {
    let theme = top.setup.theme;
    let (line, mut rest) = split(area, 1);
    let state = state(top);
    let room = usize::from(area.width).saturating_sub(state.width() + 1);
    let left = cut(&where_and_when(top), room);
    let space = " ".repeat(usize::from(area.width).saturating_sub(left.width() + state.width()));
    bar(buffer, line, &format!("{left}{space}{state}"), BAR);
    for (paint, words) in below(top) {
        let (line, more) = split(rest, 1);
        bar(buffer, line, &words, theme.style(paint));
        rest = more;
    }
    rest
}

fn where_and_when(top: &Top) -> String {
    let Some(finished) = top.finished.get() else { return "observer top".to_owned() };
    let clock = top.setup.look.clock();
    let start = finished.end.window_start.unwrap_or_default();
    let end = after(&start, finished.end.window_ns);
    // To the second: a line is short.
    let text = |time| clock.text(time).split('.').next().unwrap_or_default().to_owned();
    let lasts = duration(finished.end.window_ns);
    let node = nodes::place(top, finished);
    format!("observer top [{node}] {} to {} ({lasts})", text(&start), text(&end))
}

/// Whether what is shown is what is.
fn state(top: &Top) -> String {
    let mut words = Vec::new();
    if top.lost > 0 {
        words.push(format!("{} lost so far", top.lost));
    }
    if top.away.is_some() {
        words.push("RECONNECTING".to_owned());
    }
    if top.paused {
        let waiting = top.page().lines.waiting();
        let more = if waiting > 0 { format!(" ({waiting} new)") } else { String::new() };
        words.push(format!("PAUSED{more}"));
    }
    words.join(", ")
}

/// The lines below the first one: totals, and what is out of the ordinary.
fn below(top: &Top) -> Vec<(Paint, String)> {
    let mut lines = vec![(Paint::Plain, totals(top))];
    lines.extend(top.away.iter().map(|words| (Paint::Failure, words.clone())));
    lines.extend(top.page().refused.iter().map(|words| (Paint::Failure, words.clone())));
    lines.extend(nodes::missing(top).map(|words| (Paint::Failure, words)));
    lines.extend(incidents(top).map(|words| (Paint::Failure, words)));
    lines.extend(top.notice.iter().map(|(words, _)| (Paint::Warning, words.clone())));
    let Some(finished) = top.finished.get() else { return lines };
    if finished.end.lost_events > 0 {
        let mut words = format!(
            "{} lost in this window, its figures are too low",
            plural(finished.end.lost_events, "event")
        );
        if let Some(notice) = lost::merge(&finished.window.losses).first() {
            words = format!("{words}: {}", lost::words(notice, &top.setup.look.clock()));
        }
        lines.push((Paint::Warning, words));
    }
    lines
}

/// What is open, and how to read of it.
fn incidents(top: &Top) -> Option<String> {
    let newest = top.incidents.incidents.first()?;
    let count = plural(top.incidents.total, "open incident");
    let (id, title) = (escape(&newest.id), escape(&newest.title));
    // A relay's incidents are of several nodes, whose ids may be the same.
    let of = if top.incidents.node_name.is_empty() { newest.node_name.as_str() } else { "" };
    let id = if of.is_empty() { id.into_owned() } else { format!("{}/{id}", escape(of)) };
    let which = if top.incidents.total > 1 { "the newest: " } else { "" };
    Some(format!("{count}, {which}{title} (observer incident show {id})"))
}

fn totals(top: &Top) -> String {
    let Some(finished) = top.finished.get() else {
        return format!(
            "the first window ends after {}",
            duration(u64::try_from(top.setup.interval.as_nanos()).unwrap_or(u64::MAX))
        );
    };
    let mut sum = TcpSummary::default();
    // Where a filter lets edges pass and not their workloads, theirs are the totals.
    let (workloads, edges) = top.summaries();
    let all = if workloads.is_empty() { edges } else { workloads };
    for tcp in all.iter().filter_map(|summary| summary.tcp.as_ref()) {
        sum.opened += tcp.opened;
        sum.failed += tcp.failed;
        sum.live += tcp.live;
        sum.sent_bytes += tcp.sent_bytes;
        sum.received_bytes += tcp.received_bytes;
        sum.sent_segments += tcp.sent_segments;
        sum.retransmitted_segments += tcp.retransmitted_segments;
        sum.resets_sent += tcp.resets_sent.saturating_add(tcp.resets_received);
    }
    let mut words = format!(
        "{} opened, {} failed, {} live, {} retransmitted, {}, {} out, {} in",
        sum.opened,
        sum.failed,
        sum.live,
        percent(sum.retransmitted_segments, sum.sent_segments),
        plural(sum.resets_sent, "reset"),
        tight(&bytes(sum.sent_bytes)),
        tight(&bytes(sum.received_bytes)),
    );
    if finished.end.folded_events > 0 {
        words = format!("{words}, {} only counted", plural(finished.end.folded_events, "event"));
    }
    words
}

fn body(top: &Top, area: Rect, buffer: &mut Buffer) {
    let theme = top.setup.theme;
    let (title, rest) = split(area, 1);
    let words = top.page().title(usize::from(area.width));
    bar(buffer, title, &words, theme.heading());
    let detailed = top.size.1 >= ROOM_FOR_DETAIL;
    let (mut rest, below) = split(rest, rest.height.saturating_sub(if detailed { DETAIL } else { 0 }));
    let chosen = top.chosen().map(|(at, _)| at);
    let mut before = 0;
    let parts = top.grids.len();
    for (at, grid) in top.grids.iter().enumerate() {
        let last = at + 1 == parts;
        // The edges of a workload are few, most often; connections have what they leave.
        let rows = u16::try_from(grid.rows.len().max(1)).unwrap_or(u16::MAX).saturating_add(2);
        let (part, more) = split(rest, if last { rest.height } else { rows.min(rest.height / 2) });
        let end = before + grid.rows.len();
        let here = chosen.filter(|at| (before..end).contains(at)).map(|at| at - before);
        grid.draw(part, buffer, theme, here);
        (rest, before) = (more, end);
    }
    if detailed {
        detail(top, below, buffer);
    }
}

/// The selected row in full.
fn detail(top: &Top, area: Rect, buffer: &mut Buffer) {
    let theme = top.setup.theme;
    let (rule, text) = split(area, 1);
    bar(buffer, rule, &"─".repeat(area.width.into()), theme.style(Paint::Dim));
    let Some((at, _)) = top.chosen() else { return };
    let Some(row) = top.grids.iter().flat_map(|grid| &grid.rows).nth(at) else { return };
    let lines = row.detail.iter().flat_map(|line| wrap(line, area.width.into()));
    for (y, line) in (text.top()..text.bottom()).zip(lines) {
        buffer.set_stringn(text.x, y, line, area.width.into(), theme.style(Paint::Plain));
    }
}

fn keys(top: &Top, area: Rect, buffer: &mut Buffer) {
    if top.mode == Mode::Typing {
        let search = &top.page().search;
        let words = format!("/{search}_  rows with that text; Enter keeps them, Esc shows all");
        return bar(buffer, area, &words, BAR);
    }
    let words = match &top.page().kind {
        Kind::Workloads => "Enter open  e events  Tab edges  / search  s sort  p pause  ? help  q quit",
        Kind::Edges => "Enter events  Tab workloads  / search  s sort  p pause  ? help  q quit",
        Kind::Workload(_) => "Enter events  e all events  Esc back  / search  s sort  p pause  ? help",
        Kind::Events(_) => "Esc back  / search  p pause  End newest  ? help  q quit",
    };
    bar(buffer, area, words, BAR);
}

/// Gives a table its title, and what it says where it has no row.
pub(super) fn entitle(top: &Top, grid: &mut Grid, total: usize) {
    let page = top.page();
    let name = grid.columns.first().map(|column| column.title).unwrap_or_default();
    let all = match (&page.kind, page.connections.get()) {
        (Kind::Workload(_), Some(response)) if name == "CONNECTION" => {
            let more = response.total.saturating_sub(response.connections.len() as u64);
            total.saturating_add(usize::try_from(more).unwrap_or(usize::MAX))
        }
        // The oldest lines made room.
        (Kind::Events(_), _) => {
            let others = page.lines.count.saturating_sub(page.lines.waiting());
            usize::try_from(others).unwrap_or(usize::MAX).max(total)
        }
        _ => total,
    };
    let shown = grid.rows.len();
    let plural = if shown == 1 && all == 1 { "" } else { "S" };
    let of = if shown == all { String::new() } else { format!(" of {all}") };
    grid.title = format!("{shown}{of} {name}{plural}");
    if let (Kind::Edges, Some(column)) = (&page.kind, grid.columns.first_mut()) {
        // Two names, of which both are to be known.
        column.width = column.width.max(36).max(top.size.0 * 2 / 5);
    }
    grid.newest_last = matches!(page.kind, Kind::Events(_));
    grid.empty = empty(top, name, total);
}

fn empty(top: &Top, name: &str, total: usize) -> String {
    let page = top.page();
    if total > 0 {
        return format!("nothing here has \"{}\": Esc shows all", page.search);
    }
    if page.refused.is_some() {
        return "nothing of it is known: see above".to_owned();
    }
    let Some(_) = top.finished.get() else { return "waiting for the first window to end".to_owned() };
    let edges = top.summaries().1.len() as u64;
    let words = match name {
        "WORKLOAD" if edges > 0 => {
            return format!(
                "no workload was selected by itself: Tab shows {}",
                super::super::units::plural(edges, "edge")
            );
        }
        "WORKLOAD" | "EDGE" if top.setup.selected != super::Selected::default() => {
            "nothing happens that was selected: q quits; select more, or less with --not"
        }
        "WORKLOAD" => "nothing happens on this node: start something, and it shows here",
        "EDGE" if top.deeper.is_empty() => "nothing was connected: start something, and it shows here",
        "EDGE" => "nothing was connected in this window",
        "CONNECTION" if page.connections.get().is_none() => "asking for its connections",
        "CONNECTION" => "none is alive: e shows events, those of connections that have ended among them",
        _ => "nothing of it is in the daemon's memory: what happens from now on shows here",
    };
    words.to_owned()
}
