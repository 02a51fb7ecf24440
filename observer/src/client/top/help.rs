//! The page that says what keys do and what figures mean.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::grid::{bar, cut};
use super::theme::Theme;

const HELP: &str = "\
Enter, Right   from a workload to its edges and connections, from there to events
Esc, Left      back; Backspace as well
Tab            workloads or edges
e              events of the workload
/              search: rows with that text stay; Enter keeps them, Esc shows all
s, r           sort by the next figure; the other way round
p, Space       pause: what is shown stays; again: what is new
Up, Down, j, k, PageUp, PageDown, Home, End    move; Home goes back to the worst
q, Ctrl-C      quit

!  failed, out of memory, a crash loop or a verdict that says whose fault it is
~  sent again, reset, or ended with failure
RESTARTS   how often the container was started again; loop: it fails again and again
HS, RTT    handshake latency and round-trip time: half (P50), 99 of 100 (P99) took no longer
RETR       segments sent again, of those sent;  RESETS  in both directions
VERDICT    whose fault it is; the figures that say so are below the table
NOW        what is remarkable in how a connection stands
Counts are those of the window whose time stands above.";

/// Draws it over a part of the screen.
pub(super) fn draw(area: Rect, buffer: &mut Buffer, theme: Theme) {
    if area.is_empty() {
        return;
    }
    for y in area.top()..area.bottom() {
        bar(buffer, Rect { y, height: 1, ..area }, "", theme.style(super::super::color::Paint::Plain));
    }
    let title = Rect { height: 1, ..area };
    bar(buffer, title, " Help: any key goes back", theme.bar());
    for (y, line) in (area.y + 1..area.bottom()).zip(HELP.lines()) {
        let line = cut(line, usize::from(area.width.saturating_sub(1)));
        buffer.set_stringn(
            area.x + 1,
            y,
            line,
            area.width.saturating_sub(1).into(),
            theme.style(super::super::color::Paint::Plain),
        );
    }
}
