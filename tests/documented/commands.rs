//! The commands that the documentation tells to enter, one a line of its blocks for the shell.

use std::fs;
use std::path::Path;

use anyhow::Result;

/// What a line says beside its command where it was not run.
const NOT_RUN: &str = "not run here: ";

/// The document that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// docs/kubernetes.md.
    Kubernetes,
    /// docs/storage.md.
    Storage,
    /// Each of them.
    Both,
}

/// A line to enter.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Without what stands beside it.
    pub(crate) command: String,
    /// Why it was not run here, where it says so.
    pub(crate) reason: Option<String>,
}

/// The text of a document.
pub(crate) fn read(document: Where) -> Result<String> {
    let files: &[&str] = match document {
        Where::Kubernetes => &["kubernetes.md"],
        Where::Storage => &["storage.md"],
        Where::Both => &["kubernetes.md", "storage.md"],
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    Ok(files
        .iter()
        .map(|file| fs::read_to_string(folder.join(file)))
        .collect::<Result<Vec<_>, _>>()?
        .join("\n"))
}

/// Its commands.
pub(crate) fn lines(document: Where) -> Result<Vec<Line>> {
    let text = read(document)?;
    let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    let lines = blocks.flat_map(str::lines).map(str::trim);
    let entered = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(entered.map(line).collect())
}

fn line(text: &str) -> Line {
    let (command, beside) = text.split_once(" # ").unwrap_or((text, ""));
    let reason = beside.trim().strip_prefix(NOT_RUN).map(str::to_owned);
    Line { command: command.trim().to_owned(), reason }
}
