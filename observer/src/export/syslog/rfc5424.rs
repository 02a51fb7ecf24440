//! A message as RFC 5424 has it.

use std::io;

use syslog_fmt::v5424::{Config, Formatter, Msg, Timestamp, write_msg, write_nil_value};
use syslog_fmt::{Facility as Wire, Severity as WireSeverity};

use super::entry::Entry;
use crate::config::exporters::Facility;

/// What writes messages.
#[derive(Debug)]
pub(super) struct Form(Formatter);

impl Form {
    pub(super) fn new(facility: Facility, node_name: &str) -> Self {
        let printable = |letter: char| if letter.is_ascii_graphic() { letter } else { '?' };
        let host: String = node_name.chars().map(printable).take(255).collect();
        let process = std::process::id().to_string();
        let config = Config {
            facility: Wire::try_from(facility as i32).unwrap_or(Wire::Daemon),
            hostname: Some(&host),
            app_name: Some("observer"),
            proc_id: Some(&process),
        };
        Self(config.into_formatter())
    }

    /// The message: without a mark of its encoding at its beginning, which receivers show as a part of it.
    pub(super) fn message(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(entry.text.len() + 128);
        let severity = WireSeverity::try_from(entry.severity as i32).unwrap_or(WireSeverity::Info);
        let time = Timestamp::PreformattedStr(&entry.time);
        self.0.write_header(&mut out, severity, time, Some(&entry.kind))?;
        write_nil_value(&mut out)?;
        write_msg(&mut out, Msg::NonUnicodeBytes(entry.text.as_bytes()))?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::exporters::Severity;

    #[test]
    fn a_message_has_its_header() {
        let entry = Entry {
            severity: Severity::Warning,
            kind: "tcp_reset".to_owned(),
            time: "2026-01-31T08:12:03.114159Z".to_owned(),
            text: "shop/cart tcp_reset (sent) µ".to_owned(),
            fields: Vec::new(),
        };
        let message = Form::new(Facility::Local3, "node ä1").message(&entry).unwrap();
        let expected = format!(
            "<156>1 2026-01-31T08:12:03.114159Z node??1 observer {} tcp_reset - shop/cart tcp_reset (sent) µ",
            std::process::id()
        );
        assert_eq!(String::from_utf8(message).unwrap(), expected);
    }
}
