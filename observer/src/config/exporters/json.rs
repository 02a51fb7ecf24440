//! `[json.NAME]`: what happens as lines of JSON, in a file or on the standard output.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::select::{self, List, Selection, selection};
use super::{Name, values};

/// One exporter of lines.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Json {
    /// Where to.
    pub(crate) path: Place,
    #[serde(default)]
    allow: List,
    #[serde(default)]
    deny: List,
    /// Events, with what was lost and what was only counted.
    #[serde(default = "super::yes")]
    pub(crate) events: bool,
    /// Incidents, as they change.
    #[serde(default = "super::yes")]
    pub(crate) incidents: bool,
    /// Summaries of the daemon's window.
    #[serde(default)]
    pub(crate) summaries: bool,
    /// A file is no longer; `None`: as long as it gets.
    #[serde(default = "most_bytes", deserialize_with = "bytes")]
    pub(crate) max_bytes: Option<u64>,
    /// A file is no older; `None`: as old as it gets.
    #[serde(default = "oldest", deserialize_with = "age")]
    pub(crate) max_age: Option<Duration>,
    /// So many files are kept, the one that is written among them.
    #[serde(default = "most_files", deserialize_with = "files")]
    pub(crate) max_files: u64,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Place {
    /// The daemon's standard output.
    Output,
    File(PathBuf),
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let path = Path::new(&text);
        let is_file = path.is_absolute() && path.file_name().is_some() && !text.ends_with('/');
        match text.as_str() {
            "-" => Ok(Self::Output),
            _ if is_file && !text.contains('\0') => Ok(Self::File(text.into())),
            _ => Err(format!("`{text}` is not allowed; allowed are the absolute path of a file, and `-`")),
        }
    }
}

impl Json {
    /// What it takes.
    pub(crate) fn selection(&self) -> Selection {
        selection(&self.allow, &self.deny)
    }

    /// What is wrong with all of it together.
    pub(super) fn check(&self) -> Result<(), String> {
        if !(self.events || self.incidents || self.summaries) {
            return Err("it would write nothing: set one of events, incidents and summaries".to_owned());
        }
        select::check(&self.selection())
    }
}

#[allow(clippy::unnecessary_wraps, reason = "serde asks for the field's type")]
fn most_bytes() -> Option<u64> {
    Some(100 << 20)
}

#[allow(clippy::unnecessary_wraps, reason = "serde asks for the field's type")]
fn oldest() -> Option<Duration> {
    Some(Duration::from_hours(24))
}

fn most_files() -> u64 {
    5
}

fn bytes<'de, D: Deserializer<'de>>(of: D) -> Result<Option<u64>, D::Error> {
    values::bytes_or_off(of, &(4 << 10..=1 << 40))
}

fn age<'de, D: Deserializer<'de>>(of: D) -> Result<Option<Duration>, D::Error> {
    values::duration_or_off(of, &(Duration::from_secs(1)..=Duration::from_hours(8_760)))
}

/// Why files of two exporters cannot be beside each other: they are the same, or one is what the other is moved to.
pub(super) fn clash(path: &Path, of_other: &Path, other: &Name) -> Option<String> {
    let (path, of_other) = (plain(path), plain(of_other));
    if path == of_other {
        return Some(format!("json.{other} writes to the same file"));
    }
    if is_older(&path, &of_other) {
        return Some(format!("json.{other} moves its older files there"));
    }
    is_older(&of_other, &path).then(|| format!("its older files would be moved to the file of json.{other}"))
}

/// It is the other one's name with a number.
fn is_older(path: &Path, of: &Path) -> bool {
    let number =
        path.to_str().zip(of.to_str()).and_then(|(path, of)| path.strip_prefix(of)?.strip_prefix('.'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, component| {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(component),
        }
        plain
    })
}

fn files<'de, D: Deserializer<'de>>(of: D) -> Result<u64, D::Error> {
    values::count(of, &(2..=1_000))
}
