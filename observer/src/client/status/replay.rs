//! The state of a recording that is replayed.

use std::io;

use observer_proto::v1::{Replay, Status};

use super::super::color::Paint;
use super::super::escape::escape;
use super::super::look::Look;

/// That no daemon answers, but a file.
pub(super) fn write_replay(
    out: &mut dyn io::Write,
    look: &Look,
    status: &Status,
    replay: &Replay,
) -> io::Result<()> {
    let Replay { moment, since, until, incident_id, title, write_time: _, version: _, filtered } = replay;
    let date =
        |time: &Option<_>| time.as_ref().map_or_else(|| "-".to_owned(), |time| look.clock().date(time));
    let head = format!(
        "a recording of {}, {} to {}; what follows is of {}",
        escape(&status.node_name),
        date(since),
        date(until),
        date(moment)
    );
    writeln!(out, "{}", look.painter.paint(Paint::Warning, head))?;
    if !incident_id.is_empty() {
        writeln!(out, "  incident {}: {}", escape(incident_id), escape(title))?;
    }
    if *filtered {
        writeln!(out, "  what filters or access left out is not in it")?;
    }
    Ok(())
}
