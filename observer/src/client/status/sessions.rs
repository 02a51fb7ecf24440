//! The debugging sessions that are open.

use std::io;

use observer_proto::v1::Status;

use super::super::escape::escape;
use super::super::look::Look;
use super::super::units::plural;
use super::heading;

/// A line each.
pub(super) fn write_sessions(out: &mut dyn io::Write, look: &Look, status: &Status) -> io::Result<()> {
    if status.debug_sessions.is_empty() {
        return Ok(());
    }
    heading(out, look, "Debugging sessions")?;
    let clock = look.clock();
    for session in &status.debug_sessions {
        let until = session.end_time.as_ref().map_or_else(String::new, |time| clock.date(time));
        writeln!(
            out,
            "  {}: {}, {}, until {until}, {:.3} % of a processor of at most {} %",
            escape(&session.id),
            plural(session.workloads.into(), "container"),
            plural(session.events, "event"),
            session.cpu_share * 100.0,
            session.max_cpu_share * 100.0
        )?;
    }
    Ok(())
}
