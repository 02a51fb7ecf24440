//! The programs in the kernel, with what they cost where it is counted.

use std::io;

use observer_proto::v1::Status;

use super::super::color::Paint;
use super::super::escape::escape;
use super::super::look::Look;
use super::super::table::{Table, figures, text};
use super::super::units::duration;
use super::heading;

/// Writes them.
pub(super) fn write_probes(out: &mut dyn io::Write, look: &Look, status: &Status) -> io::Result<()> {
    heading(out, look, "Probes")?;
    let counted = status.probes.iter().any(|probe| probe.run_count > 0);
    let mut columns = vec![text("  PROBE", 28, 0), text("HOOK", 28, 0)];
    if counted {
        columns.extend([figures("RUNS", 12, 1), figures("EACH", 8, 1)]);
    }
    let mut table = Table::new(columns);
    for probe in &status.probes {
        let mut hook = escape(&probe.hook).into_owned();
        if probe.detached {
            hook.push_str(" (detached)");
        }
        let mut cells = vec![format!("  {}", escape(&probe.name)), hook];
        if counted {
            let each = probe.run_time_ns.checked_div(probe.run_count);
            cells.extend([probe.run_count.to_string(), each.map_or_else(|| "-".to_owned(), duration)]);
        }
        table.row(Paint::Plain, cells);
    }
    table.write(out, look)?;
    if !counted && !status.probes.is_empty() {
        let words = "  what they cost is not counted: `sysctl kernel.bpf_stats_enabled=1` turns it on";
        writeln!(out, "{}", look.painter.paint(Paint::Dim, words))?;
    }
    Ok(())
}
