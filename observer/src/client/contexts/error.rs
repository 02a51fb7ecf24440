//! What can be wrong with the client's configuration, told with the place and what is allowed.

use std::io;
use std::path::{Path, PathBuf};

use super::super::escape::escape;

/// A configuration that cannot be used; always the user's to mend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file could not be read.
    #[error(
        "cannot read the client's configuration {}: {source}\nName another with --client-config, or leave it out.",
        shown(path)
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot change the client's configuration {}: {source}", shown(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: not valid TOML: {}", shown(path), escape(message))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that nobody knows.
    #[error("{}:{line}: unknown key `{}`\nAllowed are {allowed}.", shown(path), escape(key))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// The key, with those around it.
        key: String,
        /// What is allowed there.
        allowed: String,
    },
    /// A value is not one of those allowed.
    #[error("{}:{line}: {}: {} is not allowed\nAllowed: {allowed}.", shown(path), escape(key), escape(value))]
    Value {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// The key, with those around it.
        key: String,
        /// The value, or its type.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A key is missing.
    #[error("{}:{line}: {}: no `{missing}`\n{why}.", shown(path), escape(key))]
    Missing {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// The table that it is missing in.
        key: String,
        /// What is missing.
        missing: &'static str,
        /// What it is needed for.
        why: &'static str,
    },
    /// A file that a context names cannot be read.
    #[error(
        "{}:{line}: {}: cannot read {}: {source}\nName a file that is there; a relative path begins at this configuration's folder.",
        shown(path),
        escape(key),
        shown(file)
    )]
    File {
        /// The configuration.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// The key, with those around it.
        key: String,
        /// The file that it names.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no context with that name.
    #[error("{}no context `{}`\n{}", place(path.as_deref(), *line), escape(name), known_names(path.as_deref(), known))]
    NoContext {
        /// The name.
        name: String,
        /// The configuration, if there is one.
        path: Option<PathBuf>,
        /// Where in it that context is named as the current one.
        line: Option<usize>,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A variable of the environment has a wrong value.
    #[error("{name}: `{}` is not allowed\nAllowed: {allowed}.", escape(value))]
    Env {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// One of two options that belong together.
    #[error("--tls-cert and --tls-key belong together: {given} is given, {missing} is not")]
    HalfPair {
        /// The one that is given.
        given: &'static str,
        /// The other one.
        missing: &'static str,
    },
}

impl Error {
    /// It is in what was written, not in how the machine is.
    pub(crate) const fn is_usage(&self) -> bool {
        !matches!(self, Self::Write { .. })
    }
}

pub(super) fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy()).into_owned()
}

fn place(path: Option<&Path>, line: Option<usize>) -> String {
    path.map_or_else(String::new, |path| {
        let line = line.map_or_else(String::new, |line| format!(":{line}"));
        format!("{}{line}: ", shown(path))
    })
}

fn known_names(path: Option<&Path>, known: &[String]) -> String {
    if path.is_none() {
        return "There is no client's configuration: write one, or name one with --client-config.".to_owned();
    }
    if known.is_empty() {
        return "The client's configuration has none: write a table `[contexts.NAME]` with a `server`."
            .to_owned();
    }
    let known: Vec<_> = known.iter().map(|name| escape(name)).collect();
    format!("There are {}.", known.join(", "))
}
