//! The exporters, and what keeps them from sending.

use std::io;

use observer_proto::v1::{Exporter, ExporterState, Status};

use crate::client::color::Paint;
use crate::client::escape::escape;
use crate::client::look::Look;
use crate::client::table::{Table, figures, text};

/// A table of them, with the newest error of each below it; nothing where there is none.
pub(super) fn write_exporters(out: &mut dyn io::Write, look: &Look, status: &Status) -> io::Result<()> {
    if status.exporters.is_empty() {
        return Ok(());
    }
    super::heading(out, look, "Exporters")?;
    let mut table = Table::new([
        text("  EXPORTER", 22, 0),
        text("STATE", 8, 0),
        figures("SENT", 12, 0),
        figures("QUEUED", 8, 0),
        figures("LOST", 8, 0),
        figures("RETRIES", 8, 0),
        text("TO", 40, 0),
    ]);
    for one in &status.exporters {
        let lost = lost(one);
        let (state, paint) = match one.state() {
            ExporterState::Starting | ExporterState::Unspecified => ("starting", Paint::Plain),
            ExporterState::Running if lost > 0 => ("running", Paint::Warning),
            ExporterState::Running => ("running", Paint::Plain),
            ExporterState::Retrying => ("retrying", Paint::Failure),
        };
        let cells = vec![
            format!("  {}", escape(&one.name)),
            state.to_owned(),
            one.sent.to_string(),
            one.queued.to_string(),
            lost.to_string(),
            one.retries.to_string(),
            escape(&one.endpoint).into_owned(),
        ];
        table.row(paint, cells);
    }
    table.write(out, look)?;
    for one in status.exporters.iter().filter(|one| !one.last_error.is_empty()) {
        write_error(out, look, one)?;
    }
    Ok(())
}

/// The newest error, and what was lost why.
fn write_error(out: &mut dyn io::Write, look: &Look, of: &Exporter) -> io::Result<()> {
    let time = of.last_error_time.as_ref().map_or_else(String::new, |time| look.clock().date(time));
    let lost = of.lost.iter().map(|lost| format!(", lost {}: {}", escape(&lost.reason), lost.count));
    let words =
        format!("{}, {time}: {}{}", escape(&of.name), escape(&of.last_error), lost.collect::<String>());
    let paint = if of.state() == ExporterState::Retrying { Paint::Failure } else { Paint::Dim };
    writeln!(out, "  {}", look.painter.paint(paint, words))
}

fn lost(of: &Exporter) -> u64 {
    of.lost.iter().map(|lost| lost.count).sum()
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::ExporterLoss;

    use super::*;
    use crate::client::testing;

    #[test]
    fn each_is_a_row_and_its_error_a_line() {
        let running = Exporter {
            name: "json.all".to_owned(),
            endpoint: "/var/log/observer/events.jsonl".to_owned(),
            state: ExporterState::Running.into(),
            sent: 1_234,
            queued: 2,
            ..Exporter::default()
        };
        let retrying = Exporter {
            name: "syslog.far".to_owned(),
            endpoint: "tcp://10.0.0.1:601".to_owned(),
            state: ExporterState::Retrying.into(),
            retries: 7,
            last_error: "nobody\u{1b} listens".to_owned(),
            lost: vec![ExporterLoss { reason: "queue".to_owned(), count: 9 }],
            ..Exporter::default()
        };
        let status = Status { exporters: vec![running, retrying], ..Status::default() };
        let mut out = Vec::new();
        write_exporters(&mut out, &testing::look(), &status).unwrap();
        let shown = String::from_utf8(out).unwrap();
        let expected = "\
Exporters
  EXPORTER    STATE     SENT  QUEUED  LOST  RETRIES  TO
  json.all    running   1234       2     0        0  /var/log/observer/events.jsonl
  syslog.far  retrying     0       0     9        7  tcp://10.0.0.1:601
  syslog.far, : nobody\\x1b listens, lost queue: 9
";
        assert_eq!(shown, expected, "\n{shown}");
        let mut out = Vec::new();
        write_exporters(&mut out, &testing::look(), &Status::default()).unwrap();
        assert!(out.is_empty());
    }
}
