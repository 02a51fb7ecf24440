//! The settings of exporters: tables of the configuration file, each exporter's in a file of its own.

mod http;
mod json;
mod metrics;
mod otlp;
mod select;
mod syslog;
mod values;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use itertools::Itertools as _;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

pub(crate) use self::http::Http;
pub(crate) use self::json::{Json, Place};
pub(crate) use self::metrics::Metrics;
pub(crate) use self::otlp::{Otlp, Protocol, Receiver, Temporality, Tls};
pub(crate) use self::syslog::{Address, Facility, Format, Severity, Syslog};

/// All exporters that are wanted; none unless the file says so.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Exporters {
    /// Lines of JSON, by name.
    pub(crate) json: BTreeMap<Name, Json>,
    /// Metrics, logs and traces to OpenTelemetry's receivers, by name.
    pub(crate) otlp: BTreeMap<Name, Otlp>,
    /// Messages to syslog or the systemd journal, by name.
    pub(crate) syslog: BTreeMap<Name, Syslog>,
    /// How the HTTP server is secured.
    pub(crate) http: Http,
    /// What of the metrics is asked for.
    pub(crate) metrics: Metrics,
}

/// The tables of the file that are exporters' own.
pub(crate) const TABLES: [&str; 5] = ["json", "otlp", "syslog", "http", "metrics"];

/// What is wrong with a table, and where in the text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Where; the beginning where nobody knows.
    pub(crate) at: Range<usize>,
    /// Keys that lead there, such as `json.events.max_bytes`.
    pub(crate) key: String,
    pub(crate) message: String,
}

impl Exporters {
    /// From what a file has of them.
    pub(crate) fn read(tables: DeTable<'_>) -> Result<Self, Refused> {
        let places: BTreeMap<String, Range<usize>> = each(&tables);
        let read = Self::deserialize(Deserializer::from(Spanned::new(0..0, tables)));
        let exporters = read.map_err(|error| refused(&error))?;
        let refuse = |key: String, message: String| {
            let at = places.get(&key).cloned().unwrap_or_default();
            Refused { at, key, message }
        };
        let mut files: Vec<(&Name, &Path)> = Vec::new();
        for (name, json) in &exporters.json {
            json.check().map_err(|message| refuse(format!("json.{name}"), message))?;
            let Place::File(path) = &json.path else { continue };
            let mut clashes = files.iter().map(|(other, of)| json::clash(path, of, other));
            if let Some(message) = clashes.find_map(|clash| clash) {
                return Err(refuse(format!("json.{name}"), message));
            }
            files.push((name, path));
        }
        for (name, otlp) in &exporters.otlp {
            otlp.check().map_err(|message| refuse(format!("otlp.{name}"), message))?;
        }
        exporters.http.check().map_err(|message| refuse("http".to_owned(), message))?;
        exporters.metrics.check().map_err(|message| refuse("metrics".to_owned(), message))?;
        for (name, syslog) in &exporters.syslog {
            syslog.check().map_err(|message| refuse(format!("syslog.{name}"), message))?;
        }
        Ok(exporters)
    }
}

/// What is true unless something else is said.
fn yes() -> bool {
    true
}

/// Where each table, and each exporter's within it, begins.
fn each(tables: &DeTable<'_>) -> BTreeMap<String, Range<usize>> {
    let within = |(kind, of): (&Spanned<_>, &Spanned<toml::de::DeValue<'_>>)| {
        let kind: &std::borrow::Cow<'_, str> = kind.get_ref();
        let own = (kind.to_string(), of.span());
        let named = of.get_ref().as_table().into_iter().flatten();
        let named = named.map(|(name, _)| (format!("{kind}.{}", name.get_ref()), name.span()));
        std::iter::once(own).chain(named).collect_vec()
    };
    tables.iter().flat_map(within).collect()
}

/// The library tells the keys in its message alone.
fn refused(error: &toml::de::Error) -> Refused {
    let told = error.to_string();
    let keys = told.trim_end().rsplit_once("\nin `").and_then(|(_, keys)| keys.strip_suffix('`'));
    let key = keys.unwrap_or_default().to_owned();
    Refused { at: error.span().unwrap_or_default(), key, message: error.message().to_owned() }
}

/// What an exporter is called: it is told in the status, and is a label of metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if (1..=64).contains(&name.len()) && name.chars().all(fits) {
            return Ok(Self(name));
        }
        Err(format!("the name {name:?} is not allowed; allowed are 1 to 64 letters, digits, `-` and `_`"))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
