//! Prints results, one JSON object a line, whole lines only even from many threads.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Mutex;

/// Where results go: standard output, and a file if one is asked for.
pub(crate) struct Report {
    file: Option<Mutex<File>>,
    summary_only: bool,
}

impl Report {
    /// A report that also goes to `path`; with `summary_only` standard output gets the totals alone.
    pub(crate) fn new(path: Option<&str>, summary_only: bool) -> Result<Self, String> {
        let file = path
            .map(|path| File::create(path).map_err(|error| format!("cannot create {path}: {error}")))
            .transpose()?
            .map(Mutex::new);
        Ok(Self { file, summary_only })
    }

    /// Reports one result.
    pub(crate) fn line(&self, line: &str) {
        if let Some(file) = &self.file
            && let Ok(mut file) = file.lock()
        {
            // A result that cannot be kept shows in the totals, which the test compares.
            let _ = writeln!(file, "{line}");
        }
        if !self.summary_only {
            say(line);
        }
    }
}

/// Prints one line and flushes it. A reader that went away is no reason to stop.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The `part` of 100 percentile of sorted values, by nearest rank.
pub(crate) fn percentile(sorted: &[u64], part: usize) -> u64 {
    let rank = (sorted.len() * part).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}
