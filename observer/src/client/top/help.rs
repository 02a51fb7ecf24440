//! The page that says what keys do and what figures mean.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::grid::{bar, cut};
use super::theme::{BAR, Theme};

const HELP: &str = "\
Enter, Right  from a workload to its edges and connections, then to events
Esc, Left     back; so does Backspace
Tab           workloads, or edges
e             the events of the workload
/             search: rows with that text stay. Enter keeps them, Esc shows all
s, r          sort by the next figure; turn the order round
p, Space      pause: what is shown stays. Again: go on with what is new
Up, Down, j, k, PageUp, PageDown, Home, End  move. Home: back to the worst
q, Ctrl-C     quit

!         failed, out of memory, a crash loop, or a verdict that names a fault
~         sent again, reset, or ended with failure
RESTARTS  of the container; loop: it fails again and again
VERDICT   whose fault it is; the figures that say so are below the table
HS, RTT   handshake latency and round-trip time that half (P50) or 99 of 100
          (P99) did not exceed
RETR      segments sent again, of all that were sent
NOW       what is remarkable in how a connection stands
Counts are of the window whose time stands above.";

/// Draws it over a part of the screen.
pub(super) fn draw(area: Rect, buffer: &mut Buffer, theme: Theme) {
    if area.is_empty() {
        return;
    }
    for y in area.top()..area.bottom() {
        bar(buffer, Rect { y, height: 1, ..area }, "", theme.style(super::super::color::Paint::Plain));
    }
    let title = Rect { height: 1, ..area };
    bar(buffer, title, " Help: any key goes back", BAR);
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
