//! What can be wrong with a configuration, told with the place, the value and what is allowed.

use std::path::PathBuf;

use super::setting::Origin;

/// A configuration that cannot be used; always the user's to mend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file could not be read.
    #[error("cannot read the configuration file {}: {source}\nName another with --config, or leave it out.", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// The file has a key that nobody knows.
    #[error("{}:{line}: unknown key `{key}`\nAllowed are {}; and the tables {}.", path.display(), super::KEYS.join(", "), super::exporters::TABLES.join(", "))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// The key.
        key: String,
    },
    /// A table of exporters has something that is not allowed.
    #[error("{}:{line}: {key}: {message}\ndocs/exporters.md has all settings of exporters.", path.display())]
    Exporter {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// The keys that lead there.
        key: String,
        /// What is wrong, and what is allowed.
        message: String,
    },
    /// Some of them are set, and not all.
    #[error("{0} go together: set all of them, or none")]
    Together(&'static str),
    /// A setting asks for others.
    #[error("{what} needs {needs}")]
    Needs {
        /// What was asked for.
        what: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// A value is not one of those allowed.
    #[error("{origin}: `{value}` is not allowed\nAllowed: {allowed}.")]
    Value {
        /// Where it comes from.
        origin: Origin,
        /// The value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
}
