//! Fields of messages as text in columns, for `--fields` where there is no table of its own.

use std::io;

use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, Value};
use prost_types::Timestamp;

use super::chosen::Fields;
use super::color::Paint;
use super::escape::{escape, escape_json};
use super::json;
use super::look::Look;
use super::time::Clock;
use super::units::{bytes, duration, tight};

/// So wide a column of text is from its first line on, so that later ones stand below it.
const TEXT_WIDTH: usize = 16;
const GAP: &str = "  ";

/// Lines of fields, one below the other; a column grows with what comes.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    widths: Vec<usize>,
}

impl Columns {
    /// Writes a message as a line, the first one below the names of the fields.
    pub(crate) fn write<M: prost::Message>(
        &mut self,
        out: &mut dyn io::Write,
        look: &Look,
        fields: &Fields,
        message: &M,
    ) -> io::Result<()> {
        let message = json::dynamic(fields.item, &message.encode_to_vec())?;
        let clock = look.clock();
        let cells: Vec<String> = fields.paths.iter().map(|path| cell(&message, path, &clock)).collect();
        if self.widths.is_empty() {
            self.widths = vec![0; cells.len()];
            let titles: Vec<String> = fields.paths.iter().map(|path| path.to_ascii_uppercase()).collect();
            let text = |cell: &String| if cell.parse::<f64>().is_ok() { 0 } else { TEXT_WIDTH };
            for (width, (title, cell)) in self.widths.iter_mut().zip(titles.iter().zip(&cells)) {
                *width = title.len().max(text(cell)).max(cell.chars().count());
            }
            let titles = self.line(&titles);
            writeln!(out, "{}", look.painter.paint(Paint::Bold, titles))?;
        }
        let line = self.line(&cells);
        writeln!(out, "{line}")
    }

    fn line(&mut self, cells: &[String]) -> String {
        let mut line = String::new();
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = cell.chars().count().max(*width);
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', *width - cell.chars().count()));
            line.push_str(GAP);
        }
        line.trim_end().to_owned()
    }
}

/// Each field's path and value.
pub(crate) fn pairs<M: prost::Message>(
    fields: &Fields,
    look: &Look,
    message: &M,
) -> io::Result<Vec<[String; 2]>> {
    let message = json::dynamic(fields.item, &message.encode_to_vec())?;
    let clock = look.clock();
    Ok(fields.paths.iter().map(|path| [path.clone(), cell(&message, path, &clock)]).collect())
}

/// The value at a path; `-` where it is absent or empty.
fn cell(message: &DynamicMessage, path: &str, clock: &Clock) -> String {
    let found = at(message, path, clock);
    if found.is_empty() { "-".to_owned() } else { found.join(",") }
}

/// All values at a path: several, where it leads through repeated fields.
fn at(message: &DynamicMessage, path: &str, clock: &Clock) -> Vec<String> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(field) = message.descriptor().get_field_by_name(name) else { return Vec::new() };
    if field.supports_presence() && !message.has_field(&field) {
        return Vec::new();
    }
    let value = message.get_field(&field);
    let values = value.as_list().unwrap_or_else(|| std::slice::from_ref(&*value));
    let each = |value: &Value| match (rest, value.as_message()) {
        (Some(rest), Some(inner)) => at(inner, rest, clock),
        (Some(_), None) => Vec::new(),
        (None, _) => text(name, &field.kind(), value, clock).into_iter().collect(),
    };
    values.iter().flat_map(each).collect()
}

/// A value as text, in the units that its field's name tells of.
#[allow(clippy::wildcard_enum_match_arm, reason = "all other values are numbers, and tell themselves")]
fn text(name: &str, kind: &Kind, value: &Value, clock: &Clock) -> Option<String> {
    let told = match (value, kind) {
        (Value::U64(ns), _) if name.ends_with("_ns") => tight(&duration(*ns)),
        (Value::U64(size), _) if name.ends_with("_bytes") => tight(&bytes(*size)),
        (Value::String(text), _) => escape(text).into_owned(),
        (Value::EnumNumber(number), Kind::Enum(of)) => {
            of.get_value(*number).map_or_else(|| number.to_string(), |value| value.name().to_owned())
        }
        (Value::Message(message), _) => match message.transcode_to::<Timestamp>() {
            Ok(time) if message.descriptor().full_name() == "google.protobuf.Timestamp" => clock.text(&time),
            Ok(_) | Err(_) => escape_json(&json::line(message).ok()?).into_owned(),
        },
        (Value::Map(entries), _) => {
            let mut pairs: Vec<String> = entries
                .iter()
                .map(|(key, value)| {
                    let [key, value] = [key.as_str(), value.as_str()].map(Option::unwrap_or_default);
                    format!("{}={}", escape(key), escape(value))
                })
                .collect();
            pairs.sort_unstable();
            pairs.join(",")
        }
        (other, _) => other.to_string(),
    };
    Some(told).filter(|told| !told.is_empty())
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::Event;

    use super::super::chosen::Chosen;
    use super::super::look::Format;
    use super::super::testing;
    use super::*;

    fn lines(names: &[&str], events: &[Event]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let chosen = Chosen::of(&names, Format::Compact, "Event", &[]).unwrap();
        let Chosen::Fields(fields) = chosen else { panic!("no fields") };
        let (mut columns, mut out) = (Columns::default(), Vec::new());
        for event in events {
            columns.write(&mut out, &testing::look(), &fields, event).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_stand_below_their_names() {
        let mut other = testing::connect();
        other.workload = None;
        other.process.as_mut().unwrap().comm = "a\u{1b}[2J".to_owned();
        let names = [
            "time",
            "type",
            "workload.pod",
            "tcp_connect.handshake_latency_ns",
            "tcp_close.duration_ns",
            "process.comm",
        ];
        let shown = lines(&names, &[testing::connect(), other]);
        let expected = "\
TIME              TYPE              WORKLOAD.POD      TCP_CONNECT.HANDSHAKE_LATENCY_NS  TCP_CLOSE.DURATION_NS  PROCESS.COMM
08:12:03.114      tcp_connect       cart-7d9f         142µs                             -                      cart
08:12:03.114      tcp_connect       -                 142µs                             -                      a\\x1b[2J
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn every_kind_of_value_has_a_text() {
        let names =
            ["workload.labels", "process", "process.uid", "sequence", "workload.kind", "workload.sandbox"];
        let shown = lines(&names, &[testing::connect()]);
        let row: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
        let [labels, process, rest @ ..] = &row[..] else { panic!("{shown}") };
        assert!(*labels == "app=cart" && process.starts_with("{\"pid\":4312,"), "{shown}");
        assert_eq!(rest, ["0", "41", "WORKLOAD_KIND_POD", "false"]);
    }
}
