//! One of the sides of a comparison, as the command line names it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use observer_proto::v1::compared_range::Of;
use observer_proto::v1::{ComparedRange, ExportIncidentRequest, TimeRange, export_incident_request};

use crate::config;

/// One of the sides.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// A file that was exported.
    File(PathBuf),
    /// An incident or a part of time of the daemon's recording.
    Range(ComparedRange),
}

impl Part {
    /// What the daemon is asked for; `None` for a file.
    pub(super) fn range(&self) -> Option<ComparedRange> {
        match self {
            Self::File(_) => None,
            Self::Range(range) => Some(range.clone()),
        }
    }
}

/// The request for the same as a file.
pub(super) fn exported(range: ComparedRange) -> ExportIncidentRequest {
    let of = range.of.map(|of| match of {
        Of::IncidentId(id) => export_incident_request::Of::Id(id),
        Of::Range(range) => export_incident_request::Of::Range(range),
    });
    ExportIncidentRequest { of, ..ExportIncidentRequest::default() }
}

/// A part of time, a file, else an incident's id.
pub(super) fn parse(text: &str) -> Result<Part, String> {
    parse_at(text, Timestamp::now(), &Path::exists)
}

fn parse_at(text: &str, now: Timestamp, exists: &dyn Fn(&Path) -> bool) -> Result<Part, String> {
    let named = text.strip_prefix("file://");
    let path = PathBuf::from(named.unwrap_or(text));
    if named.is_some() || exists(&path) {
        return Ok(Part::File(path));
    }
    if let Some((since, until)) = text.split_once("..").filter(|_| !text.contains('/')) {
        return range(since, until, now)
            .map(|range| Part::Range(ComparedRange { of: Some(Of::Range(range)) }));
    }
    if text.contains('/') || text.ends_with(".observer") {
        return Err("there is no such file".to_owned());
    }
    let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if text.is_empty() || !text.chars().all(letter) || text.starts_with('-') {
        return Err("allowed are exported files, incidents' ids, and parts of time such as -20m..-10m or \
             2026-01-31T08:00Z..08:10Z"
            .to_owned());
    }
    Ok(Part::Range(ComparedRange { of: Some(Of::IncidentId(text.to_owned())) }))
}

fn range(since: &str, until: &str, now: Timestamp) -> Result<TimeRange, String> {
    let begin = if since.is_empty() { None } else { Some(time(since, None, now)?) };
    let end = if until.is_empty() { None } else { Some(time(until, begin, now)?) };
    if begin.zip(end).is_some_and(|(begin, end)| begin >= end) {
        return Err("its end is not after its beginning".to_owned());
    }
    let told = |time: Option<Timestamp>| time.map(|time| SystemTime::from(time).into());
    Ok(TimeRange { since: told(begin), until: told(end) })
}

/// How long ago, or a time; one without a date is of the day of the other one, or of today.
fn time(text: &str, other: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, String> {
    let unknown = || {
        format!(
            "{text}: allowed are durations such as 20m (ago) and times such as 2026-01-31T08:00:00Z or 08:10Z"
        )
    };
    let ago = config::parse_duration(text.strip_prefix('-').unwrap_or(text));
    if let Some(ago) = ago {
        return now.checked_sub(ago).map_err(|_too_long| unknown());
    }
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let day = other.unwrap_or(now).to_zoned(TimeZone::UTC).date();
    format!("{day}T{text}").parse().map_err(|_no_time: jiff::Error| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Part, String> {
        let now = "2026-01-31T09:00:00Z".parse().unwrap();
        parse_at(text, now, &|path| path == Path::new("before") || path == Path::new("a..b"))
    }

    fn between(text: &str) -> [String; 2] {
        let Ok(Part::Range(ComparedRange { of: Some(Of::Range(TimeRange { since, until })) })) = parsed(text)
        else {
            panic!("{text}: {:?}", parsed(text))
        };
        [since, until].map(|time| {
            time.map_or_else(String::new, |time| {
                Timestamp::new(time.seconds, time.nanos).unwrap().to_string()
            })
        })
    }

    #[test]
    fn parts_of_time_files_and_ids() {
        assert_eq!(between("-20m..-10m"), ["2026-01-31T08:40:00Z", "2026-01-31T08:50:00Z"]);
        assert_eq!(between("20m..10m"), ["2026-01-31T08:40:00Z", "2026-01-31T08:50:00Z"]);
        assert_eq!(between("-10m.."), ["2026-01-31T08:50:00Z", ""]);
        assert_eq!(between("2026-01-30T08:00Z..08:10Z"), ["2026-01-30T08:00:00Z", "2026-01-30T08:10:00Z"]);
        assert_eq!(between("08:00:30Z..-5m"), ["2026-01-31T08:00:30Z", "2026-01-31T08:55:00Z"]);
        assert_eq!(parsed("before"), Ok(Part::File("before".into())));
        assert_eq!(parsed("a..b"), Ok(Part::File("a..b".into())));
        assert_eq!(parsed("file://x"), Ok(Part::File("x".into())));
        let id = ComparedRange { of: Some(Of::IncidentId("20260131-7".to_owned())) };
        assert_eq!(parsed("20260131-7"), Ok(Part::Range(id)));
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        for (text, words) in [
            ("./gone", "no such file"),
            ("gone.observer", "no such file"),
            ("-10m..-20m", "not after"),
            ("soon..later", "soon: allowed are"),
            ("", "allowed are exported files"),
            ("-x", "allowed are exported files"),
        ] {
            assert!(parsed(text).unwrap_err().contains(words), "{text}: {:?}", parsed(text));
        }
    }
}
