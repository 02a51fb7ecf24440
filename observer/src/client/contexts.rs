//! The client's own configuration: contexts, each a daemon and how it is reached, and how output looks.

mod choose;
mod error;
mod file;
#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use super::connect::{Server, Tls};
use super::{Color, Format, TimeFormat};

pub(crate) use choose::{File, Flags};
pub(crate) use error::Error;

/// What the file says.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    /// The file; `None` where there is none.
    pub(crate) file: Option<PathBuf>,
    /// The name of the current context, and the line that says so.
    pub(crate) current: Option<(String, usize)>,
    /// All of them, by name.
    pub(crate) all: Vec<Context>,
    /// The output's format.
    pub(crate) output: Option<Format>,
    /// When there are colours.
    pub(crate) color: Option<Color>,
    /// How times are written.
    pub(crate) time_format: Option<TimeFormat>,
}

/// A daemon, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// What it is called.
    pub(crate) name: String,
    /// Where the daemon is.
    pub(crate) server: Server,
    /// How TLS is spoken with it.
    pub(crate) tls: Tls,
    /// How long answers may take.
    pub(crate) timeout: Option<Duration>,
    /// The files that it names, each with its key and line.
    files: Vec<(&'static str, PathBuf, usize)>,
}

impl Contexts {
    /// The context with that name. The files that it names have to be there.
    pub(crate) fn find(&self, name: &str) -> Result<&Context, Error> {
        let found = self.all.iter().find(|context| context.name == name);
        let context = found.ok_or_else(|| self.unknown(name))?;
        for (key, path, line) in &context.files {
            if let Err(source) = fs::File::open(path) {
                return Err(Error::File {
                    path: self.file.clone().unwrap_or_default(),
                    line: *line,
                    key: format!("contexts.{name}.{key}"),
                    file: path.clone(),
                    source,
                });
            }
        }
        Ok(context)
    }

    fn unknown(&self, name: &str) -> Error {
        let line = self.current.as_ref().filter(|(current, _)| current == name).map(|(_, line)| *line);
        Error::NoContext {
            name: name.to_owned(),
            path: self.file.clone(),
            line,
            known: self.all.iter().map(|context| context.name.clone()).collect(),
        }
    }

    /// Makes that context the current one, and leaves all else in the file as it is, comments too.
    pub(crate) fn set_current(&self, name: &str) -> Result<(), Error> {
        let known = self.all.iter().any(|context| context.name == name);
        let Some(path) = self.file.as_ref().filter(|_| known) else { return Err(self.unknown(name)) };
        let failed = |source| Error::Write { path: path.clone(), source };
        let text = fs::read_to_string(path).map_err(failed)?;
        let changed =
            with_current(&text, name).map_err(|error| failed(io::Error::other(error.to_string())))?;
        replace(path, &changed).map_err(failed)
    }
}

/// The same text with another current context.
fn with_current(text: &str, name: &str) -> Result<String, toml_edit::TomlError> {
    let mut document: toml_edit::DocumentMut = text.parse()?;
    let mut value = toml_edit::Value::from(name);
    if let Some(before) = document.get("context").and_then(toml_edit::Item::as_value) {
        *value.decor_mut() = before.decor().clone();
    }
    document["context"] = toml_edit::Item::Value(value);
    Ok(document.to_string())
}

/// Writes the file anew, all of it or nothing, also where a link leads to it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let before = fs::metadata(&path)?;
    let mode = before.permissions().mode();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let written = (|| {
        // With sudo it is another user's. Whoever may not give it away leaves it his own.
        _ = std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()));
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    })();
    if written.is_err() {
        // The first error is the one to tell.
        _ = fs::remove_file(&beside);
    }
    written
}
