//! One setting as it was written, and where: the form that flags, environment and file share.

use std::fmt;
use std::path::PathBuf;

use super::{Error, Settings};

/// A value, or several, for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Where it was written.
    pub(crate) origin: Origin,
    /// What was written.
    pub(crate) values: Vec<String>,
}

/// Where a setting was written; shown in errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// On the command line, for this key.
    Flag(&'static str),
    /// In the environment, for this key.
    Env(&'static str),
    /// In a file, at a line.
    File { path: PathBuf, line: usize, key: &'static str },
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(out, "--{}", key.replace('_', "-")),
            Self::Env(key) => out.write_str(&env_name(key)),
            Self::File { path, line, key } => write!(out, "{}:{line}: {key}", path.display()),
        }
    }
}

/// The environment variable of a key.
pub(crate) fn env_name(key: &str) -> String {
    format!("OBSERVER_{}", key.to_uppercase())
}

impl Setting {
    /// The value of a key that takes one.
    pub(crate) fn single(&self, allowed: &str) -> Result<&str, Error> {
        match self.values.as_slice() {
            [value] => Ok(value),
            other => Err(self.refused(&other.join(","), allowed)),
        }
    }

    /// The error for one of the values.
    pub(crate) fn refused(&self, value: &str, allowed: impl Into<String>) -> Error {
        Error::Value { origin: self.origin.clone(), value: value.to_owned(), allowed: allowed.into() }
    }
}

/// A key that is true or false; false where it is not given.
pub(crate) fn flag(settings: &Settings, key: &str) -> Result<bool, Error> {
    let Some(setting) = settings.get(key) else { return Ok(false) };
    match setting.single("true and false")? {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(setting.refused(other, "true and false")),
    }
}
