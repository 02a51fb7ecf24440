//! What can be wrong with a recording, told with the place and what to do.

use std::io;

use super::super::escape::escape;
use super::LONGEST_LINE;

/// A recording that cannot be read, or not on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It could not be opened.
    #[error(
        "cannot read {name}: {source}\nName a file that `observer events -o json` wrote, or - for the standard input."
    )]
    Open {
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It is a folder.
    #[error(
        "cannot read {name}: it is a folder\nName a file that `observer events -o json` wrote, or - for the standard input."
    )]
    Folder {
        /// The folder.
        name: String,
    },
    /// Reading failed in the midst.
    #[error("cannot read on in {name}: {source}")]
    Read {
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It is no text.
    #[error(
        "{name}:{line}: no text, but binary data\nOnly what `observer events -o json` wrote can be read; what is \
         compressed goes through a pipe: `zcat FILE | observer events --input -`."
    )]
    Binary {
        /// The file.
        name: String,
        /// Where in it.
        line: u64,
    },
    /// A line has no end.
    #[error("{name}:{line}: longer than {} MiB, which no event is\nOnly what `observer events -o json` wrote can be read.", LONGEST_LINE >> 20)]
    TooLong {
        /// The file.
        name: String,
        /// Where in it.
        line: u64,
    },
    /// A line holds no message.
    #[error(
        "{name}:{line}: {reason}\nOnly what `observer events -o json` wrote can be read: one JSON object a line."
    )]
    Line {
        /// The file.
        name: String,
        /// Where in it.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A line is of another command.
    #[error(
        "{name}:{line}: this is of `observer summary`\nOnly what `observer events -o json` wrote can be read."
    )]
    Summary {
        /// The file.
        name: String,
        /// Where in it.
        line: u64,
    },
}

/// What a parser says; of the place only the column, as it knows of one line alone.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let Some(words) = words.strip_suffix(&place) else { return escape(&words).into_owned() };
    // Of what begins the line there is none.
    let column = if error.column() == 0 { String::new() } else { format!(" at column {}", error.column()) };
    format!("{}{column}", escape(words))
}
